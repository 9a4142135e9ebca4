"""The batch layer: verifications, repairs, and what is settled for good."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.responses import Response

from rung.batch.lease import running_job
from rung.batch.proof.report import Report, Reports, ReportUnreadable
from rung.campaign.model import Effective
from rung.console.console import Asked, Console, see
from rung.console.forms import Mistake, Refused
from rung.console.settlements import (
    RequestState,
    SettlementRequest,
    check_may_settle,
    periods_shown,
)
from rung.console.tasks import Task, TaskKind
from rung.console.views.confirm import confirmed
from rung.console.views.jobs import SENTENCES, job_values, started
from rung.console.views.shown import shown
from rung.dated import dated_id
from rung.operations.catalog import campaign_of, period_of
from rung.operations.errors import OperationRefused
from rung.store.audit import append_audit

REPORTS_SHOWN: Final = 30
FINDINGS_SHOWN: Final = 100
JOBS_SHOWN: Final = 15
_GRACE_DAYS_MAX: Final = 90
_KINDS: Final = {"close": TaskKind.CLOSE, "grant": TaskKind.GRANT}


def show(console: Console, asked: Asked) -> Response:
    """Show what was verified, what runs and ran, and what is settled."""
    catalog = console.catalog()
    folder = console.services.batch_folder
    return console.page(
        asked,
        "batch.html",
        reports=shown(asked, lambda: _reports(console)),
        jobs=console.jobs.recent()[:JOBS_SHOWN],
        job_elsewhere=None if console.jobs.running() else running_job(folder),
        settled=[
            (campaign, shown(asked, lambda campaign=campaign: periods_shown(folder, campaign, asked.now)))
            for _, campaign in sorted(catalog.campaigns.items())
        ],
        requests=[one for one in reversed(console.requests.all()) if one.state is RequestState.OPEN],
    )


def verify(console: Console, asked: Asked) -> Response:
    """Start a verification."""
    return started(console, Task(kind=TaskKind.VERIFY, who=asked.who))


def report(console: Console, asked: Asked) -> Response:
    """Show what a verification found."""
    found = _report(console, asked)
    plan = console.jobs.last(TaskKind.PLAN_REPAIR, report=found.id)
    return console.page(
        asked,
        "report.html",
        report=found,
        findings=found.findings[:FINDINGS_SHOWN],
        sentences=SENTENCES,
        most=max(found.causes.values(), default=0),
        plan=plan,
    )


def plan_repair(console: Console, asked: Asked) -> Response:
    """Start to find out what a repair would do."""
    found = _report(console, asked)
    return started(console, Task(kind=TaskKind.PLAN_REPAIR, who=asked.who, report=found.id))


def repair(console: Console, asked: Asked) -> Response:
    """Start a repair, after its dry run, once the number of users is typed."""
    found = _report(console, asked)
    plan = console.jobs.last(TaskKind.PLAN_REPAIR, report=found.id)
    if plan is None or plan.result is None:
        raise Refused(HTTPStatus.CONFLICT, "No dry run yet", "Look first at what the repair would do.")
    due = str(plan.result["users"])
    if asked.form.text("typed") != due:
        return console.form_again(
            asked, "job.html", [Mistake("typed", f"Type the number of users: {due}")], **job_values(plan)
        )
    return started(console, Task(kind=TaskKind.REPAIR, who=asked.who, report=found.id))


def ask(console: Console, asked: Asked) -> Response:
    """Ask that a period is closed or granted: somebody else does it."""
    form = asked.form
    kind = form.text("kind")
    if kind not in _KINDS:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "This cannot be done", "Only close and grant can be asked for."
        )
    campaign = campaign_of(console.catalog(), form.text("campaign"))
    period = period_of(campaign, form.text("period"))
    days = form.text("grace") or "3"
    if not (days.isascii() and days.isdecimal() and int(days) <= _GRACE_DAYS_MAX):
        raise OperationRefused(
            f"Late events are waited for so many days: 0 to {_GRACE_DAYS_MAX}, not {days!r}"
        )
    request_id = f"{dated_id(asked.now)}-{kind}"
    with console.changing:
        for one in console.requests.all():
            same = (one.kind, one.campaign, one.period) == (kind, campaign.name, str(period))
            if same and one.state is RequestState.OPEN:
                raise OperationRefused(f"{one.who} has asked for that already")
        request = SettlementRequest(
            request_id, kind, campaign.name, str(period), int(days), form.text("reason"), asked.who, asked.now
        )
        console.requests.put(request_id, request)
    asked.say(
        f"Asked to {kind} {period} of {campaign.name}. An approver other than you looks at it and does it."
    )
    return see(f"/requests/{request_id}")


def request(console: Console, asked: Asked) -> Response:
    """Show what was asked for, and what it means."""
    return console.page(asked, "request.html", **_request_values(console, asked))


def settle(console: Console, asked: Asked) -> Response:
    """Do what somebody else asked for."""
    found = _request(console, asked)
    check_may_settle(found, asked.who)
    mistakes = confirmed(console, asked, found.period, "the period")
    if mistakes:
        return console.form_again(asked, "request.html", mistakes, **_request_values(console, asked))
    with console.changing:
        found = _request(console, asked)
        check_may_settle(found, asked.who)
        task = Task(
            kind=_KINDS[found.kind],
            who=asked.who,
            reason=f"{found.reason} (asked for by {found.who})",
            campaign=found.campaign,
            period=found.period,
            grace=found.grace,
        )
        begun = console.jobs.start(task)
        console.requests.put(
            found.id, msgspec.structs.replace(found, state=RequestState.STARTED, job=begun.id)
        )
    append_audit(
        console.services.store,
        console.services.clock,
        asked.who,
        f"console.{found.kind}",
        f"{found.campaign} {found.period}",
        None,
        {"asked_for_by": found.who, "job": begun.id},
        found.reason,
    )
    return see(f"/jobs/{begun.id}")


def withdraw(console: Console, asked: Asked) -> Response:
    """Take a request back."""
    with console.changing:
        found = _request(console, asked)
        if found.state is not RequestState.OPEN:
            raise OperationRefused(f"this request is {found.state}: there is nothing to take back")
        console.requests.put(found.id, msgspec.structs.replace(found, state=RequestState.WITHDRAWN))
    asked.say("Taken back.")
    return see("/batch")


def _reports(console: Console) -> list[Report]:
    reports = Reports(console.services.batch_folder)
    return [reports.read(one) for one in reports.ids()[: -REPORTS_SHOWN - 1 : -1]]


def _report(console: Console, asked: Asked) -> Report:
    try:
        return Reports(console.services.batch_folder).read(asked.parameters["report"])
    except ReportUnreadable as error:
        raise Refused(HTTPStatus.NOT_FOUND, "No such report", f"{error}.") from error


def _request(console: Console, asked: Asked) -> SettlementRequest:
    found = console.requests.find(asked.parameters["request"])
    if found is None:
        raise Refused(HTTPStatus.NOT_FOUND, "No such request", "Nobody has asked for this.")
    return found


def _request_values(console: Console, asked: Asked) -> dict[str, Any]:
    found = _request(console, asked)
    campaign = campaign_of(console.catalog(), found.campaign)
    period = period_of(campaign, found.period)
    counting = period
    if found.kind == "grant" and campaign.effective is Effective.NEXT:
        counting = period.previous()
    return {
        "request": found,
        "campaign": campaign,
        "counting": str(counting),
        "ends_at": campaign.calendar.ends_at(period),
    }
