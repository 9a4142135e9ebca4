"""The embedded log: an LMDB environment in a folder, for any number of processes on one machine.

Every append is one LMDB transaction, and durable (fsync) when it returns. Producers of several
processes take turns; readers never wait for them and see only what is durable. No read transaction
outlives a call, because an open one keeps LMDB from using freed pages again.

A process opens one folder once (LMDB's rule) and makes its producers and consumers from that one
`EmbeddedLog`. An open log must not be carried through a fork: start processes by spawning them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import overload

import lmdb

from rung.durable import sync
from rung.freed_pages import overwrite_freed, rewrite
from rung.log.block import EVENT_BYTES_MAX
from rung.log.embedded_consumer import EmbeddedConsumer
from rung.log.environment import MAP_BYTES_MAX, open_environment, translated
from rung.log.layout import Layout, Snapshot, create_tables
from rung.log.port import LogError, LogIdentity, Position, Slice
from rung.transaction.routing import partition_of_event

PARTITIONS_MAX = 1_024
_CHECK_EVERY_SECONDS = 0.002


class EmbeddedLog:
    """An open log; make it with `open` or `open_to_read`. Safe to use from several threads."""

    def __init__(self, folder: Path, environment: lmdb.Environment, clock: Callable[[], int] | None) -> None:
        """Take over an environment; without a clock the log is for reading only."""
        self._folder = folder
        self._environment = environment
        self._clock = clock
        try:
            with translated(folder, "open"):
                self._layout = Layout(environment)
        except LogError as error:
            raise LogError(f"cannot use the log in {folder}: {error}") from error

    @classmethod
    def open(
        cls, folder: Path, partitions: int, clock: Callable[[], int], map_bytes_max: int = MAP_BYTES_MAX
    ) -> EmbeddedLog:
        """Open a log to append and read, and create it if there is none.

        `clock` returns microseconds since the epoch; it dates the events.

        Raises:
            LogError: the log has another number of partitions (it is fixed when the log is made)
                or an unknown format, or the folder cannot be used.
        """
        if not 1 <= partitions <= PARTITIONS_MAX:
            raise LogError(f"a log has 1 to {PARTITIONS_MAX:,} partitions, not {partitions:,}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LogError(f"cannot make the folder of the log: {error}") from error
        environment = open_environment(folder, map_bytes_max, readonly=False)
        try:
            with translated(folder, "create"):
                create_tables(environment, partitions)
            # LMDB makes its file durable; that the folder lists the file is for us to see to.
            sync(folder)
            sync(folder.parent)
            log = cls(folder, environment, clock)
            if log.partitions != partitions:
                raise LogError(
                    f"the log in {folder} has {log.partitions} partitions, not {partitions}: "
                    f"the number is fixed when a log is made, so set it to {log.partitions}"
                )
            log._forget_dead_readers()
        except BaseException:
            environment.close()
            raise
        return log

    @classmethod
    def open_to_read(cls, folder: Path, map_bytes_max: int = MAP_BYTES_MAX) -> EmbeddedLog:
        """Open a log that other processes append to.

        Raises:
            LogError: there is no log in the folder, or its format is unknown.
        """
        if not (folder / "data.mdb").exists():
            raise LogError(f"there is no log in {folder}; `rung init` makes one")
        environment = open_environment(folder, map_bytes_max, readonly=True)
        try:
            return cls(folder, environment, None)
        except BaseException:
            environment.close()
            raise

    @property
    def partitions(self) -> int:
        """The number of partitions."""
        return self._layout.partitions

    def identity(self) -> LogIdentity:
        """Return the random name that the log was given, and its partitions."""
        with self.snapshot() as snapshot:
            return LogIdentity(self._layout.name(snapshot.transaction), self.partitions)

    def producer(self) -> EmbeddedProducer:
        """Return a producer. Its `close` leaves the log open."""
        return EmbeddedProducer(self)

    def consumer(self) -> EmbeddedConsumer:
        """Return a consumer of all partitions. Its `close` leaves the log open."""
        return EmbeddedConsumer(self)

    def close(self) -> None:
        """Release the log, and with it all its producers and consumers. Closing twice is fine."""
        self._environment.close()

    def append(self, payloads: Sequence[bytes]) -> Sequence[Position]:
        """Append events in order and return their positions once they are durable: all or nothing.

        Raises:
            LogError: an event is too large, the disk or the map is full, or the log is open for
                reading only. Nothing of the payloads is in the log then.
        """
        if not payloads:
            return ()
        if self._clock is None:
            raise LogError(f"cannot append to the log in {self._folder}: it is open for reading only")
        largest = max(map(len, payloads))
        if largest > EVENT_BYTES_MAX:
            raise LogError(f"an event of {largest:,} bytes is too large: the log takes {EVENT_BYTES_MAX:,}")
        count = self.partitions
        partitions = [partition_of_event(payload, count) for payload in payloads]
        groups: list[list[bytes]] = [[] for _ in range(count)]
        for partition, payload in zip(partitions, payloads, strict=True):
            groups[partition].append(payload)
        firsts: dict[int, int] = {}
        with self._changing("append to") as transaction:
            # Inside the transaction, so that the times rise with the offsets whoever appends.
            appended_at = self._clock()
            for partition, group in enumerate(groups):
                if group:
                    firsts[partition] = self._layout.append(transaction, partition, group, appended_at)
        return _Positions(partitions, firsts)

    def trim(self, partition: int, before_offset: int) -> int:
        """Delete a partition's blocks that lie wholly before an offset; return where it starts then.

        The file keeps its size, and the freed room is used for later events. Offsets go on rising.

        Raises:
            PositionOutOfRange: the offset lies past the end.
        """
        with self._changing("trim") as transaction:
            start = self._layout.trim(transaction, partition, before_offset)
        self._forget_dead_readers()
        return start

    def overwrite_freed(self, *, thoroughly: bool = False) -> None:
        """Overwrite what the file still holds of events that were trimmed away: see `rung.freed_pages`.

        To be thorough, every event that is left is written anew, too.
        """
        with translated(self._folder, "overwrite freed pages of"):
            if thoroughly:
                rewrite(self._environment)
            # What the first time is freed by a change before it, the second one finds.
            for _ in range(2):
                overwrite_freed(self._environment)

    def starts(self) -> dict[int, int]:
        """Return, for every partition, the offset of its oldest event (its end if it is empty)."""
        with self.snapshot() as snapshot:
            return {partition: snapshot.bounds(partition)[0] for partition in range(self.partitions)}

    def ends(self) -> dict[int, int]:
        """Return, for every partition, the offset that the next event will get."""
        with self.snapshot() as snapshot:
            return {partition: snapshot.bounds(partition)[1] for partition in range(self.partitions)}

    def size_bytes(self) -> int:
        """Return the bytes that the log's content takes up. The file also has room to use again."""
        with self.snapshot() as snapshot:
            return self._layout.size_bytes(snapshot.transaction)

    def read(self, position: Position) -> bytes:
        """Return one event.

        Raises:
            PositionOutOfRange: there is no event, because it was trimmed away or never appended.
        """
        with self.snapshot() as snapshot:
            block = snapshot.block(position.partition, position.offset)
        return block.payloads[position.offset - block.first_offset]

    def appended_at(self, position: Position) -> int:
        """Return when an event was appended, in microseconds since the epoch.

        Raises:
            PositionOutOfRange: there is no event, because it was trimmed away or never appended.
        """
        with self.snapshot() as snapshot:
            return snapshot.block(position.partition, position.offset).appended_at

    def scan(self, partition: int, from_offset: int, to_offset: int) -> Iterator[Slice]:
        """Yield the events from one offset to just before another, block by block.

        Raises:
            PositionOutOfRange: events of the range were trimmed away or never appended.
        """
        offset = from_offset
        while offset < to_offset:
            with self.snapshot() as snapshot:
                block = snapshot.block(partition, offset)
            high = min(to_offset, block.next_offset)
            payloads = block.payloads[offset - block.first_offset : high - block.first_offset]
            yield Slice(partition, offset, payloads, block.appended_at)
            offset = high

    @contextmanager
    def snapshot(self) -> Generator[Snapshot]:
        """Read from one consistent state. Leave it soon: the log cannot reuse pages meanwhile."""
        with translated(self._folder, "read"), self._environment.begin(buffers=True) as transaction:
            yield Snapshot(self._layout, transaction)

    def wait(self, revision: int, deadline: float) -> bool:
        """Sleep until the log has left a revision (True), or until a time of `time.monotonic` (False)."""
        while (left_seconds := deadline - time.monotonic()) > 0:
            time.sleep(min(left_seconds, _CHECK_EVERY_SECONDS))
            with translated(self._folder, "read"):
                if self._environment.info()["last_txnid"] != revision:
                    return True
        return False

    @contextmanager
    def _changing(self, doing: str) -> Generator[lmdb.Transaction[memoryview]]:
        with (
            translated(self._folder, doing),
            self._environment.begin(write=True, buffers=True) as transaction,
        ):
            yield transaction

    def _forget_dead_readers(self) -> None:
        """Free the pages that a reader holds for ever which was killed in the middle of a read."""
        with translated(self._folder, "check the readers of"):
            self._environment.reader_check()


class EmbeddedProducer:
    """Appends events to an embedded log; see `rung.log.port.Producer`."""

    def __init__(self, log: EmbeddedLog) -> None:
        """Append to an open log."""
        self._log = log

    def append(self, payloads: Sequence[bytes]) -> Sequence[Position]:
        """Append events in order, and return their positions once they are durable."""
        return self._log.append(payloads)

    def close(self) -> None:
        """Do nothing: the log belongs to whoever opened it."""


class _Positions(Sequence[Position]):
    """The positions of an append, made when one is looked at: bulk producers never do."""

    def __init__(self, partitions: Sequence[int], firsts: dict[int, int]) -> None:
        self._partitions = partitions
        self._firsts = firsts
        self._positions: list[Position] = []

    def __len__(self) -> int:
        return len(self._partitions)

    @overload
    def __getitem__(self, index: int) -> Position: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Position]: ...
    def __getitem__(self, index: int | slice) -> Position | Sequence[Position]:
        if not self._positions:
            self._positions = self._made()
        return self._positions[index]

    def _made(self) -> list[Position]:
        following = dict(self._firsts)
        positions: list[Position] = []
        for partition in self._partitions:
            positions.append(Position(partition, following[partition]))
            following[partition] += 1
        return positions
