"""A log together with its lake: what the log no longer has is read from there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from rung.lake.events import slices_of
from rung.lake.port import Lake, LakeError
from rung.lake.rows import REJECTED
from rung.log.port import Consumer, Log, LogIdentity, Position, Producer, Slice

_SLICE_EVENTS_MAX: Final = 4_096


class ArchivedLog:
    """A `Log` that begins with its first event again, as far as the lake goes.

    The consumer reads partitions that nobody else reads: another one would miss what was trimmed away.
    """

    def __init__(self, log: Log, lake: Lake) -> None:
        """Take an open log and its lake; closing them is their owners' business."""
        self._log = log
        self._lake = lake

    @classmethod
    def whole(cls, log: Log, lake: Lake) -> ArchivedLog:
        """Take a log and its lake if they have all events together.

        Raises:
            LakeError: the lake belongs to another log, or lacks what was trimmed away.
        """
        starts, state = log.starts(), lake.state()
        if state.log != log.identity():
            raise LakeError("the lake belongs to another log")
        for partition, start in starts.items():
            if (held := state.positions[partition]) < start:
                raise LakeError(
                    f"the lake has partition {partition} up to offset {held}, and the log from {start} on"
                )
        return cls(log, lake)

    @property
    def partitions(self) -> int:
        """The number of partitions."""
        return self._log.partitions

    def identity(self) -> LogIdentity:
        """Return the log's identity."""
        return self._log.identity()

    def producer(self) -> Producer:
        """Return a producer of the log."""
        return self._log.producer()

    def consumer(self) -> Consumer:
        """Return a consumer that reads the lake up to where the log begins."""
        return _ArchivedConsumer(self, self._log)

    def starts(self) -> Mapping[int, int]:
        """Return 0 for each partition of which the lake has what the log has no longer."""
        held = self._lake.positions()
        starts = self._log.starts()
        return {partition: 0 if held[partition] >= start else start for partition, start in starts.items()}

    def ends(self) -> Mapping[int, int]:
        """Return the log's ends."""
        return self._log.ends()

    def appended_at(self, position: Position) -> int:
        """Return when an event was appended, if the log still has it."""
        return self._log.appended_at(position)

    def scan(self, partition: int, from_offset: int, to_offset: int) -> Iterator[Slice]:
        """Yield the events from one offset to just before another.

        Raises:
            PositionOutOfRange: neither the lake nor the log has all of them.
            LakeDamaged: a file of the lake cannot be read.
        """
        yield from self._scan(partition, from_offset, to_offset, None)

    def scan_for(self, user_id: str, partition: int, to_offset: int) -> Iterator[Slice]:
        """Yield the events before an offset; of the archived ones only those that may be a user's."""
        yield from self._scan(partition, 0, to_offset, user_id)

    def archived(self, partition: int, from_offset: int, to_offset: int) -> Iterator[Slice]:
        """Yield events from the lake alone.

        Raises:
            LakeDamaged: a file of the lake cannot be read.
        """
        yield from self._archived(partition, from_offset, to_offset, None)

    def close(self) -> None:
        """Do nothing: log and lake belong to whoever opened them."""

    def _scan(self, partition: int, from_offset: int, to_offset: int, user_id: str | None) -> Iterator[Slice]:
        start = self._log.starts()[partition]
        turn = min(to_offset, max(from_offset, start))
        if turn > self._lake.positions()[partition]:
            # The log says what it does not have.
            turn = from_offset
        yield from self._archived(partition, from_offset, turn, user_id)
        yield from self._log.scan(partition, turn, to_offset)

    def _archived(
        self, partition: int, from_offset: int, to_offset: int, user_id: str | None
    ) -> Iterator[Slice]:
        if from_offset >= to_offset:
            return
        # Within a partition a file's offsets lie all before those of the next.
        for file in self._lake.state().of_partition(partition, from_offset, to_offset):
            rows = self._lake.read(file)
            offsets = rows.column("offset")
            rows = rows.filter(pc.and_(pc.greater_equal(offsets, from_offset), pc.less(offsets, to_offset)))
            if user_id is not None:
                rows = rows.filter(_may_be_of(rows, user_id))
            yield from slices_of(rows, _SLICE_EVENTS_MAX)


