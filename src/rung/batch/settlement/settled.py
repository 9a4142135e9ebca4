"""What is settled for good: closed periods, their adjustments, and grants. Files are added, never changed.

    FOLDER/closed/CAMPAIGN/PERIOD/result.parquet       the result of every user
    FOLDER/closed/CAMPAIGN/PERIOD/manifest.json        with it the period is closed
    FOLDER/closed/CAMPAIGN/PERIOD/adjustments/N.parquet, N.json
    FOLDER/grants/CAMPAIGN/PERIOD/N.parquet, N.json    PERIOD is the effective one

A manifest is written last, by one rename: without it, its file of rows is nothing, and is written over.

The one thing that changes them is the erasure of a user, whose rows get another name: the manifest has the
new checksum then, and lists in `erasures` when that was and what the checksum was before. Nothing else
differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from rung.batch.snapshots import Snapshot
from rung.campaign.calendar import Period
from rung.campaign.counted import CountedVersion
from rung.campaign.model import Campaign
from rung.durable import sync
from rung.faultpoints import passing

FORMAT: Final = 1
_FOLDERS_DEEP: Final = 4
"""How many folders a file may have above its own, up to the batch layer's."""


class SettleRefused(Exception):
    """Something cannot be settled now; `reasons` are all of them, each with what to do."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.reasons = reasons
        super().__init__("\n".join(reasons))


def refused(reason: str) -> SettleRefused:
    """Return the refusal for one reason."""
    return SettleRefused((reason,))


class SettledDamaged(Exception):
    """A settled file is missing or is not what was written; the text names the fix."""


class Written(NamedTuple):
    """The file of rows that a manifest is of."""

    rows: int
    bytes: int
    sha256: str


class Origin(msgspec.Struct, frozen=True):
    """What a settlement was computed from.

    Attributes:
        campaign, version, identity: The version that counted the counting period.
        counting_period: The period whose result it is, or whose result earned the rates.
        log, partitions, positions: The log, and for each partition the offset before which every event is in.
        snapshot: The number of the snapshot, which may be gone since.
    """

    campaign: str
    version: int
    identity: str
    counting_period: str
    log: str
    partitions: int
    positions: dict[int, int]
    snapshot: int


def origin_of(counted: CountedVersion, period: Period, snapshot: Snapshot) -> Origin:
    """Return what is computed of a version's counting period from a snapshot."""
    return Origin(
        counted.campaign.name,
        counted.version.number,
        counted.version.identity,
        str(period),
        snapshot.log,
        snapshot.partitions,
        dict(snapshot.positions),
        snapshot.number,
    )


class ClosedManifest(msgspec.Struct, frozen=True):
    """A closed period: how many users have a result, and how many of them met each step.

    `closed_at` is in microseconds since the epoch, `who` closed it.
    """

    format: int
    origin: Origin
    users: int
    steps: dict[str, int]
    sha256: str
    bytes: int
    closed_at: int
    who: str


class AdjustmentManifest(msgspec.Struct, frozen=True):
    """What changed in a closed period, for so many users, since it was closed or adjusted before."""

    format: int
    number: int
    origin: Origin
    users: int
    sha256: str
    bytes: int
    written_at: int
    who: str


class GrantsManifest(msgspec.Struct, frozen=True):
    """Grants of an effective period, from number 2 on what changed in them since.

    `cash_back` is their sum in minor units of `currency`; `result_sha256` is that of the closed result.
    """

    format: int
    number: int
    period: str
    origin: Origin
    result_sha256: str
    currency: str
    grants: int
    cash_back: int
    sha256: str
    bytes: int
    written_at: int
    who: str


Manifest = TypeVar("Manifest", ClosedManifest, AdjustmentManifest, GrantsManifest)


class Settled(NamedTuple):
    """Where the files of a settlement are."""

    rows: Path
    manifest: Path

    def exists(self) -> bool:
        """Tell whether it was settled."""
        return self.manifest.exists()


def closed_files(folder: Path, campaign: str, period: Period) -> Settled:
    """Return where the result of a counting period is, once it is closed."""
    found = folder / "closed" / campaign / str(period)
    return Settled(found / "result.parquet", found / "manifest.json")


def closed_periods(folder: Path, campaign: Campaign) -> list[Period]:
    """Return the counting periods of a campaign that are closed, in their order."""
    found = folder / "closed" / campaign.name
    kind = campaign.calendar.kind
    return sorted(
        Period.parse(one.name, kind)
        for one in (found.iterdir() if found.exists() else ())
        if (one / "manifest.json").exists()
    )


