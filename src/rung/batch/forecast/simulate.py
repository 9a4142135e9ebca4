"""Simulation: what a candidate version would have made of periods that the lake has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from rung.batch.forecast.basis import Extent, extent_of, missing_attributes
from rung.batch.forecast.comparing import Comparing, Question
from rung.batch.forecast.numbers import Compared
from rung.batch.snapshots import Snapshot
from rung.batch.workshop import Workshop
from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog, CountedVersion
from rung.campaign.model import Campaign, Version

PERIODS_MAX: Final = 400
"""The most periods of one simulation: a year of days, and some."""


class SimulationRefused(Exception):
    """What was asked cannot be simulated or compared; the text says what can."""


class Simulation(msgspec.Struct, frozen=True):
    """A candidate over periods, compared with the version in force in each.

    Attributes:
        campaign, version, identity: The candidate.
        log, positions: The log, and for each partition the offset before which every event was looked at.
        against: The applied campaign that it is compared with; None if there is none.
        notes: What whoever reads the numbers has to know.
        periods: The numbers.
    """

    campaign: str
    version: int
    identity: str
    log: str
    positions: dict[int, int]
    against: str | None
    notes: list[str]
    periods: list[Compared]


def simulate(
    workshop: Workshop,
    snapshot: Snapshot,
    campaign: Campaign,
    version: Version,
    periods: Sequence[Period],
    against: Campaign | None,
    against_version: int | None = None,
) -> Simulation:
    """Run a version of a campaign, which need not be applied, over periods.

    Args:
        workshop: What to work with.
        snapshot: The transactions and figures to use.
        campaign: The candidate's campaign.
        version: The candidate. It counts all of `periods`, whatever it is scheduled for.
        periods: The counting periods, ascending.
        against: The applied campaign to compare it with, if any.
        against_version: The version to compare it with; None for the one that serves each period.

    Raises:
        SimulationRefused: it names an attribute that events do not have, a period of which the lake has
            nothing, or a campaign that counts by another kind of period.
        SnapshotDamaged: a file of the snapshot is not what was written.
    """
    catalog = workshop.catalog()
    if len(periods) > PERIODS_MAX:
        raise SimulationRefused(f"{len(periods)} periods are too many: choose {PERIODS_MAX} at most")
    if against is not None and against.calendar.kind is not campaign.calendar.kind:
        raise SimulationRefused(
            f"campaign {against.name} counts by {against.calendar.kind} and the candidate by "
            f"{campaign.calendar.kind}: they cannot be compared; choose another one with --campaign"
        )
    extent = known_extent(workshop, snapshot, campaign, periods)
    wrong = missing_attributes(workshop.engine, _merged(workshop, snapshot), campaign, version)
    if wrong:
        raise SimulationRefused("\n".join(f"campaign {campaign.name}: {line}" for line in wrong))
    candidate = candidate_of(catalog, campaign, version, periods)
    questions = [
        Question(period, _opponent(catalog, against, against_version, period), candidate)
        for period in periods
    ]
    comparing = Comparing(workshop, snapshot)
    found = comparing.compare(questions, extent)
    return Simulation(
        campaign.name,
        version.number,
        version.identity,
        snapshot.log,
        dict(sorted(snapshot.positions.items())),
        None if against is None else against.name,
        notes_on(found),
        found,
    )


def known_extent(
    workshop: Workshop, snapshot: Snapshot, campaign: Campaign, periods: Sequence[Period]
) -> Extent:
    """Return what the transactions of a snapshot, which is checked, span.

    Raises:
        SimulationRefused: a period lies outside of it.
        SnapshotDamaged: a file of the snapshot is not what was written.
    """
    workshop.snapshots.check(snapshot, workshop.engine.threads)
    extent = extent_of(workshop.engine, _merged(workshop, snapshot), workshop.clock())
    if extent is None:
        raise SimulationRefused(
            "the lake has no purchase yet: append events with `rung ingest`, and run the command again"
        )
    first, last = extent.periods(campaign)
    outside = [period for period in periods if not first <= period <= last]
    if outside:
        raise SimulationRefused(
            f"{outside[0]} is outside of the lake's data: it has purchases from {first} to {last}"
        )
    return extent


def candidate_of(
    catalog: Catalog, campaign: Campaign, version: Version, periods: Sequence[Period]
) -> CountedVersion:
    """Return a version that counts periods under ids that no applied version has."""
    taken = max((series for counted in catalog.versions for series in counted.series.values()), default=0)
    series = {measure.name: taken + index for index, measure in enumerate(version.measures, 1)}
    return CountedVersion(campaign, version, series, {}, (periods[0].ordinal, periods[-1].ordinal))


def notes_on(periods: Sequence[Compared]) -> list[str]:
    """Return what has to be known of periods that are not whole, and of projected amounts."""
    notes: list[str] = []
    for found in periods:
        if not found.whole:
            notes.append(
                f"{found.period} is not whole: it has not ended, or the lake has nothing from after its end; "
                "its figures are those so far"
            )
        for outcome in (found.before, found.after):
            if outcome is None or outcome.basis == "measured":
                continue
            what = "" if outcome.basis == "projected" else ", which is not whole either: none is"
            notes.append(
                f"{found.period}: the cash back is projected from the purchases of {outcome.purchases_in}"
                f"{what}, because the period in which the rates are in force is not whole yet"
            )
    return list(dict.fromkeys(notes))


def _opponent(
    catalog: Catalog, campaign: Campaign | None, number: int | None, period: Period
) -> CountedVersion | None:
    if campaign is None:
        return None
    serving = campaign.version_counting(period)
    chosen = number if number is not None else None if serving is None else serving.number
    return None if chosen is None else catalog.versions_of(campaign.name)[chosen]


def _merged(workshop: Workshop, snapshot: Snapshot) -> list[list[Path]]:
    return [workshop.snapshots.paths(names) for names in snapshot.merged.values()]
