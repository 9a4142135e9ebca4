"""The archiver: every event of the log goes to the lake, with its position, once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rung.campaign.catalog import Catalog
from rung.faultpoints import passing
from rung.lake.port import Lake, LakeError, LakeOvertaken
from rung.lake.rows import rows_of
from rung.log.port import Consumer, Log, PositionOutOfRange, Slice

_POLL_SECONDS_MAX: Final = 0.5


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
    since: float = 0.0

    def add(self, slices: Sequence[Slice]) -> None:
        if slices and not self.slices:
            self.since = time.monotonic()
        self.slices.extend(slices)
        self.events += sum(len(part.payloads) for part in slices)
        self.bytes += sum(len(payload) for part in slices for payload in part.payloads)

    def is_full(self, settings: ArchiveSettings) -> bool:
        return self.events >= settings.events_max or self.bytes >= settings.bytes_max

    def ends(self) -> dict[int, int]:
        """Return the offset after the last event held of each partition."""
        return {part.partition: part.first_offset + len(part.payloads) for part in self.slices}


class Archiver:
    """Appends what a consumer reads to a lake. For one thread."""

    def __init__(
        self, consumer: Consumer, lake: Lake, catalog: Callable[[], Catalog], settings: ArchiveSettings
    ) -> None:
        """Take a consumer of the archivers' own group; `catalog` gives what is in force now."""
        self._consumer = consumer
        self._lake = lake
        self._catalog = catalog
        self._settings = settings
        self._partitions = consumer.identity().partitions
        self._positions: dict[int, int] = {}
        self._held = _Held()

    def run(self, stop: threading.Event, *, until_caught_up: bool = False) -> int:
        """Archive until `stop` is set, or until nothing is left, and return how many events were appended.

        Raises:
            LakeError: the lake cannot be written, or the log has lost events that are not in it.
            LogError: the log cannot be read.
        """
        appended = 0
        while not stop.is_set():
            appended += self.step()
            if until_caught_up and self._is_caught_up():
                break
        return appended + self.flush()

    def step(self) -> int:
        """Read once, append if enough is held, and return how many events were appended."""
        self._follow_assignment()
        held, settings = self._held, self._settings
        slices = self._consumer.poll(
            max(settings.events_max - held.events, 1),
            max(settings.bytes_max - held.bytes, 1),
            min(settings.wait_seconds, _POLL_SECONDS_MAX),
        )
        held.add(slices)
        waited = time.monotonic() - held.since >= settings.wait_seconds
        return self.flush() if held.slices and (waited or held.is_full(settings)) else 0

    def flush(self) -> int:
        """Append what is held, and return how many events that was: 0 if another archiver has done it."""
        held, self._held = self._held, _Held()
        if not held.slices:
            return 0
        ends = held.ends()
        expected = {partition: self._positions[partition] for partition in ends}
        try:
            _append(self._lake, held.slices, self._catalog(), self._partitions, expected, ends)
        except LakeOvertaken:
            # Another archiver has these partitions, or had them: begin again where the lake ends.
            self._positions.clear()
            return 0
        self._positions |= ends
        self._consumer.report({partition: end - 1 for partition, end in ends.items()})
        return held.events

    def _follow_assignment(self) -> None:
        assigned = self._consumer.assignment()
        missing = assigned - self._positions.keys()
        lost = self._positions.keys() - assigned
        if not missing and not lost:
            return
        # What is held of a partition that went away, or came back, was read on other terms.
        kept = [part for part in self._held.slices if part.partition not in lost | missing]
        since, self._held = self._held.since, _Held()
        self._held.add(kept)
        self._held.since = since
        for partition in lost:
            del self._positions[partition]
        if not missing:
            return
        positions = self._lake.state().positions
        for partition in sorted(missing):
            try:
                self._consumer.seek(partition, positions[partition])
            except PositionOutOfRange as error:
                raise _lost(partition, positions[partition], error) from error
            self._positions[partition] = positions[partition]

    def _is_caught_up(self) -> bool:
        reached = {**self._lake.state().positions, **self._held.ends()}
        return all(reached[partition] >= end for partition, end in self._consumer.ends().items())


def archive_up_to(log: Log, lake: Lake, catalog: Catalog, ends: Mapping[int, int]) -> int:
    """Append what the lake lacks of the events before `ends`, and return how many events that was.

    It may run beside an archiver: whoever comes second with an event is refused, and looks again.

    Raises:
        LakeError: the lake cannot be written, or the log has lost events that are not in it.
    """
    appended = 0
    while True:
        positions = lake.state().positions
        missing = {partition: end for partition, end in ends.items() if positions[partition] < end}
        if not missing:
            return appended
        try:
            for partition, end in missing.items():
                appended += _archive_range(log, lake, catalog, partition, positions[partition], end)
        except LakeOvertaken:
            continue


def _archive_range(log: Log, lake: Lake, catalog: Catalog, partition: int, first: int, end: int) -> int:
    held, position, appended = _Held(), first, 0
    try:
        for part in log.scan(partition, first, end):
            held.add([part])
            if held.is_full(ArchiveSettings()):
                reached = held.ends()
                _append(lake, held.slices, catalog, log.partitions, {partition: position}, reached)
                appended += held.events
                position, held = reached[partition], _Held()
    except PositionOutOfRange as error:
        raise _lost(partition, position, error) from error
    # The end may stand behind offsets that hold no event, such as the marker of a transaction.
    _append(lake, held.slices, catalog, log.partitions, {partition: position}, {partition: end})
    return appended + held.events


def _append(
    lake: Lake,
    slices: Sequence[Slice],
    catalog: Catalog,
    partitions: int,
    expected: Mapping[int, int],
    after: Mapping[int, int],
) -> None:
    rows = rows_of(slices, catalog.attributes, catalog.user_attributes, partitions)
    passing("archiving")
    lake.append(rows, expected, after)
    passing("archived")


def _lost(partition: int, position: int, error: PositionOutOfRange) -> LakeError:
    return LakeError(
        f"events of partition {partition} from offset {position} on are neither in the lake nor, all of "
        f"them, in the log: {error}. Restore the log, or begin a lake in another folder with what is left."
    )
