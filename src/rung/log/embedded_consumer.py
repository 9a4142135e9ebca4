"""Reading the embedded log for one worker: evenly from all partitions."""

from __future__ import annotations

import sys
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING

from rung.log.block import Block
from rung.log.layout import Snapshot
from rung.log.port import LogError, LogIdentity, PositionOutOfRange, Slice
from rung.log.share import shares

if TYPE_CHECKING:
    from rung.log.embedded import EmbeddedLog


class EmbeddedConsumer:
    """Reads all partitions of an embedded log; see `rung.log.port.Consumer`. For one thread."""

    def __init__(self, log: EmbeddedLog) -> None:
        """Read an open log. Nothing is read before a `seek`."""
        self._log = log
        self._next: dict[int, int] = {}
        # The block that the last poll stopped in, per partition: it is decoded once, not per poll.
        self._open_blocks: dict[int, Block] = {}

    def identity(self) -> LogIdentity:
        """Return the log's identity."""
        return self._log.identity()

    def assignment(self) -> frozenset[int]:
        """Return all partitions: the embedded log has one worker."""
        return frozenset(range(self._log.partitions))

    def seek(self, partition: int, offset: int) -> None:
        """Make the next `poll` of a partition start at an offset.

        Raises:
            PositionOutOfRange: the offset was trimmed away or lies past the end.
            LogError: there is no such partition.
        """
        with self._log.snapshot() as snapshot:
            _check(partition, offset, snapshot.bounds(partition))
        self._next[partition] = offset

    def poll(self, events_max: int, bytes_max: int, wait_seconds: float) -> Sequence[Slice]:
        """Return what has been appended since, evenly from all sought partitions, one slice of each.

        Raises:
            LogError: no partition was sought yet, or the log is damaged.
            PositionOutOfRange: events that were not read yet have been trimmed away.
        """
        if events_max < 1 or bytes_max < 1:
            raise LogError("poll needs room for at least one event and one byte")
        if not self._next:
            raise LogError("seek a partition before poll: there is no default position")
        deadline = time.monotonic() + wait_seconds
        while True:
            with self._log.snapshot() as snapshot:
                revision = snapshot.revision
                slices = self._take(snapshot, events_max, bytes_max)
            if slices or not self._log.wait(revision, deadline):
                return slices

    def read_to(self) -> Mapping[int, int]:
        """Return the offset that the next `poll` begins with in each partition that is read."""
        return dict(self._next)

    def leave(self, partition: int) -> None:
        """Read no more of a partition before it is sought again."""
        self._next.pop(partition, None)
        self._open_blocks.pop(partition, None)

    def rest(self, seconds: float) -> None:
        """Read nothing for a while."""
        time.sleep(seconds)

    def report(self, applied: Mapping[int, int]) -> None:
        """Do nothing: the lag of an embedded log is read from the store."""

    def ends(self) -> Mapping[int, int]:
        """Return, for every partition of the log, the offset that the next event will get."""
        return self._log.ends()

    def close(self) -> None:
        """Forget the positions. The log belongs to whoever opened it."""
        self._next.clear()
        self._open_blocks.clear()

    def _take(self, snapshot: Snapshot, events_max: int, bytes_max: int) -> list[Slice]:
        available: dict[int, int] = {}
        for partition, offset in self._next.items():
            start, end = snapshot.bounds(partition)
            _check(partition, offset, (start, end))
            if offset < end:
                available[partition] = end - offset
        if not available:
            return []
        wanted = shares(available, events_max)
        takings = [_Taking(partition, self._next[partition], wanted[partition]) for partition in available]
        # The first one's next event is read whatever its size. Whoever is passed over comes first in
        # the end, so a large event waits a few polls at most, however much the others have.
        bytes_left = bytes_max - self._read(snapshot, takings[0], 1, sys.maxsize)
        # Then everybody's own share of the bytes, and then what others left of theirs.
        for share in (bytes_max // len(takings), bytes_max):
            for taking in takings:
                bytes_left -= self._read(snapshot, taking, taking.wanted, min(share, bytes_left))
        slices = [
            Slice(
                taking.partition,
                taking.first_offset,
                taking.payloads,
                taking.runs[0][1],
                time_of=taking.time_of if len(taking.runs) > 1 else None,
            )
            for taking in takings
            if taking.payloads
        ]
        for read in slices:
            # Put back at the end, so that the odd event goes to another partition next time.
            del self._next[read.partition]
            self._next[read.partition] = read.first_offset + len(read.payloads)
        return slices

    def _read(self, snapshot: Snapshot, taking: _Taking, events_max: int, bytes_max: int) -> int:
        """Take what is wanted within both bounds, and return its bytes."""
        bytes_taken = 0
        wanted_after = taking.wanted - events_max
        while taking.wanted > wanted_after:
            offset = taking.first_offset + len(taking.payloads)
            block = self._open_blocks.pop(taking.partition, None)
            if block is None or not block.first_offset <= offset < block.next_offset:
                block = snapshot.block(taking.partition, offset)
            low = offset - block.first_offset
            high = block.cut(low, taking.wanted - wanted_after, bytes_max - bytes_taken)
            if high < len(block.payloads):
                self._open_blocks[taking.partition] = block
            if high == low:
                break
            taking.runs.append((offset, block.appended_at))
            taking.payloads += block.payloads[low:high]
            taking.wanted -= high - low
            bytes_taken += block.ends[high - 1] - (block.ends[low - 1] if low else 0)
        return bytes_taken


@dataclass(slots=True)
class _Taking:
    """What one poll takes from one partition; it fills up as blocks are read."""

    partition: int
    first_offset: int
    wanted: int
    payloads: list[bytes] = field(default_factory=list[bytes])
    runs: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """From which offset on events were appended at which time."""

    def time_of(self, offset: int) -> int:
        """Return when an event was appended."""
        return self.runs[bisect_right(self.runs, offset, key=itemgetter(0)) - 1][1]


def _check(partition: int, offset: int, bounds: tuple[int, int]) -> None:
    start, end = bounds
    if offset < start:
        raise PositionOutOfRange(
            f"partition {partition} starts at offset {start}: the events from {offset} on were trimmed away; "
            "start over from a store that has applied them",
            partition,
        )
    if offset > end:
        raise PositionOutOfRange(
            f"partition {partition} ends before offset {end}, not at {offset}: "
            "this is not the log that was read so far",
            partition,
        )
