"""What rules would do: two versions compared, and a candidate run over past periods."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rung.batch.forecast.comparing import Examples
from rung.batch.forecast.diffs import DiffReport, diff, write_diff
from rung.batch.forecast.simulate import Simulation, notes_on, simulate
from rung.batch.snapshots import Snapshot
from rung.batch.workshop import Workshop
from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog
from rung.campaign.model import Campaign, Version
from rung.operations.catalog import campaign_of, period_of, version_of
from rung.operations.errors import OperationRefused


@dataclass(frozen=True, slots=True)
class Difference:
    """What a version changes: the report, its hash and file, notes to read it by, and who changes most."""

    report: DiffReport
    digest: str
    file: Path
    notes: list[str]
    examples: Examples


def compare_versions(
    workshop: Workshop, campaign: str, before: int, after: int, period: str, *, newest: bool = False
) -> Difference:
    """Compare two applied versions for every user, and write the report that an activation asks for.

    Args:
        workshop: What to work with.
        campaign: The campaign's name.
        before: The number of the version to compare with.
        after: The number of the one that would take its place.
        period: The counting period, as text.
        newest: Use the newest snapshot as it is.

    Raises:
        UnknownCampaign: there is no such campaign.
        OperationRefused: there is no such version or period, or there is nothing to compare.
        SimulationRefused: the lake has nothing of the period.
    """
    catalog = workshop.catalog()
    chosen = period_of(campaign_of(catalog, campaign), period)
    versions = [version_of(catalog, campaign, number) for number in (before, after)]
    if before == after:
        raise OperationRefused(f"version {before} is compared with itself: name two versions")
    snapshot = snapshot_of(workshop, newest=newest)
    report, examples = diff(workshop, snapshot, versions[0], versions[1], chosen)
    digest = write_diff(workshop.folder, report)
    file = workshop.folder / "diffs" / f"{digest}.json"
    return Difference(report, digest, file, notes_on([report.compared]), examples)


def run_candidate(
    workshop: Workshop,
    candidate: Campaign,
    version: Version,
    periods: str,
    campaign: str | None = None,
    against: int | None = None,
    *,
    newest: bool = False,
) -> Simulation:
    """Run a version of a campaign, which need not be applied, over periods that the lake has.

    Args:
        workshop: What to work with.
        candidate: The campaign, as a spec has it.
        version: The one of its versions to run.
        periods: From one counting period to another one, such as 2011-07..2011-10; or one.
        campaign: The applied campaign to compare with; None for the one of the candidate's name.
        against: The applied version to compare with; None for the one that serves each period.
        newest: Use the newest snapshot as it is.

    Raises:
        UnknownCampaign: there is no such campaign.
        OperationRefused: there is no such version or period.
        SimulationRefused: the lake has nothing of a period, or events have no such attribute.
    """
    asked = periods_of(candidate, periods)
    opponent = _opponent(workshop.catalog(), candidate, campaign, against)
    snapshot = snapshot_of(workshop, newest=newest)
    return simulate(workshop, snapshot, candidate, version, asked, opponent, against)


def version_in(candidate: Campaign, number: int | None, spec: str) -> Version:
    """Return a version of a spec, the last one if none is named.

    Raises:
        OperationRefused: there is none of this number.
    """
    if number is None:
        return candidate.versions[-1]
    for version in candidate.versions:
        if version.number == number:
            return version
    known = ", ".join(str(version.number) for version in candidate.versions)
    raise OperationRefused(f"{spec}: campaign {candidate.name} has no version {number}; there are: {known}")


def periods_of(campaign: Campaign, text: str) -> list[Period]:
    """Read periods, from one to another one, or just one.

    Raises:
        OperationRefused: these are none of the campaign's.
    """
    first, dots, last = text.partition("..")
    start = period_of(campaign, first)
    end = period_of(campaign, last) if dots else start
    if end < start:
        raise OperationRefused(f"--periods: {start} comes after {end}: write the earlier one first")
    return [Period(start.kind, ordinal) for ordinal in range(start.ordinal, end.ordinal + 1)]


def snapshot_of(workshop: Workshop, *, newest: bool) -> Snapshot:
    """Return a snapshot of everything that is in the log now, or the newest one that is there.

    Raises:
        OperationRefused: there is none yet.
    """
    if not newest:
        return workshop.aggregate_to(dict(workshop.log.ends())).snapshot
    state = workshop.lake.state()
    found = workshop.snapshots.newest(state.log, state.positions, workshop.catalog())
    if found is None:
        raise OperationRefused("there is no snapshot yet: leave out --as-of-snapshot, which makes one")
    return found


def _opponent(catalog: Catalog, candidate: Campaign, name: str | None, number: int | None) -> Campaign | None:
    found = catalog.campaigns.get(candidate.name) if name is None else campaign_of(catalog, name)
    if number is not None:
        if found is None:
            raise OperationRefused(
                f"--against {number}: campaign {candidate.name} is not applied; "
                "name an applied one with --campaign"
            )
        version_of(catalog, found.name, number)
    return found
