"""Snapshots: the merged transactions and the figures of all users as of exact positions of the log.

    FOLDER/snapshots/NUMBER/manifest.json          written last: without it, there is no snapshot
    FOLDER/snapshots/NUMBER/merged-PARTITION.parquet
    FOLDER/snapshots/NUMBER/rejected-PARTITION.parquet
    FOLDER/snapshots/NUMBER/figures-PARTITION-CAMPAIGN-VERSION.parquet

A snapshot may refer to files of earlier ones: of the merged transactions it adds only those that grew.
Files are never changed; they are deleted when no snapshot that is kept refers to them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import duckdb
import msgspec
import xxhash

from rung.campaign.catalog import Catalog, CountedVersion
from rung.campaign.declared import Declarations
from rung.durable import put, sync
from rung.log.port import LogIdentity

FORMAT: Final = 3
HASHED_BY: Final = f"duckdb {duckdb.__version__}"
"""What made the hashes of transaction ids in files: another release may make others."""
KEPT: Final = 3
"""How many snapshots are kept: verification needs one that is not ahead of what is applied."""
_MANIFEST: Final = "manifest.json"
_CHUNK_BYTES: Final = 1 << 20


class SnapshotDamaged(Exception):
    """A file of a snapshot is missing or is not what was written; the text names the fix."""


class FileMark(msgspec.Struct, frozen=True):
    """The size of a file and its XXH3-64 checksum."""

    bytes: int
    checksum: str


class Snapshot(msgspec.Struct, frozen=True):
    """What a manifest says. Paths are relative to the folder of all snapshots.

    Attributes:
        number: Rises from snapshot to snapshot.
        log, partitions: The log that the positions refer to.
        positions: The offset of the first event that is not in it, for each partition.
        merged: Files of merged transactions of each partition, the oldest first.
        rejected: Files of the positions of events that fit nothing before them, of each partition.
        figures: For each version (`version_key`), the file of its figures of each partition.
        disowned: Transactions of a partition that a user of another one has claimed first.
        judged: By which types of attributes the events of each partition were judged (`judged_by`).
        hashed_by: What made the hashes in `merged` (`HASHED_BY`).
        files: All files that are referred to.
    """

    format: int
    number: int
    log: str
    partitions: int
    positions: dict[int, int]
    merged: dict[int, list[str]]
    rejected: dict[int, list[str]]
    figures: dict[str, dict[int, str]]
    disowned: dict[int, list[str]]
    judged: dict[int, dict[str, tuple[str, int]]]
    hashed_by: str
    files: dict[str, FileMark]


def nothing_of(log: LogIdentity) -> Snapshot:
    """Return what a run starts from that begins with the first event."""
    return Snapshot(FORMAT, 0, log.name, log.partitions, {}, {}, {}, {}, {}, {}, HASHED_BY, {})


def judged_by(declared: Declarations, end: int) -> dict[str, tuple[str, int]]:
    """Return the types that judge a partition's events before an end, each with the offset behind which.

    What is declared behind all of them judges none.
    """
    return {
        name: (one.type.value, one.after) for name, one in declared.attributes.items() if one.after < end - 1
    }


def version_key(counted: CountedVersion) -> str:
    """Return what names a version's figures: they change with its rules, its series and its periods."""
    series = "-".join(str(number) for number in counted.series.values())
    first, last = counted.periods
    return (
        f"{counted.campaign.name}/{counted.version.number}/{counted.version.identity}/{series}/{first}-{last}"
    )


