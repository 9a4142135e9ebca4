"""Campaigns: which version serves when, what its ladder is, and how many users stand where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import ndiff
from http import HTTPStatus
from typing import Any, Final, Literal

import msgspec
from starlette.responses import Response

from rung.batch.forecast.simulate import Simulation
from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog
from rung.campaign.model import Campaign, Effective, Version
from rung.console.console import Asked, Console, see
from rung.console.forms import Mistake, Refused
from rung.console.jobs import Job
from rung.console.tasks import Task, TaskKind
from rung.console.views.confirm import confirmed
from rung.console.views.jobs import started
from rung.console.views.one_change import every
from rung.console.views.shown import shown
from rung.console.wording import ladder_of, measure_text
from rung.operations.audited import read_audit
from rung.operations.author import Author
from rung.operations.lanes import Lane, lanes_of
from rung.operations.serving import roll_back as take_back
from rung.operations.wording import rule_lines
from rung.store.audit import AuditEntry

_PERIODS_BEFORE: Final = 2
_PERIODS_AFTER: Final = 3
_HISTORY_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A campaign in the list; None is where it counts, or applies, nothing."""

    campaign: Campaign
    counting: str
    counting_version: int | None
    effective_version: int | None
    shadows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A period in a lane of the time line: its version, if it has one, and whether it goes on from before."""

    period: str
    version: int | None
    is_current: bool
    goes_on: bool


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A line of a version's rules: as before, added or taken away."""

    sign: Literal["", "added", "removed"]
    text: str


@dataclass(frozen=True, slots=True)
class ShownVersion:
    """A version: when it serves, its rules, and what differs from the version before."""

    version: Version
    lanes: tuple[Lane, ...]
    complete: bool
    identity: str
    lines: tuple[RuleLine, ...]


def list_campaigns(console: Console, asked: Asked) -> Response:
    """List the campaigns in force."""
    catalog = console.catalog()
    rows = [_row(catalog, campaign, asked.now) for _, campaign in sorted(catalog.campaigns.items())]
    return console.page(asked, "campaigns.html", rows=rows)


def show(console: Console, asked: Asked) -> Response:
    """Show one campaign."""
    catalog, campaign = _found(console, asked)
    current = campaign.calendar.period_at(asked.now)
    serving = campaign.version_counting(current)
    effective = _in_force(campaign, current)
    counted = console.jobs.last(TaskKind.COUNT, campaign=campaign.name)
    history = shown(asked, lambda: read_audit(console.services.store))
    entries: Sequence[AuditEntry] = () if history.value is None else history.value.entries
    return console.page(
        asked,
        "campaign.html",
        campaign=campaign,
        current=str(current),
        effective_period=str(current.next() if campaign.effective is Effective.NEXT else current),
        serving=serving,
        in_force=effective,
        ladder=[] if serving is None else ladder_of(campaign, serving),
        measures=[] if serving is None else [(one.name, measure_text(one)) for one in serving.measures],
        lanes=lanes_of(catalog, campaign.name),
        timeline=_timeline(catalog, campaign, current),
        versions=_versions(catalog, campaign),
        counted=counted,
        outcome=None if counted is None else _outcome(counted),
        proposals=[one for one in every(console) if one.campaign == campaign.name and one.state == "open"],
        history=[one for one in reversed(entries) if campaign.name in (one.after or {})][:_HISTORY_MAX],
        history_trouble=history.trouble,
        can_go_back=bool(catalog.earlier.get(campaign.name)),
    )


def count_users(console: Console, asked: Asked) -> Response:
    """Start to count the users by step, as of now."""
    _, campaign = _found(console, asked)
    period = campaign.calendar.period_at(asked.now)
    if campaign.counts_until is not None and campaign.counts_until < period:
        period = campaign.counts_until
    serving = campaign.version_counting(period)
    if serving is None:
        raise Refused(
            HTTPStatus.CONFLICT, "Nothing to count", f"No version of {campaign.name} serves {period}."
        )
    task = Task(
        kind=TaskKind.COUNT,
        who=asked.who,
        campaign=campaign.name,
        version=serving.number,
        period=str(period),
    )
    return started(console, task)


def roll_back_form(console: Console, asked: Asked) -> Response:
    """Show what would be taken back."""
    return console.page(asked, "roll-back.html", **_way_back(console, asked))


