"""The horizon of what is kept: from which instant on, what has to be true before it moves, and moving it."""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rung.batch.holdings import holdings
from rung.batch.proof.report import Reports
from rung.batch.settlement.settled import closed_periods
from rung.batch.workshop import Workshop
from rung.campaign.calendar import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND, TIME_MIN, Period
from rung.campaign.catalog import Catalog
from rung.campaign.model import Campaign, Effective
from rung.store.again import until_stored
from rung.store.audit import due_audit
from rung.store.port import Applied

_REPORT_AGE_MAX: Final = MICROSECONDS_PER_DAY
_SHOWN_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Horizon:
    """Where the horizon is and where it is due.

    Attributes:
        before, after: The catalog as it is, and as it would be.
        refusals: What stands against it, each with what to do.
        notes: What is worth to know.
    """

    before: Catalog
    after: Catalog
    refusals: tuple[str, ...]
    notes: tuple[str, ...]


def due_horizon(catalog: Catalog, applied: Mapping[int, Applied], now: int) -> int:
    """Return the instant, in microseconds since the epoch, from which on everything is kept.

    It is the start of a day (UTC): as long before now as the campaign says that keeps longest, and never
    behind the start of a period whose rate is in force or whose figures still grow. "Now" is the time of the
    events: of the partition that is the furthest behind, and never after the clock. It never goes back.
    """
    told = [state.event_at for state in applied.values() if state.event_at is not None]
    if not told or not catalog.campaigns:
        return catalog.kept_from
    at = min(now, *told)
    if at < TIME_MIN:
        return catalog.kept_from
    due = min(_horizon_of(campaign, at) for campaign in catalog.campaigns.values())
    due -= due % MICROSECONDS_PER_DAY
    return max(catalog.kept_from, due if due > TIME_MIN else 0)


def _horizon_of(campaign: Campaign, at: int) -> int:
    period = campaign.calendar.period_at(at)
    earned = period.previous() if campaign.effective is Effective.NEXT else period
    return min(_months_before(at, campaign.keep_months), campaign.calendar.starts_at(earned))


def _months_before(at: int, months: int) -> int:
    moment = datetime.fromtimestamp(at // MICROSECONDS_PER_SECOND, UTC)
    year, month = divmod(moment.year * 12 + moment.month - 1 - months, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return int(datetime(year, month + 1, day, tzinfo=UTC).timestamp()) * MICROSECONDS_PER_SECOND


def plan_horizon(workshop: Workshop) -> Horizon:
    """Return where the horizon is due now, and what stands against moving it there."""
    catalog = workshop.catalog()
    after = catalog.pruned(due_horizon(catalog, workshop.store.applied(), workshop.clock()))
    notes: list[str] = []
    refusals = [
        *(one.problem for one in holdings(workshop.log, workshop.lake)[1] if one.problem),
        *_unverified(workshop),
        *_unclosed(workshop, catalog, after, notes),
    ]
    return Horizon(catalog, after, tuple(refusals), tuple(notes))


def _unverified(workshop: Workshop) -> Iterator[str]:
    """Yield why the store is not known to equal the lake."""
    reports = Reports(workshop.folder)
    ids = reports.ids()
    if not ids:
        yield "nothing was verified yet: run `rung batch verify`"
        return
    report = reports.read(ids[-1])
    if not report.is_clean:
        yield (
            f"the last verification {report.id} is not clean: run `rung batch repair {report.id} --yes` and "
            "`rung batch verify`"
        )
    elif report.started_at < workshop.clock() - _REPORT_AGE_MAX:
        yield f"the last verification {report.id} is older than a day: run `rung batch verify`"


def _unclosed(workshop: Workshop, catalog: Catalog, after: Catalog, notes: list[str]) -> Iterator[str]:
    """Yield the periods that would be pruned before they were closed, of campaigns that close periods."""
    for name, campaign in catalog.campaigns.items():
        before = catalog.versions_of(name)
        newly = [
            period
            for number, counted in after.versions_of(name).items()
            for ordinal in range(before[number].periods[0], counted.periods[0])
            if (period := Period(campaign.calendar.kind, ordinal)) and _serves(campaign, period, number)
        ]
        closed = closed_periods(workshop.folder, campaign)
        if not closed:
            if newly:
                notes.append(
                    f"campaign {name} never closed a period: the results of those that are pruned are "
                    "written nowhere; the lake gives them"
                )
            continue
        unclosed = [period for period in newly if period >= closed[0] and period not in closed]
        for period in unclosed[:_SHOWN_MAX]:
            yield f"period {period} of campaign {name} is not closed: run `rung batch close {name} {period}`"
        if len(unclosed) > _SHOWN_MAX:
            yield f"and {len(unclosed) - _SHOWN_MAX:,} further periods of campaign {name} are not closed"


def _serves(campaign: Campaign, period: Period, number: int) -> bool:
    version = campaign.version_counting(period)
    return version is not None and version.number == number


def move_horizon(workshop: Workshop, kept_from: int, who: str, reason: str) -> Catalog:
    """Have the catalog keep only what is from an instant on, with an audit entry; return it.

    From then on no worker stores an event by older rules: a change that was decided before is refused.

    Raises:
        Overtaken: others changed the catalog again and again.
    """

    def moved() -> Catalog:
        revision, record = workshop.store.catalog()
        before = Catalog.decode(record)
        after = before.pruned(kept_from)
        if after == before:
            return before
        audit = due_audit(
            workshop.store,
            workshop.clock,
            who,
            "prune",
            f"before {instant_text(kept_from)}",
            _described(before),
            _described(after),
            reason,
        )
        workshop.store.put_catalog(revision, after.encode(), None, audit)
        return after

    return until_stored(moved)


def _described(catalog: Catalog) -> dict[str, object]:
    return {
        "kept_from": instant_text(catalog.kept_from),
        "first_periods": {
            f"{counted.campaign.name}/{counted.version.number}": first_text(counted.campaign, counted.periods)
            for counted in catalog.versions
        },
    }


def first_text(campaign: Campaign, periods: tuple[int, int]) -> str | None:
    """Return the first period that is counted; None if none is."""
    first, last = periods
    return str(Period(campaign.calendar.kind, first)) if first <= last else None


def instant_text(at: int) -> str | None:
    """Return the start of a day in UTC; None for 0, the beginning."""
    if not at:
        return None
    return datetime.fromtimestamp(at // MICROSECONDS_PER_SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
