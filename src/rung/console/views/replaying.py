"""Replaying one user: the dry run that compares the user with all events, and the replay after it."""

from __future__ import annotations

from http import HTTPStatus

from starlette.responses import Response

from rung.console.console import Asked, Console
from rung.console.forms import Mistake, Refused
from rung.console.tasks import Task, TaskKind
from rung.console.views.jobs import job_values, started
from rung.status.parameters import USER_ID_BYTES_MAX


def plan(console: Console, asked: Asked) -> Response:
    """Start to find out what a replay would change."""
    return started(console, _task(asked, TaskKind.PLAN_REPLAY))


def replay(console: Console, asked: Asked) -> Response:
    """Start a replay, after its dry run, once the user's id is typed."""
    task = _task(asked, TaskKind.REPLAY)
    planned = console.jobs.last(TaskKind.PLAN_REPLAY, user=task.user)
    if planned is None or planned.result is None:
        raise Refused(HTTPStatus.CONFLICT, "No dry run yet", "Look first at what the replay would change.")
    if asked.form.text("typed") != task.user:
        mistake = Mistake("typed", f"Type the user's id, to the letter: {task.user}")
        return console.form_again(asked, "job.html", [mistake], **job_values(planned))
    return started(console, task)


def _task(asked: Asked, kind: TaskKind) -> Task:
    user = asked.form.text("user")
    if not 0 < len(user.encode()) <= USER_ID_BYTES_MAX:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "No such user", f"An id has 1 to {USER_ID_BYTES_MAX} bytes."
        )
    return Task(kind=kind, who=asked.who, user=user)