def _may_be_of(rows: pa.Table, user_id: str) -> pa.ChunkedArray:
    is_own = pc.fill_null(pc.equal(rows.column("user_id"), user_id), fill_value=False)
    return pc.or_(is_own, pc.equal(rows.column("kind"), REJECTED))


class _ArchivedConsumer:
    """Reads a partition from the lake until the log begins, and goes on with the log's own consumer."""

    def __init__(self, whole: ArchivedLog, log: Log) -> None:
        self._whole = whole
        self._log = log
        self._inner = log.consumer()
        self._in_log: set[int] = set()
        self._in_lake: dict[int, _Reading] = {}

    def identity(self) -> LogIdentity:
        return self._inner.identity()

    def assignment(self) -> frozenset[int]:
        return self._inner.assignment()

    def seek(self, partition: int, offset: int) -> None:
        self.leave(partition)
        start = self._log.starts()[partition]
        if offset < start and self._whole.starts()[partition] <= offset:
            self._in_lake[partition] = _Reading(self._whole.archived(partition, offset, start), offset, start)
        else:
            self._inner.seek(partition, offset)
            self._in_log.add(partition)

    def poll(self, events_max: int, bytes_max: int, wait_seconds: float) -> Sequence[Slice]:
        found: list[Slice] = []
        for partition, reading in list(self._in_lake.items()):
            while events_max > 0 and bytes_max > 0 and (part := reading.take(events_max)) is not None:
                found.append(part)
                events_max -= len(part.payloads)
                bytes_max -= sum(map(len, part.payloads))
            if events_max > 0 and bytes_max > 0:
                del self._in_lake[partition]
                self._inner.seek(partition, reading.end)
                self._in_log.add(partition)
        if found or not self._in_log:
            return found
        return self._inner.poll(events_max, bytes_max, wait_seconds)

    def read_to(self) -> Mapping[int, int]:
        archived = {partition: reading.following for partition, reading in self._in_lake.items()}
        return {**self._inner.read_to(), **archived}

    def leave(self, partition: int) -> None:
        self._in_lake.pop(partition, None)
        if partition in self._in_log:
            self._in_log.discard(partition)
            self._inner.leave(partition)

    def rest(self, seconds: float) -> None:
        self._inner.rest(seconds)

    def report(self, applied: Mapping[int, int]) -> None:
        self._inner.report(applied)

    def ends(self) -> Mapping[int, int]:
        return self._inner.ends()

    def close(self) -> None:
        self._inner.close()


class _Reading:
    """One partition's events in the lake, up to where the log begins; some are in hand."""

    def __init__(self, slices: Iterator[Slice], following: int, end: int) -> None:
        self._slices = slices
        self._waiting: deque[Slice] = deque()
        self.following = following
        self.end = end

    def take(self, events_max: int) -> Slice | None:
        """Return the next events, at most so many; None behind the last."""
        part = self._waiting.popleft() if self._waiting else next(self._slices, None)
        if part is None:
            return None
        if len(part.payloads) > events_max:
            self._waiting.append(_cut(part, events_max, len(part.payloads)))
            part = _cut(part, 0, events_max)
        self.following = part.first_offset + len(part.payloads)
        return part


def _cut(part: Slice, low: int, high: int) -> Slice:
    unreadable = {index - low: text for index, text in part.unreadable.items() if low <= index < high}
    first_offset = part.first_offset + low
    time = part.appended_at if part.time_of is None else part.time_of(first_offset)
    return Slice(part.partition, first_offset, part.payloads[low:high], time, unreadable, part.time_of)
