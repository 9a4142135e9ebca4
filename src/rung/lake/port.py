"""The lake port: every event of one log with its position, appended once and kept for good.

A row is one event (`rung.lake.rows` tells the columns). The lake belongs to one log, and holds a prefix
of each of its partitions: all events before `LakeState.positions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple, Protocol

from rung.log.port import LogIdentity

if TYPE_CHECKING:
    # Whoever opens no lake does without it: loading it takes as long as most commands take otherwise.
    import pyarrow as pa


class LakeError(Exception):
    """The lake cannot do what was asked, and no retry will help; the text names the fix."""


class LakeOvertaken(Exception):
    """Another archiver has appended since the positions were read: read them again."""


class LakeDamaged(LakeError):
    """A file of the lake is missing, damaged, or does not hold what the lake says it does."""


class LakeFile(NamedTuple):
    """A Parquet file of events of one partition and one day; both offsets are included."""

    path: str
    partition: int
    day: date
    events: int
    bytes: int
    first_offset: int
    last_offset: int


@dataclass(frozen=True, slots=True)
class LakeState:
    """What the lake holds at one version of it. Files are never changed, so it stays readable.

    `positions` maps each partition to the offset of the first event that is not in the lake.
    """

    version: int
    log: LogIdentity
    positions: Mapping[int, int]
    files: Sequence[LakeFile]

    def of_partition(self, partition: int, from_offset: int, to_offset: int) -> list[LakeFile]:
        """Return the files of a partition that may hold events from one offset to just before another."""
        return [
            file
            for file in self.files
            if file.partition == partition
            and file.first_offset < to_offset
            and file.last_offset >= from_offset
        ]


class Compacted(NamedTuple):
    """What a compaction did: how many files became how many, and how many old ones were deleted."""

    files_before: int
    files_after: int
    deleted: int


class Lake(Protocol):
    """An open lake. Any method may raise `LakeError`."""

    def state(self) -> LakeState:
        """Return what the lake holds now."""
        ...

    def positions(self) -> Mapping[int, int]:
        """Return, for each partition, the offset of the first event that is not in the lake now."""
        ...

    def append(self, rows: pa.Table, expected: Mapping[int, int], after: Mapping[int, int]) -> None:
        """Append events durably, all or none, and move the positions of their partitions.

        Args:
            rows: Events, with the columns of `rung.lake.rows`.
            expected: The position of each of their partitions, as the caller knows it.
            after: Their positions after it.

        Raises:
            LakeOvertaken: a position is not as expected; nothing was appended.
        """
        ...

    def compact(self, keep_hours: int) -> Compacted:
        """Join small files of a day and partition, and delete what is no part of the lake any more.

        Whoever reads an earlier state may go on for `keep_hours`: what was replaced, or written and
        never became part of the lake, is deleted only if that was longer ago. With 0, only what was
        replaced is deleted: a file that is about to become part of the lake cannot be told from
        one that never will.

        Raises:
            LakeOvertaken: another compaction is under way; what this one has done so far is in order.
            LakeDamaged: a file cannot be read. It stays as it is.
        """
        ...

    def replace(self, file: LakeFile, rows: pa.Table) -> None:
        """Put other content in the place of a file's events, for good: as many, at the same offsets.

        The file is deleted, and so is every one that was replaced earlier: whoever reads an earlier state
        begins again.

        Raises:
            LakeOvertaken: a compaction is under way; nothing was replaced.
        """
        ...

    def read(self, file: LakeFile) -> pa.Table:
        """Return the events of a file of some state, in the order of their offsets.

        Raises:
            LakeDamaged: it is missing, damaged, or holds something else than the lake says.
        """
        ...

    def check(self, file: LakeFile) -> None:
        """Compare a file of some state, byte for byte, with what was written.

        Raises:
            LakeDamaged: it is missing, or another one.
        """
        ...

    def close(self) -> None:
        """Release what the lake holds."""
        ...
