"""The archiver: every event of the log goes to the lake, with its position, once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from rung.faultpoints import passing
from rung.lake.port import Lake, LakeError, LakeOvertaken
from rung.lake.rows import rows_of
from rung.log.port import Consumer, Log, LogUnavailable, PositionOutOfRange, Slice
from rung.store.backoff import Backoff

_POLL_SECONDS_MAX: Final = 0.5

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """When events are appended: a larger file is better to read, and an event waits for it longer."""

    events_max: int = 200_000
    bytes_max: int = 64 << 20
    wait_seconds: float = 10.0


@dataclass(slots=True)
class _Held:
    """Slices that wait to be appended."""

    slices: list[Slice] = field(default_factory=list[Slice])
    events: int = 0
    bytes: int = 0
    since: float = field(default_factory=time.monotonic)
    """When there was nothing to append."""

    def add(self, slices: Sequence[Slice]) -> None:
        self.slices.extend(slices)
        self.events += sum(len(part.payloads) for part in slices)
        self.bytes += sum(len(payload) for part in slices for payload in part.payloads)

    def keep(self, partitions: AbstractSet[int]) -> None:
        """Forget what is held of other partitions."""
        kept = [part for part in self.slices if part.partition in partitions]
        self.slices, self.events, self.bytes = [], 0, 0
        self.add(kept)

    def is_full(self, settings: ArchiveSettings) -> bool:
        return self.events >= settings.events_max or self.bytes >= settings.bytes_max

    def ends(self) -> dict[int, int]:
        """Return the offset after the last event held of each partition."""
        return {part.partition: part.first_offset + len(part.payloads) for part in self.slices}


@dataclass(frozen=True, slots=True)
class Archiving:
    """What an archiver has done: events appended, and held; its partitions, and why some are halted."""

    appended: int
    held: int
    assigned: frozenset[int]
    halted: Mapping[int, str]


class Archiver:
    """Appends what a consumer reads to a lake. For one thread."""

    def __init__(self, consumer: Consumer, lake: Lake, settings: ArchiveSettings) -> None:
        """Take a consumer of the archivers' own group."""
        self._consumer = consumer
        self._lake = lake
        self._settings = settings
        self._partitions = consumer.identity().partitions
        # Where the lake ends in each partition that is read, as far as this archiver knows.
        self._positions: dict[int, int] = {}
        self._halted: dict[int, LakeError] = {}
        self._held = _Held()
        self._backoff = Backoff()

    def run(
        self,
        stop: threading.Event,
        *,
        until_caught_up: bool = False,
        on_progress: Callable[[Archiving], object] | None = None,
    ) -> int:
        """Archive until `stop` is set, or until nothing is left, and return how many events were appended.

        A partition whose next event the log does not have is halted, and the others go on. A log that cannot
        be reached is waited for. `on_progress` is told after each step.

        Raises:
            LakeError: the lake cannot be written, or all partitions are halted, or only halted ones
                are left with `until_caught_up`.
            LogError: the log cannot be read, for good.
        """
        appended = 0
        while not stop.is_set():
            appended += self.step()
            if on_progress is not None:
                halted = {partition: str(error) for partition, error in self._halted.items()}
                on_progress(Archiving(appended, self._held.events, frozenset(self._positions), halted))
            if until_caught_up and self._is_caught_up():
                break
        return appended + self.flush()

    def step(self) -> int:
        """Read once, append if enough is held, and return how many events were appended.

        When the log cannot be reached, what is held stays in hand, and the partitions rest.
        """
        try:
            self._follow_assignment()
            self._refuse_when_all_halted()
            self._held.add(self._read())
            if not self._read_to():
                self._held.since = time.monotonic()
            appended = self.flush() if self._is_due() else 0
        except LogUnavailable as error:
            seconds = self._backoff.next_seconds()
            _log.warning("archiver_waits", extra={"seconds": seconds, "cause": str(error)})
            self._consumer.rest(seconds)
            return 0
        self._backoff.reset()
        return appended

    def flush(self) -> int:
        """Append what is held, and return how many events that was: 0 if another archiver has done it."""
        held, after = self._held, self._read_to()
        if after:
            expected = {partition: self._positions[partition] for partition in after}
            try:
                _append(self._lake, held.slices, self._partitions, expected, after)
            except LakeOvertaken:
                # Another archiver has these partitions, or had them: begin again where the lake ends.
                self._positions.clear()
                self._held = _Held()
                return 0
            self._positions |= after
            self._consumer.report({partition: end - 1 for partition, end in after.items()})
        self._held = _Held()
        return held.events

    def _read(self) -> Sequence[Slice]:
        held, settings = self._held, self._settings
        try:
            return self._consumer.poll(
                max(settings.events_max - held.events, 1),
                max(settings.bytes_max - held.bytes, 1),
                min(settings.wait_seconds, _POLL_SECONDS_MAX),
            )
        except PositionOutOfRange as error:
            # What was read of it before goes to the lake all the same.
            self._halt(error.partition, self._read_to().get(error.partition), error)
            return ()

    def _read_to(self) -> dict[int, int]:
        """Return where the lake will end with what is held, in the partitions where that is further on.

        Offsets behind the last event that hold none, such as the markers of transactions, are passed.
        """
        reached = self._held.ends()
        for partition, end in self._consumer.read_to().items():
            reached[partition] = max(end, reached.get(partition, 0))
        return {
            partition: end
            for partition, end in reached.items()
            if partition in self._positions and end > self._positions[partition]
        }

    def _is_due(self) -> bool:
        held, settings = self._held, self._settings
        return held.is_full(settings) or time.monotonic() - held.since >= settings.wait_seconds

    def _follow_assignment(self) -> None:
        assigned = self._consumer.assignment()
        known = self._positions.keys() | self._halted.keys()
        if not assigned ^ known:
            return
        # What is held of a partition that went away, or came back, was read on other terms.
        self._held.keep(assigned & self._positions.keys())
        for partition in known - assigned:
            self._positions.pop(partition, None)
            self._halted.pop(partition, None)
        missing = assigned - known
        if not missing:
            return
        positions = self._lake.positions()
        for partition in sorted(missing):
            try:
                self._consumer.seek(partition, positions[partition])
            except PositionOutOfRange as error:
                self._halt(partition, positions[partition], error)
            else:
                self._positions[partition] = positions[partition]

    def _halt(self, partition: int, position: int | None, error: PositionOutOfRange) -> None:
        """Archive no more of a partition whose next event the log does not have."""
        offset = self._positions.get(partition, 0) if position is None else position
        self._halted[partition] = _lost(partition, offset, error)
        _log.error("archive_halted", extra={"partition": partition, "cause": str(error)})
        self._consumer.leave(partition)

    def _refuse_when_all_halted(self) -> None:
        if self._halted and self._positions.keys() <= self._halted.keys():
            self.flush()
            raise self._halted[min(self._halted)]

    def _is_caught_up(self) -> bool:
        try:
            ends = self._consumer.ends()
        except LogUnavailable:
            # Unknown for now; whoever waits for it asks again.
            return False
        reached = {**self._lake.positions(), **self._read_to()}
        behind = {partition for partition, end in ends.items() if reached[partition] < end}
        if self._halted and behind <= self._halted.keys():
            self.flush()
            raise self._halted[min(self._halted)]
        return not behind


