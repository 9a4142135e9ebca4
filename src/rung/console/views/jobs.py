"""The pages of jobs: how far one is, what came of it, and its end before its time."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.responses import Response

from rung.batch.forecast.numbers import Compared, Example
from rung.batch.forecast.simulate import Simulation
from rung.batch.proof.examined import Cause
from rung.console.console import Asked, Console, see
from rung.console.forms import Refused
from rung.console.jobs import Job
from rung.console.tasks import Task, TaskKind

SENTENCES: Final = {cause.value: cause.sentence for cause in Cause}
"""What each cause of a difference is, in words."""


def started(console: Console, task: Task) -> Response:
    """Start a job, and lead to its page."""
    return see(f"/jobs/{console.jobs.start(task).id}")


def show(console: Console, asked: Asked) -> Response:
    """Show a job: how far it is, or what came of it."""
    return console.page(asked, "job.html", **job_values(_job(console, asked)))


def progress(console: Console, asked: Asked) -> Response:
    """Show how far a job is; when it has ended, have the page show what came of it."""
    found = _job(console, asked)
    response = console.page(asked, "part-job.html", job=found)
    if found.state != "running":
        response.headers["hx-refresh"] = "true"
    return response


def stop(console: Console, asked: Asked) -> Response:
    """Stop a job that is under way."""
    found = _job(console, asked)
    console.jobs.stop_one(found.id, asked.who)
    asked.say("It is stopped.")
    return see(f"/jobs/{found.id}")


def job_values(found: Job) -> dict[str, Any]:
    """Return what the page of a job shows."""
    simulation = compared = examples = None
    if found.result is not None:
        if found.task.kind in {TaskKind.SIMULATE, TaskKind.COUNT}:
            simulation = msgspec.convert(found.result, Simulation, str_keys=True)
        elif found.task.kind is TaskKind.DIFF:
            compared = msgspec.convert(found.result["compared"], Compared, str_keys=True)
            examples = {
                way: msgspec.convert(found.result[way], list[Example], str_keys=True)
                for way in ("up", "down")
            }
    return {
        "job": found,
        "simulation": simulation,
        "compared": compared,
        "examples": examples,
        "sentences": SENTENCES,
    }


def _job(console: Console, asked: Asked) -> Job:
    found = console.jobs.find(asked.parameters["job"])
    if found is None:
        raise Refused(HTTPStatus.NOT_FOUND, "No such job", "There is no such job, or it is no longer kept.")
    return found
