"""A closed period: what others read of it."""

from __future__ import annotations

from dataclasses import dataclass

from rung.batch.settlement.settled import (
    ClosedManifest,
    Settled,
    SettledDamaged,
    check_rows,
    closed_files,
    read_manifest,
    refused,
)
from rung.batch.workshop import Workshop
from rung.campaign.calendar import Period
from rung.campaign.counted import CountedVersion
from rung.campaign.model import Campaign


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed period: its files, what the manifest says, and the version that counted it."""

    files: Settled
    manifest: ClosedManifest
    counted: CountedVersion


def find_closed(workshop: Workshop, campaign: Campaign, period: Period) -> Closed | None:
    """Return a counting period that is closed, its result compared with its checksum; None if it is not.

    Raises:
        SettledDamaged: the result is not what was written, or its version is not the one that is applied.
    """
    files = closed_files(workshop.folder, campaign.name, period)
    if not files.exists():
        return None
    manifest = read_manifest(files, ClosedManifest)
    check_rows(files, manifest.sha256)
    origin = manifest.origin
    counted = workshop.catalog().versions_of(campaign.name).get(origin.version)
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
    found = find_closed(workshop, campaign, period)
    if found is not None:
        return found
    if campaign.version_counting(period) is None:
        raise refused(outside_text(campaign, period))
    raise refused(
        f"the counting period {period} of campaign {campaign.name} is not closed: "
        f"run `rung batch close {campaign.name} {period}` first"
    )


def outside_text(campaign: Campaign, period: Period) -> str:
    """Return why a period is no counting period of a campaign."""
    spans = campaign.spans()
    if not spans:
        return f"campaign {campaign.name} has no version that serves: it counts nothing yet"
    until = "" if campaign.counts_until is None else f" to {campaign.counts_until}"
    return f"campaign {campaign.name} does not count {period}: it counts {spans[0].first}{until or ' on'}"