def archive_up_to(log: Log, lake: Lake, ends: Mapping[int, int]) -> int:
    """Append what the lake lacks of the events before `ends`, and return how many events that was.

    It may run beside an archiver: whoever comes second with an event is refused, and looks again.

    Raises:
        LakeError: the lake cannot be written, or the log has lost events that are not in it.
    """
    appended = 0
    while True:
        positions = lake.positions()
        missing = {partition: end for partition, end in ends.items() if positions[partition] < end}
        if not missing:
            return appended
        try:
            for partition, end in missing.items():
                appended += _archive_range(log, lake, partition, positions[partition], end)
        except LakeOvertaken:
            continue


def _archive_range(log: Log, lake: Lake, partition: int, first: int, end: int) -> int:
    held, position, appended = _Held(), first, 0
    try:
        for part in log.scan(partition, first, end):
            held.add([part])
            if held.is_full(ArchiveSettings()):
                reached = held.ends()
                _append(lake, held.slices, log.partitions, {partition: position}, reached)
                appended += held.events
                position, held = reached[partition], _Held()
    except PositionOutOfRange as error:
        raise _lost(partition, position, error) from error
    # The end may stand behind offsets that hold no event, such as the marker of a transaction.
    _append(lake, held.slices, log.partitions, {partition: position}, {partition: end})
    return appended + held.events


def _append(
    lake: Lake,
    slices: Sequence[Slice],
    partitions: int,
    expected: Mapping[int, int],
    after: Mapping[int, int],
) -> None:
    rows = rows_of(slices, partitions)
    passing("archiving")
    lake.append(rows, expected, after)
    passing("archived")


def _lost(partition: int, position: int, error: PositionOutOfRange) -> LakeError:
    return LakeError(
        f"the lake has partition {partition} up to offset {position}, and the log does not go on from there: "
        f"{error}. Nothing more of that partition is archived until the log has these events again"
    )