class Snapshots:
    """The snapshots in a folder. Writing needs the lease (`rung.batch.lease`)."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which need not be there yet."""
        self._folder = folder / "snapshots"

    def path(self, name: str) -> Path:
        """Return where a file is that a manifest names."""
        return self._folder / name

    def paths(self, names: Iterable[str]) -> list[Path]:
        """Return where files are that a manifest names."""
        return [self.path(name) for name in names]

    def all(self) -> list[Snapshot]:
        """Return the snapshots that are whole, the newest first; one without a manifest is none."""
        found = [
            _read(folder / _MANIFEST)
            for folder in (self._folder.iterdir() if self._folder.exists() else ())
            if folder.name.isdigit() and (folder / _MANIFEST).exists()
        ]
        return sorted(found, key=lambda snapshot: -snapshot.number)

    def disowned(self) -> Mapping[int, Sequence[str]]:
        """Return what the newest snapshot knows of transactions that belong to users of other partitions."""
        found = self.all()
        return found[0].disowned if found else {}

    def newest(self, log: LogIdentity, ends: Mapping[int, int], catalog: Catalog) -> Snapshot | None:
        """Return the newest snapshot of a log that is not ahead of `ends` in any partition.

        Nor may it have judged an event by other types than are declared at its position. It may have, if it
        was made before the event was applied, or before everything was replayed. Nor may its hashes
        be those of another release of the engine.
        """
        for snapshot in self.all():
            if (snapshot.log, snapshot.partitions, snapshot.hashed_by) == (*log, HASHED_BY) and all(
                position <= ends.get(partition, 0)
                and snapshot.judged[partition] == judged_by(catalog.declarations(partition), position)
                for partition, position in snapshot.positions.items()
            ):
                return snapshot
        return None

    def check(self, snapshot: Snapshot, threads: int) -> None:
        """Read all files of a snapshot, several at once, and compare them with what was written.

        Raises:
            SnapshotDamaged: one is missing or differs.
        """
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(self._check, snapshot.files, snapshot.files.values()):
                pass

    def _check(self, name: str, mark: FileMark) -> None:
        path = self.path(name)
        if not path.exists():
            raise _damaged(path, "is missing")
        if path.stat().st_size != mark.bytes or _checksum(path) != mark.checksum:
            raise _damaged(path, "is not what was written")

    def begin(self) -> tuple[int, Path]:
        """Return the number and the empty folder of a new snapshot; what was only begun is forgotten."""
        self._folder.mkdir(parents=True, exist_ok=True)
        numbers = [0]
        for folder in list(self._folder.iterdir()):
            if folder.name.isdigit():
                numbers.append(int(folder.name))
                if not (folder / _MANIFEST).exists() and not self._is_referred_to(folder.name):
                    shutil.rmtree(folder)
        number = max(numbers) + 1
        path = self._folder / str(number)
        path.mkdir()
        return number, path

    def mark(self, path: Path) -> tuple[str, FileMark]:
        """Return a new file's name in a manifest, and its mark, once it is durable."""
        sync(path)
        return str(path.relative_to(self._folder)), FileMark(path.stat().st_size, _checksum(path))

    def end(self, snapshot: Snapshot) -> None:
        """Write the manifest, from which on there is the snapshot, and delete what no kept one needs."""
        folder = self._folder / str(snapshot.number)
        put(folder / _MANIFEST, msgspec.json.encode(snapshot))
        self._forget_old()

    def _is_referred_to(self, folder: str) -> bool:
        return any(name.startswith(f"{folder}/") for kept in self.all() for name in kept.files)

    def _forget_old(self) -> None:
        kept = self.all()[:KEPT]
        numbers = {str(snapshot.number) for snapshot in kept}
        needed = {name for snapshot in kept for name in snapshot.files}
        for folder in list(self._folder.iterdir()):
            if not folder.name.isdigit() or folder.name in numbers:
                continue
            # Without its manifest it is no snapshot any more, whatever is left of its files.
            (folder / _MANIFEST).unlink(missing_ok=True)
            for path in list(_files_of(folder)):
                if str(path.relative_to(self._folder)) not in needed:
                    path.unlink()
            if not any(folder.iterdir()):
                folder.rmdir()


def _files_of(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


class _Format(msgspec.Struct):
    """What the manifests of all formats have."""

    format: int


def _read(path: Path) -> Snapshot:
    content = path.read_bytes()
    try:
        found = msgspec.json.decode(content, type=_Format).format
        if found == FORMAT:
            return msgspec.json.decode(content, type=Snapshot)
    except msgspec.DecodeError as error:
        raise _damaged(path, f"cannot be read ({error})") from error
    raise _damaged(path, f"has format {found}, and this release reads {FORMAT}")


def _damaged(path: Path, what: str) -> SnapshotDamaged:
    return SnapshotDamaged(
        f"{path} {what}: delete the folder {path.parent.parent}, and run `rung batch aggregate`, "
        "which makes everything from the lake again"
    )


def _checksum(path: Path) -> str:
    digest = xxhash.xxh3_64()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
