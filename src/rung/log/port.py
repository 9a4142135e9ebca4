"""The log port: an ordered, durable event stream in partitions.

A partition's offsets rise with every event; an adapter may leave some out. Producing and consuming are
two ports, because a process seldom needs both: `Producer` appends, `Consumer` reads for one worker.
`Log` makes them, and tells the state of the partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable


class Position(NamedTuple):
    """The place of one event in the log."""

    partition: int
    offset: int


class LogIdentity(NamedTuple):
    """What tells one log from any other, and from itself once its events lie elsewhere.

    A log that was made anew under its old name has another `name`; positions in the one mean nothing
    in the other. Nor do they with another number of partitions: users move to other ones then.
    """

    name: str
    partitions: int


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive events of one partition: `payloads[i]` stands at `first_offset + i`.

    `appended_at` is when the first of them was appended, in microseconds since the epoch; `time_of` tells it
    of each offset, where they differ. `unreadable` maps the index of an event that says of itself to be
    of an unknown form to what it says.
    """

    partition: int
    first_offset: int
    payloads: Sequence[bytes]
    appended_at: int
    unreadable: Mapping[int, str] = field(default_factory=dict[int, str])
    time_of: Callable[[int], int] | None = field(default=None, compare=False, repr=False)

    def times(self) -> list[int]:
        """Return when each event was appended, in microseconds since the epoch."""
        if self.time_of is None:
            return [self.appended_at] * len(self.payloads)
        return [self.time_of(self.first_offset + index) for index in range(len(self.payloads))]


def unreadable_rows(slices: Sequence[Slice]) -> Mapping[int, str]:
    """Return what the unreadable events of slices say, by their row when the slices follow one another."""
    found: dict[int, str] = {}
    first = 0
    for part in slices:
        found |= {first + index: text for index, text in part.unreadable.items()}
        first += len(part.payloads)
    return found


class LogError(Exception):
    """The log cannot do what was asked, and no retry will help; the text names the fix."""


class PositionOutOfRange(LogError):
    """The wanted offset was trimmed away or lies past the end: events would be missed."""

    def __init__(self, message: str, partition: int) -> None:
        super().__init__(message)
        self.partition = partition


class LogReplaced(LogError):
    """This is not the log that was read so far: it was made anew, or has other partitions."""


class LogUnavailable(LogError):
    """The log cannot be reached now. What was asked may be asked again; an append may have happened."""


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
    """Reads events for one worker, from positions that the worker names. For one thread."""

    def identity(self) -> LogIdentity:
        """Return the identity of the log that this consumer reads, and no other."""
        ...

    def assignment(self) -> frozenset[int]:
        """Return the partitions that this consumer may read now.

        One that left and came back since the last call is missing once, so that its leaving is seen.
        """
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
        one). Returns at once when there is something, else empty after `wait_seconds`. A partition that
        left the assignment is read again once it has come back and was sought anew.

        Raises:
            PositionOutOfRange: the log no longer has the next event of a partition.
            LogReplaced: the log is no longer the one that `identity` tells.
        """
        ...

    def read_to(self) -> Mapping[int, int]:
        """Return how far `poll` has handed out the partitions that are read: the next offset of each.

        Offsets before it that were not handed out hold no event.
        """
        ...

    def leave(self, partition: int) -> None:
        """Read no more of a partition before it is sought again. It stays assigned."""
        ...

    def rest(self, seconds: float) -> None:
        """Read nothing for a while, and stay the one that the partitions are assigned to."""
        ...

    def report(self, applied: Mapping[int, int]) -> None:
        """Tell the log, for those who watch it, the last offset applied of some partitions.

        Nothing rests on it, so it does not wait and cannot fail.
        """
        ...

    def ends(self) -> Mapping[int, int]:
        """Return, for every partition of the log, the offset that the next event will get."""
        ...

    def close(self) -> None:
        """Release what the consumer holds."""
        ...


class Log(Protocol):
    """A log that is open: makes producers and consumers, and tells how far the partitions go."""

    @property
    def partitions(self) -> int:
        """The number of partitions."""
        ...

    def identity(self) -> LogIdentity:
        """Return what tells this log from any other, as it is now."""
        ...

    def producer(self) -> Producer:
        """Return a producer."""
        ...

    def consumer(self) -> Consumer:
        """Return a consumer for a worker, which shares the partitions with the other workers."""
        ...

    def starts(self) -> Mapping[int, int]:
        """Return, for every partition, the offset of its oldest event (its end if it is empty)."""
        ...

    def ends(self) -> Mapping[int, int]:
        """Return, for every partition, the offset that the next event will get."""
        ...

    def appended_at(self, position: Position) -> int:
        """Return when an event was appended, in microseconds since the epoch.

        Raises:
            PositionOutOfRange: there is no event, because it was trimmed away or never appended.
        """
        ...

    def scan(self, partition: int, from_offset: int, to_offset: int) -> Iterator[Slice]:
        """Yield the events from one offset to just before another, beside all workers.

        Raises:
            PositionOutOfRange: events of the range were trimmed away or never appended.
        """
        ...

    def close(self) -> None:
        """Release the log, and with it all its producers and consumers. Closing twice is fine."""
        ...


@runtime_checkable
class Trimmable(Protocol):
    """A log that deletes events when it is told to, and not by a rule of its own."""

    def trim(self, partition: int, before_offset: int) -> int:
        """Delete a partition's events that lie before an offset; return where it starts then.

        Some just before the offset may stay: events are deleted in blocks. Offsets go on rising.

        Raises:
            PositionOutOfRange: the offset lies past the end.
        """
        ...
