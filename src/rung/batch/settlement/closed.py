"""A closed period: what others read of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rung.batch.settlement.settled import (
    ClosedManifest,
    Settled,
    SettledDamaged,
    check_rows,
    closed_files,
    closed_periods,
    read_manifest,
    refused,
)
from rung.batch.workshop import Workshop
from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog
from rung.campaign.counted import CountedVersion
from rung.campaign.model import Campaign


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed period: its files, what the manifest says, and the version that counted it."""

    files: Settled
    manifest: ClosedManifest
    counted: CountedVersion

    @property
    def period(self) -> Period:
        """The counting period."""
        return Period.parse(self.manifest.origin.counting_period, self.counted.campaign.calendar.kind)

    @property
    def ordinal(self) -> int:
        """The ordinal of the counting period."""
        return self.period.ordinal

    def is_due_in(self, catalog: Catalog) -> bool:
        """Tell whether a catalog does not have the period as closed, though it was not pruned."""
        counted = catalog.version(self.manifest.origin.campaign, self.manifest.origin.version)
        return self.ordinal >= counted.periods[0] and not counted.is_closed(self.ordinal)


def step_column(name: str) -> str:
    """Return the name of a step's column in a result."""
    return f"step.{name}"


def step_columns(counted: CountedVersion) -> list[str]:
    """Return the columns of a version's steps in a result."""
    return [step_column(step.name) for step in counted.version.reward.steps]


def find_closed(folder: Path, catalog: Catalog, campaign: Campaign, period: Period) -> Closed | None:
    """Return a counting period that is closed, its result compared with its checksum; None if it is not.

    Raises:
        SettledDamaged: the result is not what was written, or its version is not the one that is applied.
    """
    files = closed_files(folder, campaign.name, period)
    if not files.exists():
        return None
    manifest = read_manifest(files, ClosedManifest)
    check_rows(files, manifest.sha256)
    origin = manifest.origin
    counted = catalog.versions_of(campaign.name).get(origin.version)
    if counted is None or counted.version.identity != origin.identity:
        raise SettledDamaged(
            f"{files.manifest} is of version {origin.version} with identity {origin.identity}, which is not "
            f"applied: apply the spec of campaign {campaign.name} that has it"
        )
    return Closed(files, manifest, counted)


def read_closed(workshop: Workshop, campaign: Campaign, period: Period) -> Closed:
    """Return a counting period that is closed.

    Raises:
        SettleRefused: it is not closed, or is no counting period of the campaign.
        SettledDamaged: see `find_closed`.
    """
    found = find_closed(workshop.folder, workshop.catalog(), campaign, period)
    if found is not None:
        return found
    if campaign.version_counting(period) is None:
        raise refused(outside_text(campaign, period))
    raise refused(
        f"the counting period {period} of campaign {campaign.name} is not closed: "
        f"run `rung batch close {campaign.name} {period}` first"
    )


def those_shown(folder: Path, catalog: Catalog) -> Iterator[Closed]:
    """Yield the periods that a catalog has as closed, in the order of its versions.

    Raises:
        SettledDamaged: the result of one is missing, or is not what was written.
    """
    for counted in catalog.versions:
        campaign = counted.campaign
        for first, last in counted.closed:
            for ordinal in range(first, last + 1):
                period = Period(campaign.calendar.kind, ordinal)
                found = find_closed(folder, catalog, campaign, period)
                if found is None:
                    files = closed_files(folder, campaign.name, period)
                    raise SettledDamaged(
                        f"{files.manifest} is missing, and period {period} of campaign {campaign.name} is "
                        "closed: restore it with its result"
                    )
                yield found


def those_written(folder: Path, catalog: Catalog) -> list[Closed]:
    """Return all periods with a result of the version that serves them, pruned ones among them.

    Raises:
        SettledDamaged: the result of one of them, or of one that the catalog has as closed, is missing, or is
            not what was written.
    """
    found = {(one.counted.campaign.name, one.ordinal): one for one in those_shown(folder, catalog)}
    for campaign in catalog.campaigns.values():
        for period in closed_periods(folder, campaign):
            serving = campaign.version_counting(period)
            origin = read_manifest(closed_files(folder, campaign.name, period), ClosedManifest).origin
            is_its_own = serving is not None and (serving.number, serving.identity) == (
                origin.version,
                origin.identity,
            )
            if is_its_own and (closed := find_closed(folder, catalog, campaign, period)) is not None:
                found.setdefault((campaign.name, period.ordinal), closed)
    return list(found.values())


def outside_text(campaign: Campaign, period: Period) -> str:
    """Return why a period is no counting period of a campaign."""
    spans = campaign.spans()
    if not spans:
        return f"campaign {campaign.name} has no version that serves: it counts nothing yet"
    until = "" if campaign.counts_until is None else f" to {campaign.counts_until}"
    return f"campaign {campaign.name} does not count {period}: it counts {spans[0].first}{until or ' on'}"