def roll_back(console: Console, asked: Asked) -> Response:
    """Put the schedule back as it was before the last activation."""
    _, campaign = _found(console, asked)
    mistakes = confirmed(console, asked, campaign.name, "the campaign's name")
    reason = asked.form.text("reason")
    if not reason:
        mistakes.append(Mistake("reason", "Say why, for those who read the audit list."))
    if mistakes:
        return console.form_again(asked, "roll-back.html", mistakes, **_way_back(console, asked))
    take_back(console.services.store, console.services.clock, campaign.name, Author(asked.who, reason))
    asked.say(
        f"Rolled back {campaign.name}: the last activation is taken back, at once and for every reader."
    )
    return see(f"/campaigns/{campaign.name}")


def _way_back(console: Console, asked: Asked) -> dict[str, Any]:
    catalog, campaign = _found(console, asked)
    earlier = catalog.earlier.get(campaign.name, ())
    after = catalog.roll_back(campaign.name) if earlier else None
    return {
        "campaign": campaign,
        "before": lanes_of(catalog, campaign.name),
        "after": None if after is None else lanes_of(after, campaign.name),
    }


def _found(console: Console, asked: Asked) -> tuple[Catalog, Campaign]:
    catalog, name = console.catalog(), asked.parameters["campaign"]
    campaign = catalog.campaigns.get(name)
    if campaign is None:
        known = ", ".join(sorted(catalog.campaigns)) or "none"
        raise Refused(
            HTTPStatus.NOT_FOUND, "No such campaign", f"No campaign is named {name!r}; there are: {known}."
        )
    return catalog, campaign


def _row(catalog: Catalog, campaign: Campaign, now: int) -> Row:
    current = campaign.calendar.period_at(now)
    serving, in_force = campaign.version_counting(current), _in_force(campaign, current)
    served = {span.version for span in campaign.spans()}
    return Row(
        campaign,
        str(current),
        None if serving is None else serving.number,
        None if in_force is None else in_force.number,
        tuple(number for number in catalog.versions_of(campaign.name) if number not in served),
    )


def _in_force(campaign: Campaign, current: Period) -> Version | None:
    """Return the version whose rate is in force in a period."""
    earned = current.previous() if campaign.effective is Effective.NEXT else current
    return campaign.version_counting(earned)


def _timeline(catalog: Catalog, campaign: Campaign, current: Period) -> dict[str, Any]:
    """Return the lanes around the current period: what counts, what is in force, and each shadow."""
    first = current.ordinal - _PERIODS_BEFORE
    periods = [
        Period(current.kind, ordinal) for ordinal in range(first, current.ordinal + _PERIODS_AFTER + 1)
    ]
    served = {span.version for span in campaign.spans()}
    counting = [_number(campaign.version_counting(period)) for period in periods]
    in_force = [_number(_in_force(campaign, period)) for period in periods]
    lanes = [("Counts", counting), ("In force", in_force)]
    for number, counted in sorted(catalog.versions_of(campaign.name).items()):
        if number not in served:
            counts = [number if counted.counts(one.ordinal, one.ordinal) else None for one in periods]
            lanes.append((f"Shadow {number}", counts))
    return {
        "periods": [(str(period), period == current) for period in periods],
        "lanes": [(name, _cells(periods, numbers, current)) for name, numbers in lanes],
    }


def _cells(periods: list[Period], numbers: list[int | None], current: Period) -> list[Cell]:
    return [
        Cell(str(period), number, period == current, index > 0 and numbers[index - 1] == number)
        for index, (period, number) in enumerate(zip(periods, numbers, strict=True))
    ]


def _number(version: Version | None) -> int | None:
    return None if version is None else version.number


def _versions(catalog: Catalog, campaign: Campaign) -> list[ShownVersion]:
    """Return the versions, the newest first, each compared with the one before it."""
    lanes, counted = lanes_of(catalog, campaign.name), catalog.versions_of(campaign.name)
    found: list[ShownVersion] = []
    before: list[str] = []
    for version in campaign.versions:
        lines = rule_lines(version)
        found.append(
            ShownVersion(
                version,
                tuple(lane for lane in lanes if lane.counted.version.number == version.number),
                counted[version.number].complete,
                version.identity[:12],
                tuple(compared_lines(before, lines) if before else (RuleLine("", line) for line in lines)),
            )
        )
        before = lines
    return found[::-1]


def compared_lines(before: list[str], after: list[str]) -> list[RuleLine]:
    """Return the lines of two versions' rules as one list, with what was added and removed."""
    signs: dict[str, Literal["", "added", "removed"]] = {"+ ": "added", "- ": "removed", "  ": ""}
    return [RuleLine(signs[line[:2]], line[2:]) for line in ndiff(before, after) if line[:2] in signs]


def _outcome(counted: Job) -> object:
    found = msgspec.convert(counted.result, Simulation, str_keys=True)
    return found.periods[0].after
