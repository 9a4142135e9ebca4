"""What a version has to pass before it serves: a clean verification, and a diff that somebody accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rung.batch.forecast.diffs import accepted_diff
from rung.batch.proof.report import Reports
from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog

AGE_MAX_SECONDS: Final = 24 * 3_600
"""How old the verification may be."""
_MICROSECONDS: Final = 1_000_000


class NotProven(Exception):
    """A version may not serve yet; the text names what is missing, and the command for it."""


def check_activation(
    folder: Path, catalog: Catalog, campaign: str, number: int, period: Period, digest: str | None, now: int
) -> None:
    """See to it that a version of the catalog may serve from a period on.

    Args:
        folder: The batch layer's folder.
        catalog: The catalog that is about to change.
        campaign: The campaign's name.
        number: The version that is to serve.
        period: The first period that it serves.
        digest: The hash of the accepted diff, None if none was given.
        now: Microseconds since the epoch.

    Raises:
        NotProven: there is no recent clean verification of the version, or no diff was given.
        DiffRefused: the diff is not of these versions.
        ReportUnreadable: the last report is damaged.
        CatalogRefused: there is no such campaign or version.
    """
    counted = catalog.version(campaign, number)
    check_verified(folder, campaign, number, now)
    serving = counted.campaign.version_counting(period)
    if serving is None or serving.number == number:
        return
    if digest is None:
        raise NotProven(
            f"version {number} of {campaign} would take over from version {serving.number}: look at what "
            f"changes for whom with `rung campaign diff {campaign} {serving.number} {number} "
            f"--period {period.previous()}`, and give the hash that it prints with --diff"
        )
    accepted_diff(folder, digest, catalog, campaign, number, serving.number)


def check_verified(folder: Path, campaign: str, number: int, now: int) -> None:
    """See to it that the last verification is recent, clean, and has compared a version.

    Raises:
        NotProven: it is not so.
        ReportUnreadable: the last report is damaged.
    """
    reports = Reports(folder)
    name = f"{campaign}/{number}"
    if not reports.ids():
        raise NotProven(
            f"no verification has compared version {number} of {campaign}: run `rung batch verify`"
        )
    report = reports.read("last")
    if not report.is_clean:
        raise NotProven(
            f"the last verification ({report.id}) found differences: look at them with "
            f"`rung batch repair {report.id}`, heal them with --yes, and run `rung batch verify` again"
        )
    if name not in report.versions:
        raise NotProven(
            f"the last verification ({report.id}) has not compared version {number} of {campaign}: "
            "run `rung batch verify` again"
        )
    if now - report.ended_at > AGE_MAX_SECONDS * _MICROSECONDS:
        raise NotProven(
            f"the last verification ({report.id}) is older than {AGE_MAX_SECONDS // 3_600} hours: "
            "run `rung batch verify` again"
        )
