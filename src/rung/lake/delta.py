"""The lake as a Delta table: one folder per day and partition, on a disk or in object storage.

How far each partition has been appended is an application transaction of the table (`txn` in Delta's
protocol): it moves in the same commit as the events that it stands for, so a crash between two steps
repeats nothing, and of two archivers that append the same events one is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from rung.lake.port import Compacted, LakeDamaged, LakeError, LakeFile, LakeOvertaken, LakeState
from rung.lake.rows import SCHEMA
from rung.log.port import LogIdentity

FORMAT: Final = 1
_NAME: Final = "rung-events"
_FOLDERS: Final = ["day", "partition"]
_WRITER: Final = WriterProperties(compression="ZSTD", compression_level=3, max_row_group_size=131_072)
_CONFIGURATION: Final = {
    # A file is chosen by its offsets; statistics of what nothing looks for would swell every commit.
    "delta.dataSkippingStatsColumns": "offset",
    # An archiver that rests for years must find its positions again.
    "delta.setTransactionRetentionDuration": "interval 36500 days",
}


class _Description(msgspec.Struct):
    """What the table says of itself."""

    format: int
    log: str
    partitions: int


class DeltaLake:
    """A `Lake` in a folder, or at a URI of an object store."""

    def __init__(self, table: DeltaTable, storage_options: Mapping[str, str]) -> None:
        """Take over a table; make it with `create` or `open`."""
        self._table = table
        self._options = dict(storage_options)
        self.log = _log_of(table)

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
                    description=msgspec.json.encode(_Description(FORMAT, *log)).decode(),
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
            LakeError: there is none, or it cannot be read.
        """
        try:
            return cls(DeltaTable(uri, storage_options=dict(storage_options)), storage_options)
        except TableNotFoundError as error:
            raise LakeError(f"there is no lake in {uri}: `rung archive` makes it") from error
        except (DeltaError, OSError) as error:
            raise LakeError(f"the lake in {uri} cannot be read: {error}") from error

    def state(self) -> LakeState:
        """See `Lake.state`."""
        self._refresh()
        return LakeState(
            self._table.version(), self.log, self._positions(range(self.log.partitions)), self._files()
        )

    def append(self, rows: pa.Table, expected: Mapping[int, int], after: Mapping[int, int]) -> None:
        """See `Lake.append`."""
        self._refresh()
        if self._positions(expected) != dict(expected):
            raise LakeOvertaken("another archiver has appended these events")
        moves = [
            Transaction(_application(partition), position) for partition, position in sorted(after.items())
        ]
        try:
            write_deltalake(
                self._table,
                rows,
                mode="append",
                writer_properties=_WRITER,
                commit_properties=CommitProperties(app_transactions=moves),
                storage_options=self._options or None,
            )
        except CommitFailedError as error:
            if "oncurrent transaction" in str(error):
                raise LakeOvertaken("another archiver appends these events") from error
            raise LakeError(f"the lake in {self._table.table_uri} cannot be written: {error}") from error
        except (DeltaError, OSError) as error:
            raise LakeError(f"the lake in {self._table.table_uri} cannot be written: {error}") from error

    def compact(self, keep_hours: int) -> Compacted:
        """See `Lake.compact`."""
        self._refresh()
        before = len(self._files())
        try:
            self._table.optimize.compact(writer_properties=_WRITER)
            deleted = self._table.vacuum(keep_hours, dry_run=False, enforce_retention_duration=False)
            self._table.create_checkpoint()
        except (DeltaError, OSError) as error:
            raise LakeError(f"the lake in {self._table.table_uri} cannot be compacted: {error}") from error
        return Compacted(before, len(self._files()), len(deleted))

    def close(self) -> None:
        """See `Lake.close`."""

    def _refresh(self) -> None:
        try:
            self._table.update_incremental()
        except (DeltaError, OSError) as error:
            raise LakeError(f"the lake in {self._table.table_uri} cannot be read: {error}") from error

    def _positions(self, partitions: Any) -> dict[int, int]:
        return {
            partition: self._table.transaction_version(_application(partition)) or 0
            for partition in partitions
        }

    def _files(self) -> list[LakeFile]:
        found = pa.table(self._table.get_add_actions(flatten=True)).to_pylist()
        root = self._table.table_uri.rstrip("/").removeprefix("file://")
        return sorted(
            (
                LakeFile(
                    f"{root}/{row['path']}",
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


def _application(partition: int) -> str:
    return f"rung-archive/{partition}"


def _log_of(table: DeltaTable) -> LogIdentity:
    """Read which log a table belongs to."""
    uri = table.table_uri
    try:
        found = msgspec.json.decode(table.metadata().description or "", type=_Description)
    except msgspec.DecodeError as error:
        raise LakeDamaged(f"the table in {uri} is no lake of Rung: choose another folder") from error
    if found.format != FORMAT:
        raise LakeError(
            f"the lake in {uri} has format {found.format}, and this release reads {FORMAT}: "
            "use the release of Rung that wrote it"
        )
    return LogIdentity(found.log, found.partitions)
