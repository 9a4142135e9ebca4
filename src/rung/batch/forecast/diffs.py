"""Two versions of a campaign compared for every user, and the report that an activation rests on.

    FOLDER/diffs/HASH.json    HASH is the SHA-256 of the file

The report says nothing of when it was made or who asked: the same versions over the same events are the same
bytes. No user is named in it.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

import msgspec

from rung.batch.forecast.comparing import Comparing, Examples, Question
from rung.batch.forecast.numbers import Compared
from rung.batch.forecast.simulate import known_extent
from rung.batch.snapshots import Snapshot
from rung.batch.workshop import Workshop
from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog, CountedVersion
from rung.durable import put

FORMAT: Final = 1
EXAMPLES_MAX: Final = 10
_DIGITS_MIN: Final = 12
_SHOWN_MAX: Final = 5


class DiffRefused(Exception):
    """There is no such report, or it is not of what is to be activated; the text names the fix."""


class VersionName(msgspec.Struct, frozen=True):
    """A version's number and identity."""

    version: int
    identity: str


class DiffReport(msgspec.Struct, frozen=True):
    """What a version changes for every user, compared with another one.

    Attributes:
        campaign, before, after: What was compared.
        log, positions: The log, and for each partition the offset before which every event was looked at.
        compared: The numbers.
    """

    format: int
    campaign: str
    before: VersionName
    after: VersionName
    log: str
    positions: dict[int, int]
    compared: Compared


def diff(
    workshop: Workshop, snapshot: Snapshot, before: CountedVersion, after: CountedVersion, period: Period
) -> tuple[DiffReport, Examples]:
    """Compare two versions of a campaign for one counting period, whether they are scheduled for it or not.

    Raises:
        SimulationRefused: the lake has nothing of the period.
        SnapshotDamaged: a file of the snapshot is not what was written.
    """
    extent = known_extent(workshop, snapshot, after.campaign, [period])
    examples = Examples(EXAMPLES_MAX)
    comparing = Comparing(workshop, snapshot)
    (compared,) = comparing.compare([Question(period, before, after)], extent, examples)
    report = DiffReport(
        FORMAT,
        after.campaign.name,
        _name(before),
        _name(after),
        snapshot.log,
        dict(sorted(snapshot.positions.items())),
        compared,
    )
    return report, examples


def write_diff(folder: Path, report: DiffReport) -> str:
    """Write a report durably, and return its hash."""
    content = msgspec.json.encode(report)
    digest = hashlib.sha256(content).hexdigest()
    diffs = folder / "diffs"
    diffs.mkdir(parents=True, exist_ok=True)
    put(diffs / f"{digest}.json", content)
    return digest


def accepted_diff(
    folder: Path, digest: str, catalog: Catalog, campaign: str, version: int, replaced: int | None = None
) -> DiffReport:
    """Return the report that somebody has read and accepts.

    Args:
        folder: The batch layer's folder.
        digest: Its hash, or at least the first 12 digits of it.
        catalog: What is applied now.
        campaign: The campaign in question.
        version: The version that is to serve.
        replaced: The version that it takes over from, if there is one.

    Raises:
        DiffRefused: there is no such report, it was changed, or it is of another campaign or of other
            versions than these, or than those that are applied under their numbers.
    """
    report = _read(folder / "diffs", digest, f"rung campaign diff {campaign} V1 {version} --period PERIOD")
    who = f"diff {digest[:_DIGITS_MIN]}"
    versions = f"versions {report.before.version} and {report.after.version}"
    other = f"{who} compares {versions} of {report.campaign}"
    again = f"run `rung campaign diff {campaign} {_number(replaced)} {version} --period PERIOD`"
    if report.campaign != campaign:
        raise DiffRefused(f"{other}, and this is about campaign {campaign}: {again}")
    if report.after.version != version:
        raise DiffRefused(f"{other}, and this is about version {version}: {again}")
    if replaced is not None and report.before.version != replaced:
        raise DiffRefused(f"{other}, and version {version} would take over from {replaced}: {again}")
    applied = catalog.versions_of(campaign)
    for name in (report.before, report.after):
        counted = applied.get(name.version)
        if counted is None or counted.version.identity != name.identity:
            now = "is not applied" if counted is None else "has other rules now"
            raise DiffRefused(f"{who}: version {name.version} of {campaign} {now}: {again}")
    return report


def _read(diffs: Path, digest: str, command: str) -> DiffReport:
    if re.fullmatch(rf"[0-9a-f]{{{_DIGITS_MIN},64}}", digest) is None:
        raise DiffRefused(
            f"{digest!r} is no hash of a diff: it has 64 digits (0 to 9, a to f), of which the first "
            f"{_DIGITS_MIN} are enough; `{command}` prints it"
        )
    found = sorted(path for path in diffs.glob("*.json") if path.stem.startswith(digest))
    if not found:
        there = sorted(diffs.glob("*.json"), key=lambda path: -path.stat().st_mtime)[:_SHOWN_MAX]
        known = f"the last ones: {', '.join(path.stem[:_DIGITS_MIN] for path in there)}" if there else "none"
        raise DiffRefused(f"there is no diff {digest} in {diffs} ({known}): run `{command}`")
    if len(found) > 1:
        raise DiffRefused(f"{len(found)} diffs in {diffs} begin with {digest}: give more of the hash")
    content = found[0].read_bytes()
    damaged = f"{found[0]} is not what was written: delete it, and run `{command}` again"
    if hashlib.sha256(content).hexdigest() != found[0].stem:
        raise DiffRefused(damaged)
    other_release = f"{found[0]} was written by another release: run `{command}` again"
    try:
        report = msgspec.json.decode(content, type=DiffReport)
    except msgspec.DecodeError as error:
        raise DiffRefused(f"{other_release} ({error})") from error
    if report.format != FORMAT:
        raise DiffRefused(other_release)
    return report


def _name(counted: CountedVersion) -> VersionName:
    return VersionName(counted.version.number, counted.version.identity)


def _number(version: int | None) -> str:
    return "V1" if version is None else str(version)
