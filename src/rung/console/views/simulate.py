"""A candidate run over periods of the past: nothing is applied, and nothing changes."""

from __future__ import annotations

from starlette.responses import Response

from rung.campaign.spec import InvalidSpec, load
from rung.console.console import Asked, Console
from rung.console.forms import Mistake
from rung.console.proposals import SPEC_NAME
from rung.console.tasks import Task, TaskKind
from rung.console.views.jobs import started
from rung.operations.errors import OperationRefused
from rung.operations.forecasting import periods_of


def form(console: Console, asked: Asked) -> Response:
    """Ask for a candidate, and for the periods."""
    campaign = console.catalog().campaigns.get(asked.query.text("campaign"))
    periods = ""
    if campaign is not None:
        last = campaign.calendar.period_at(asked.now).previous()
        periods = str(last)
    change = console.proposals.find(asked.query.text("change"))
    return console.page(
        asked,
        "simulate.html",
        typed={"periods": periods, "spec": "" if change is None else change.spec},
        spec_mistakes=(),
    )


def start(console: Console, asked: Asked) -> Response:
    """Start a simulation, if text and periods are right."""
    mistakes: list[Mistake] = []
    places = []
    text, periods = asked.form.raw("spec"), asked.form.text("periods")
    candidate = None
    try:
        candidate = load(text, SPEC_NAME)
        periods_of(candidate, periods)
    except InvalidSpec as invalid:
        places = list(invalid.errors)
        mistakes = [Mistake("spec", f"Line {one.line}, column {one.column}: {one.message}") for one in places]
    except OperationRefused as error:
        mistakes = [Mistake("periods", str(error))]
    if mistakes or candidate is None:
        return console.form_again(asked, "simulate.html", mistakes, spec_mistakes=places)
    task = Task(kind=TaskKind.SIMULATE, who=asked.who, campaign=candidate.name, period=periods, spec=text)
    return started(console, task)
