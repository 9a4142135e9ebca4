"""Close a counting period: write the result of every user once and for all, when nothing is missing from it.

A period is provisional, closing while this job holds the lease and works on it, and closed as soon as the
manifest is there. A job that dies before that leaves it provisional. Then what each user has met is kept in
the store, so that statuses tell it (`rung.batch.settlement.kept_steps`); a job that dies there is run again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from rung.batch.proof.report import Reports
from rung.batch.settlement.closed import Closed, find_closed, outside_text, step_columns
from rung.batch.settlement.kept_steps import Keeping, keep_steps
from rung.batch.settlement.results import results
from rung.batch.settlement.settled import (
    FORMAT,
    ClosedManifest,
    Origin,
    SettleRefused,
    Written,
    closed_files,
    origin_of,
    refused,
    settle,
)
from rung.batch.settlement.zoned import days_after, local_text
from rung.batch.told import told_sql
from rung.batch.workshop import Workshop
from rung.campaign.calendar import MICROSECONDS_PER_SECOND, Period
from rung.campaign.counted import CountedVersion
from rung.campaign.model import Campaign
from rung.store.port import NOTHING_APPLIED

_LOOK_EVERY_SECONDS: Final = 0.2

IsVerified = Callable[[Workshop, CountedVersion, int], str | None]
"""Tells why the figures of a version are not proved right since an instant; None if they are."""


@dataclass(frozen=True, slots=True)
class Grace:
    """How long after a period's end its late events are waited for: days in its zone, and hours."""

    days: int = 3
    hours: int = 0

    def ends_at(self, campaign: Campaign, period: Period) -> int:
        """Return when a period may be closed, in microseconds since the epoch."""
        hours = self.hours * 3600 * MICROSECONDS_PER_SECOND
        return days_after(campaign.calendar, period, self.days) + hours


def verified_by_report(workshop: Workshop, counted: CountedVersion, since: int) -> str | None:
    """Tell why the last report of `rung batch verify` does not prove a version right; None if it does."""
    reports = Reports(workshop.folder)
    ids = reports.ids()
    if not ids:
        return "nothing was verified yet: run `rung batch verify`"
    report = reports.read(ids[-1])
    again = "run `rung batch verify` again"
    if not report.is_clean:
        return f"report {report.id} is not clean: run `rung batch repair {report.id} --yes`, then {again}"
    if report.started_at < since:
        return f"report {report.id} is from before the end of the period: {again}"
    if f"{counted.campaign.name}/{counted.version.number}" not in report.versions:
        return f"report {report.id} has not compared version {counted.version.number}: {again}"
    return None


@dataclass(frozen=True, slots=True)
class Closing:
    """How a period is closed. `wait_seconds` is how long events may take to be applied meanwhile."""

    who: str
    grace: Grace = Grace()
    wait_seconds: float = 60.0
    is_verified: IsVerified = verified_by_report


def close(
    workshop: Workshop,
    campaign: Campaign,
    period: Period,
    closing: Closing,
    agreed: Callable[[CountedVersion], object],
    told: Callable[[str], object],
) -> tuple[Closed, bool]:
    """Close a counting period, and return it and whether it was closed just now, and not before.

    Args:
        workshop: What to work with.
        campaign: The campaign.
        period: The counting period.
        closing: How it is closed, and by whom.
        agreed: Is called when nothing stands against it, and raises an error if it is not wanted.
        told: Is told what is being done.

    Raises:
        SettleRefused: the period cannot be closed now; all reasons are given.
        SettledDamaged: it is closed, and its result is not what was written.
        CatalogRefused: it is closed, and another version serves it by now.
        Overtaken: it is closed, and a user was changed by others at every attempt to keep what it has met.
        LakeError: the lake lacks events, and the log has them no more; or it cannot be read.
        CatalogMoved: the campaigns changed meanwhile.
    """
    found = find_closed(workshop.folder, workshop.catalog(), campaign, period)
    closed = _written(workshop, campaign, period, closing, agreed, told) if found is None else found
    subject = f"{campaign.name} {period}"
    keeping = Keeping(
        workshop.store, workshop.log.partitions, workshop.clock, closing.who, "batch.close", subject
    )
    keep_steps(keeping, [closed], lambda count: told(f"kept what {count:,} users have met"))
    counted = workshop.catalog().version(campaign.name, closed.counted.version.number)
    return Closed(closed.files, closed.manifest, counted), found is None


