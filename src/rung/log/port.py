"""The log port: an ordered, durable event stream in partitions.

A partition's offsets start at 0 and rise by one. Producing and consuming are two ports, because
a process seldom needs both: `Producer` appends, `Consumer` reads for one worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Position(NamedTuple):
    """The place of one event in the log."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive events of one partition: `payloads[i]` stands at `first_offset + i`.

    `appended_at` is when the first of them was appended, in microseconds since the epoch.
    """

    partition: int
    first_offset: int
    payloads: Sequence[bytes]
    appended_at: int


class LogError(Exception):
    """The log cannot do what was asked, and no retry will help; the text names the fix."""


class PositionOutOfRange(LogError):
    """The wanted offset was trimmed away or lies past the end: events would be missed."""


class Producer(Protocol):
    """Appends events."""

    def append(self, payloads: Sequence[bytes]) -> Sequence[Position]:
        """Append events in order, and return their positions once they are durable.

        The partition of an event comes from its user id (`rung.transaction.routing`).
        """
        ...

    def close(self) -> None:
        """Release what the producer holds. Appended events stay."""
        ...


class Consumer(Protocol):
    """Reads events for one worker, from positions that the worker names."""

    def assignment(self) -> frozenset[int]:
        """Return the partitions that this consumer may read now."""
        ...

    def seek(self, partition: int, offset: int) -> None:
        """Make the next `poll` of a partition start at an offset. There is no default start.

        Raises:
            PositionOutOfRange: the offset was trimmed away or lies past the end.
        """
        ...

    def poll(self, events_max: int, bytes_max: int, wait_seconds: float) -> Sequence[Slice]:
        """Return what has been appended since, evenly from all sought partitions.

        At most `events_max` events and about `bytes_max` bytes (at least one event, if there is
        one). Returns at once when there is something, else empty after `wait_seconds`.
        """
        ...

    def ends(self) -> Mapping[int, int]:
        """Return, for every partition of the log, the offset that the next event will get."""
        ...

    def close(self) -> None:
        """Release what the consumer holds."""
        ...
