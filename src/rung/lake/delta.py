"""The lake as a Delta table: one folder per day and partition, on a disk or in object storage.

How far each partition has been appended is an application transaction of the table (`txn` in Delta's
protocol): it moves in the same commit as the events that it stands for, so a crash between two steps
repeats nothing, and of two archivers that append the same events one is refused. A compaction counts
itself the same way, so of two at once one is refused, too: the table's library would let both replace
the same files, and every event in them would be there twice.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from rung.lake.parquet import Place, check, encoded, path_of, place_of, read, reasons
from rung.lake.port import Compacted, LakeDamaged, LakeError, LakeFile, LakeOvertaken, LakeState
from rung.lake.rows import SCHEMA, rejudged
from rung.log.port import LogIdentity
from rung.transaction.reasons import Reason

FORMAT: Final = 2
"""In format 1, events were rejected by the attributes that were declared when they were archived."""
_FIRST_FORMAT: Final = 1
COMPACTED_BYTES_MAX: Final = 64 << 20
"""How large files may become by joining; what is larger already stays as it is."""
_NAME: Final = "rung-events"
_FOLDERS: Final = ["day", "partition"]
_COMPACTION: Final = "rung-compact"
_CONFIGURATION: Final = {
    # A file is chosen by its offsets; statistics of what nothing looks for would swell every commit.
    "delta.dataSkippingStatsColumns": "offset",
    # An archiver that rests for years must find its positions again.
    "delta.setTransactionRetentionDuration": "interval 36500 days",
    # A commit every few seconds: what a checkpoint has taken in is of no use to anyone.
    "delta.logRetentionDuration": "interval 1 days",
}
_COMPACTED_TWICE: Final = "another compaction of this lake is under way: one is enough"
_Action: TypeAlias = AddAction | RemoveAction


class _Description(msgspec.Struct):
    """What the table says of itself."""

    format: int
    log: str
    partitions: int


class DeltaLake:
    """A `Lake` in a folder, or at a URI of an object store."""

    def __init__(self, table: DeltaTable, place: Place) -> None:
        """Take over a table and the place of its files; make it with `create` or `open`."""
        self._table = table
        self._place = place
        found = _description_of(table)
        self.log = LogIdentity(found.log, found.partitions)

    @classmethod
    def create(cls, uri: str, log: LogIdentity, storage_options: Mapping[str, str]) -> DeltaLake:
        """Open the lake of a log, and make it where there is none.

        Raises:
            LakeError: the lake that is there belongs to another log, or cannot be used.
        """
        try:
            if not DeltaTable.is_deltatable(uri, dict(storage_options)):
                if "://" not in uri:
                    Path(uri).mkdir(parents=True, exist_ok=True)
                DeltaTable.create(
                    uri,
                    SCHEMA,
                    mode="ignore",
                    partition_by=_FOLDERS,
                    name=_NAME,
                    description=_described(log),
                    configuration=_CONFIGURATION,
                    storage_options=dict(storage_options),
                )
        except (DeltaError, OSError) as error:
            raise LakeError(f"cannot make a lake in {uri}: {error}") from error
        lake = cls.open(uri, storage_options)
        found = lake.log
        if found != log:
            raise LakeError(
                f"the lake in {uri} belongs to log {found.name} with {found.partitions} partitions, and this "
                f"log is {log.name} with {log.partitions}: positions in one mean nothing in the other. "
                "Choose another folder for this log's lake."
            )
        return lake

    @classmethod
    def open(cls, uri: str, storage_options: Mapping[str, str]) -> DeltaLake:
        """Open a lake that is there.

        Raises:
            LakeError: there is none, it has another format, or it cannot be read.
        """
        table = _table_in(uri, storage_options)
        found = _description_of(table).format
        if found != FORMAT:
            fix = (
                "stop its archivers, and run `rung lake upgrade`"
                if found == _FIRST_FORMAT
                else "use the release of Rung that wrote it"
            )
            raise LakeError(f"the lake in {uri} has format {found}, and this release reads {FORMAT}: {fix}")
        return cls(table, place_of(uri, dict(storage_options)))

    @classmethod
    def upgrade(cls, uri: str, storage_options: Mapping[str, str]) -> int | None:
        """Bring a lake of format 1 to the present one, and return how many of its files were written anew.

        Whoever reads an earlier state begins again. It may be cut short and run again. A lake of the present
        format stays as it is: None.

        Raises:
            LakeError: there is none, it cannot be read or written, or it is of a later release.
        """
        table = _table_in(uri, storage_options)
        if _description_of(table).format == _FIRST_FORMAT:
            return cls(table, place_of(uri, dict(storage_options))).rejudge()
        cls.open(uri, storage_options)
        return None

    def rejudge(self) -> int:
        """Write files with events anew that would not be rejected now, and say so; return how many."""
        written = 0
        for file in self._files():
            if Reason.ATTRIBUTE_TYPE.value in reasons(self._place, file):
                rows = rejudged(self.read(file), self.log.partitions)
                if rows is not None:
                    self.replace(file, rows)
                    written += 1
        with self._writing("upgraded", "another one writes to this lake: run it again"):
            self._table.alter.set_table_description(_described(self.log))
        return written

    def state(self) -> LakeState:
        """See `Lake.state`."""
        self._refresh()
        return LakeState(
            self._table.version(), self.log, self._positions(range(self.log.partitions)), self._files()
        )

    def positions(self) -> Mapping[int, int]:
        """See `Lake.positions`."""
        self._refresh()
        return self._positions(range(self.log.partitions))

    def append(self, rows: pa.Table, expected: Mapping[int, int], after: Mapping[int, int]) -> None:
        """See `Lake.append`."""
        self._refresh()
        if self._positions(expected) != dict(expected):
            raise LakeOvertaken("another archiver has appended these events")
        with self._writing("written", "another archiver appends these events"):
            added = [self._written(day, partition, part) for day, partition, part in _by_folder(rows)]
            self._commit(added, {_application(partition): after[partition] for partition in sorted(after)})

    def compact(self, keep_hours: int) -> Compacted:
        """See `Lake.compact`."""
        self._refresh()
        before = self._files()
        with self._writing("compacted", _COMPACTED_TWICE):
            count = self._table.transaction_version(_COMPACTION) or 0
            for done, files in enumerate(_to_join(before)):
                self._join(files, count + done)
            deleted = self._table.vacuum(
                keep_hours, dry_run=False, enforce_retention_duration=False, full=keep_hours > 0
            )
            self._table.create_checkpoint()
            self._table.cleanup_metadata()
        self._refresh()
        return Compacted(len(before), len(self._files()), len(deleted))

    def replace(self, file: LakeFile, rows: pa.Table) -> None:
        """See `Lake.replace`."""
        self._refresh()
        count = self._table.transaction_version(_COMPACTION) or 0
        with self._writing("written", _COMPACTED_TWICE):
            added = self._written(file.day, file.partition, rows, is_new=False)
            self._commit([added, self._removal(file)], {_COMPACTION: count + 1})
            self._table.vacuum(0, dry_run=False, enforce_retention_duration=False)

    def read(self, file: LakeFile) -> pa.Table:
        """See `Lake.read`."""
        return read(self._place, file)

    def check(self, file: LakeFile) -> None:
        """See `Lake.check`."""
        check(self._place, file)

    def close(self) -> None:
        """See `Lake.close`."""

    @contextmanager
    def _writing(self, what: str, overtaken: str) -> Generator[None]:
        try:
            yield
        except (DeltaError, OSError) as error:
            if isinstance(error, CommitFailedError) and "oncurrent transaction" in str(error):
                raise LakeOvertaken(overtaken) from error
            raise LakeError(f"the lake in {self._table.table_uri} cannot be {what}: {error}") from error

    def _refresh(self) -> None:
        try:
            self._table.update_incremental()
        except (DeltaError, OSError) as error:
            raise LakeError(f"the lake in {self._table.table_uri} cannot be read: {error}") from error

    def _written(self, day: date, partition: int, rows: pa.Table, *, is_new: bool = True) -> AddAction:
        """Write events of one folder to a file, which is no part of the lake yet."""
        content = encoded(rows)
        offsets = rows.column("offset")
        first, last = offsets[0].as_py(), offsets[-1].as_py()
        path = path_of(day, partition, first, content)
        self._place.write(path, content)
        stats = {
            "numRecords": rows.num_rows,
            "minValues": {"offset": first},
            "maxValues": {"offset": last},
            "nullCount": {"offset": 0},
        }
        return AddAction(
            path,
            len(content),
            _values(day, partition),
            _milliseconds(),
            is_new,
            msgspec.json.encode(stats).decode(),
        )

    def _join(self, files: Sequence[LakeFile], count: int) -> None:
        """Replace files of one folder by one; `count` is that of the joins as this compaction knows it."""
        if (self._table.transaction_version(_COMPACTION) or 0) != count:
            # Another compaction came between two joins: the list of this one is old.
            raise LakeOvertaken(_COMPACTED_TWICE)
        rows = pa.concat_tables([self.read(file) for file in files])
        first = files[0]
        removed = [self._removal(file) for file in files]
        added = self._written(first.day, first.partition, rows, is_new=False)
        self._commit([added, *removed], {_COMPACTION: count + 1})

    def _removal(self, file: LakeFile) -> RemoveAction:
        return RemoveAction(
            file.path.removeprefix(f"{self._place.root}/"),
            data_change=False,
            deletion_timestamp=_milliseconds(),
            size=file.bytes,
            partition_values=_values(file.day, file.partition),
        )

    def _commit(self, actions: Sequence[_Action], moves: Mapping[str, int]) -> None:
        before = self._table.version()
        self._table.create_write_transaction(
            list(actions),
            "append",
            SCHEMA,
            _FOLDERS,
            commit_properties=CommitProperties(
                app_transactions=[Transaction(*move) for move in moves.items()]
            ),
        )
        self._refresh()
        written = range(before + 1, self._table.version() + 1)
        self._place.settle(f"_delta_log/{version:020d}.json" for version in written)

    def _positions(self, partitions: Iterable[int]) -> dict[int, int]:
        return {
            partition: self._table.transaction_version(_application(partition)) or 0
            for partition in partitions
        }

    def _files(self) -> list[LakeFile]:
        found = pa.table(self._table.get_add_actions(flatten=True)).to_pylist()
        return sorted(
            (
                LakeFile(
                    f"{self._place.root}/{row['path']}",
                    row["partition.partition"],
                    row["partition.day"],
                    row["num_records"],
                    row["size_bytes"],
                    row["min.offset"],
                    row["max.offset"],
                )
                for row in found
            ),
            key=lambda file: (file.partition, file.first_offset),
        )


def _by_folder(rows: pa.Table) -> Iterator[tuple[date, int, pa.Table]]:
    """Yield the events of each day and partition, in the order of their offsets."""
    keys = (
        rows.select(_FOLDERS)
        .group_by(_FOLDERS)
        .aggregate([])
        .sort_by([(name, "ascending") for name in _FOLDERS])
    )
    for key in keys.to_pylist():
        day, partition = key["day"], key["partition"]
        mask = pc.and_(
            pc.equal(rows.column("day"), pa.scalar(day, pa.date32())),
            pc.equal(rows.column("partition"), pa.scalar(partition, pa.int32())),
        )
        yield day, partition, rows.filter(mask).sort_by([("offset", "ascending")])


def _to_join(files: Sequence[LakeFile]) -> Iterator[list[LakeFile]]:
    """Yield runs of neighbours in a folder that fit one file together."""
    ordered = sorted(files, key=lambda file: (file.day, file.partition, file.first_offset))
    for _, found in groupby(ordered, key=lambda file: (file.day, file.partition)):
        run: list[LakeFile] = []
        for file in found:
            if sum(one.bytes for one in run) + file.bytes > COMPACTED_BYTES_MAX:
                if len(run) > 1:
                    yield run
                run = []
            run.append(file)
        if len(run) > 1:
            yield run


def _values(day: date, partition: int) -> dict[str, str | None]:
    return {"day": day.isoformat(), "partition": str(partition)}


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _application(partition: int) -> str:
    return f"rung-archive/{partition}"


def _table_in(uri: str, storage_options: Mapping[str, str]) -> DeltaTable:
    try:
        return DeltaTable(uri, storage_options=dict(storage_options))
    except TableNotFoundError as error:
        raise LakeError(f"there is no lake in {uri}: `rung archive` makes it") from error
    except (DeltaError, OSError) as error:
        raise LakeError(f"the lake in {uri} cannot be read: {error}") from error


def _described(log: LogIdentity) -> str:
    return msgspec.json.encode(_Description(FORMAT, *log)).decode()


def _description_of(table: DeltaTable) -> _Description:
    """Read what a table says of itself."""
    try:
        return msgspec.json.decode(table.metadata().description or "", type=_Description)
    except msgspec.DecodeError as error:
        raise LakeDamaged(
            f"the table in {table.table_uri} is no lake of Rung: choose another folder"
        ) from error