def _written(
    workshop: Workshop,
    campaign: Campaign,
    period: Period,
    closing: Closing,
    agreed: Callable[[CountedVersion], object],
    told: Callable[[str], object],
) -> Closed:
    """Write the result of a period if nothing stands against it."""
    counted = _counted(workshop, campaign, period)
    if reasons := tuple(_reasons(workshop, counted, period, closing)):
        raise SettleRefused(reasons)
    agreed(counted)
    ends = dict(workshop.log.ends())
    told("waiting until all events are applied")
    _wait_until_applied(workshop, ends, closing.wait_seconds)
    told("aggregating the lake")
    snapshot = workshop.aggregate_to(ends).snapshot
    told("computing the result of every user")
    users = told_sql(workshop.engine, workshop.lake.state(), workshop.catalog(), ends)
    rows = results(workshop, snapshot, counted, period, users)
    files = closed_files(workshop.folder, campaign.name, period)
    origin = origin_of(counted, period, snapshot)
    manifest = settle(files, rows, partial(_manifest, origin, counted, rows, workshop.clock(), closing.who))
    return Closed(files, manifest, counted)


def _manifest(
    origin: Origin, counted: CountedVersion, rows: pa.Table, at: int, who: str, written: Written
) -> ClosedManifest:
    steps = {
        step.name: int(pc.sum(rows.column(column)).as_py() or 0)
        for step, column in zip(counted.version.reward.steps, step_columns(counted), strict=True)
    }
    return ClosedManifest(FORMAT, origin, written.rows, steps, written.sha256, written.bytes, at, who)


def _counted(workshop: Workshop, campaign: Campaign, period: Period) -> CountedVersion:
    """Return the version that serves a period which has ended."""
    version = campaign.version_counting(period)
    if version is None:
        raise refused(outside_text(campaign, period))
    ends_at = campaign.calendar.ends_at(period)
    if workshop.clock() < ends_at:
        raise refused(
            f"period {period} of campaign {campaign.name} has not ended: "
            f"it ends at {local_text(campaign.calendar, ends_at)}"
        )
    return workshop.catalog().versions_of(campaign.name)[version.number]


def _reasons(workshop: Workshop, counted: CountedVersion, period: Period, closing: Closing) -> Iterator[str]:
    """Yield what stands against closing a period."""
    campaign = counted.campaign
    who = f"period {period} of campaign {campaign.name}"
    grace_ends_at = closing.grace.ends_at(campaign, period)
    if workshop.clock() < grace_ends_at:
        yield (
            f"{who} waits for late events until {local_text(campaign.calendar, grace_ends_at)}: "
            "close it after that, or choose another --grace"
        )
    if not counted.complete:
        yield (
            f"{who} is counted by version {counted.version.number}, whose past has not been added yet: "
            f"run `rung batch backfill {campaign.name} {counted.version.number}` first"
        )
    unproved = closing.is_verified(workshop, counted, campaign.calendar.ends_at(period))
    if unproved is not None:
        yield f"{who} is not verified: {unproved}"


def _wait_until_applied(workshop: Workshop, ends: Mapping[int, int], seconds: float) -> None:
    """Wait until the store holds every event before `ends`.

    Raises:
        SettleRefused: it does not after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        applied = workshop.store.applied()
        waiting = sum(
            max(0, end - 1 - applied.get(partition, NOTHING_APPLIED).offset)
            for partition, end in ends.items()
        )
        if not waiting:
            return
        if time.monotonic() >= deadline:
            raise refused(
                f"{waiting:,} of the log's events are not applied yet, and may belong to the period: "
                "start a worker, and see `rung lag`"
            )
        time.sleep(_LOOK_EVERY_SECONDS)