def adjustment_files(folder: Path, campaign: str, period: Period, number: int) -> Settled:
    """Return where an adjustment of a closed period is; numbers begin with 1."""
    return _numbered(folder / "closed" / campaign / str(period) / "adjustments", number)


def grants_files(folder: Path, campaign: str, period: Period, number: int) -> Settled:
    """Return where grants of an effective period are; numbers begin with 1."""
    return _numbered(folder / "grants" / campaign / str(period), number)


def those_there(files_of: Callable[[int], Settled]) -> list[Settled]:
    """Return the numbered settlements that exist, in their order."""
    found: list[Settled] = []
    while files_of(len(found) + 1).exists():
        found.append(files_of(len(found) + 1))
    return found


def _numbered(folder: Path, number: int) -> Settled:
    return Settled(folder / f"{number}.parquet", folder / f"{number}.json")


def settle(files: Settled, rows: pa.Table, manifest_of: Callable[[Written], Manifest]) -> Manifest:
    """Write rows and then, by one rename, the manifest, and return it; all is durable then.

    Raises:
        FileExistsError: it was settled already.
    """
    if files.exists():
        raise FileExistsError(f"{files.manifest} is there already")
    files.rows.parent.mkdir(parents=True, exist_ok=True)
    manifest = manifest_of(write_rows(files.rows, rows))
    passing("closing_written")
    part = _part(files.manifest)
    part.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    _put_in_place(part, files.manifest)
    return manifest


def write_rows(path: Path, rows: pa.Table) -> Written:
    """Write a file of rows durably; the same rows are the same bytes."""
    part = _part(path)
    pq.write_table(rows, part, compression="zstd")
    with part.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    written = Written(rows.num_rows, part.stat().st_size, sha256)
    _put_in_place(part, path)
    return written


def sha256_of(files: Settled) -> str:
    """Return the checksum of its rows that a manifest of any kind tells."""
    return msgspec.json.decode(files.manifest.read_bytes())["sha256"]


def replace_manifest(folder: Path, path: Path, written: Written, at: int) -> int:
    """Have a manifest tell what its rows are after an erasure; return 1, or 0 if it told that already.

    Grants that name the checksum of a closed result get the new one, too.
    """
    if not path.exists():
        return 0
    manifest = msgspec.json.decode(path.read_bytes())
    before = manifest["sha256"]
    if before == written.sha256:
        return 0
    erasures = [*manifest.get("erasures", ()), {"at": at, "sha256_before": before}]
    if path.name == "manifest.json":
        for other in sorted((folder / "grants").rglob("*.json")):
            grants = msgspec.json.decode(other.read_bytes())
            if grants["result_sha256"] == before:
                _rewrite(other, {**grants, "result_sha256": written.sha256})
    _rewrite(path, {**manifest, "sha256": written.sha256, "bytes": written.bytes, "erasures": erasures})
    return 1


def _rewrite(path: Path, manifest: dict[str, object]) -> None:
    part = _part(path)
    part.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    _put_in_place(part, path)


def read_manifest(files: Settled, kind: type[Manifest]) -> Manifest:
    """Return a manifest.

    Raises:
        SettledDamaged: it cannot be read.
    """
    try:
        found = msgspec.json.decode(files.manifest.read_bytes(), type=kind)
    except msgspec.DecodeError as error:
        raise SettledDamaged(f"{files.manifest} cannot be read ({error}): restore it") from error
    if found.format != FORMAT:
        raise SettledDamaged(
            f"{files.manifest} has format {found.format}, and this release reads {FORMAT}: use a newer one"
        )
    return found


def check_rows(files: Settled, sha256: str) -> None:
    """Compare a file of rows with what its manifest says.

    Raises:
        SettledDamaged: it is missing, or is not what was written.
    """
    if not files.rows.exists():
        raise SettledDamaged(f"{files.rows} is missing, and its manifest is there: restore it")
    with files.rows.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise SettledDamaged(
            f"{files.rows} is not what was written: its SHA-256 is {found}, and {files.manifest.name} says "
            f"{sha256}. Restore it; what is settled is not computed anew"
        )


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _put_in_place(part: Path, path: Path) -> None:
    """Give a whole file its name, durably."""
    sync(part)
    part.rename(path)
    # The folders may be new, so the names in those above have to be durable as well.
    for folder in (path.parent, *path.parent.parents[:_FOLDERS_DEEP]):
        sync(folder)
