"""Messages that were fetched and not taken yet, and how a poll takes its share of them.

The client hands messages out in the order in which they arrived, one partition after another, and
counts them without looking at their size. So a poll fetches ahead, and takes from here: evenly, and
within its bounds of events and bytes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice, pairwise
from typing import Final

from confluent_kafka import Message

from rung.log.kafka.errors import END
from rung.log.port import Slice
from rung.log.share import shares

SCHEMA_HEADER: Final = "rung-schema"
SCHEMA: Final = b"1"
_HEADERS: Final = [(SCHEMA_HEADER, SCHEMA)]


@dataclass(slots=True)
class _Queue:
    """One partition's messages in order, and their size.

    Offsets from `following` up to `empty_to` hold no event.
    """

    following: int
    empty_to: int
    messages: list[Message] = field(default_factory=list[Message])
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Taking:
    """What a poll is about to take: slices, and the number of messages of each partition."""

    slices: Sequence[Slice]
    counts: Mapping[int, int]


class Fetched:
    """The messages of the partitions that are read."""

    def __init__(self) -> None:
        """Begin with no partition."""
        self._queues: dict[int, _Queue] = {}

    def __contains__(self, partition: object) -> bool:
        return partition in self._queues

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions that are read."""
        return frozenset(self._queues)

    def events(self) -> int:
        """Return how many messages wait to be taken."""
        return sum(len(queue.messages) for queue in self._queues.values())

    def bytes(self) -> int:
        """Return how many bytes of payload wait to be taken."""
        return sum(queue.bytes for queue in self._queues.values())

    def start(self, partition: int, offset: int) -> None:
        """Read a partition from an offset; what was fetched of it is forgotten."""
        self._queues.pop(partition, None)
        self._queues[partition] = _Queue(offset, offset)

    def drop(self, partition: int) -> None:
        """Read a partition no longer."""
        self._queues.pop(partition, None)

    def clear(self) -> None:
        """Read nothing any longer."""
        self._queues.clear()

    def put(self, messages: Sequence[Message]) -> list[Message]:
        """Add messages in their order, and return those that are errors.

        A message of a partition that is not read was fetched before the partition left.
        """
        queues = self._queues
        errors: list[Message] = []
        for message in messages:
            if message.error() is not None:
                errors.append(message)
            elif (queue := queues.get(message.partition() or 0)) is not None:
                queue.messages.append(message)
                queue.bytes += len(message)
        return [message for message in errors if not self._is_end(message)]

    def take(self, events_max: int, bytes_max: int) -> Taking:
        """Choose what to take, evenly within both bounds; nothing is gone before `settle`."""
        counts = self._cut(events_max, bytes_max)
        slices: list[Slice] = []
        for partition, count in counts.items():
            slices += slices_of(partition, self._queues[partition].messages[:count])
        return Taking(slices, counts)

    def settle(self, taking: Taking) -> None:
        """Let go of what was taken."""
        for partition, count in taking.counts.items():
            # Put back at the end, so that the odd event goes to another partition next time.
            queue = self._queues.pop(partition)
            queue.following = (queue.messages[count - 1].offset() or 0) + 1
            queue.bytes -= sum(map(len, islice(queue.messages, count)))
            del queue.messages[:count]
            self._queues[partition] = queue

    def read_to(self) -> dict[int, int]:
        """Return the offset behind what was taken of each partition; those that hold no event are passed."""
        return {
            partition: queue.following if queue.messages else max(queue.following, queue.empty_to)
            for partition, queue in self._queues.items()
        }

    def without_empty_tails(self, ends: Mapping[int, int]) -> dict[int, int]:
        """Return ends, less the offsets at the very end that are known to hold no event.

        Markers of transactions have offsets like events; nobody can ever apply one.
        """
        return {
            partition: queue.following
            if (queue := self._queues.get(partition)) and not queue.messages and queue.empty_to == end
            else end
            for partition, end in ends.items()
        }

    def _is_end(self, message: Message) -> bool:
        error = message.error()
        if error is None or error.name() != END:
            return False
        queue = self._queues.get(message.partition() or 0)
        if queue is not None:
            queue.empty_to = message.offset() or 0
        return True

    def _cut(self, events_max: int, bytes_max: int) -> dict[int, int]:
        """Return how many messages of each partition to take."""
        queues = self._queues
        wanted = shares({key: len(queue.messages) for key, queue in queues.items()}, events_max)
        ends = {
            partition: list(accumulate(map(len, islice(queues[partition].messages, count))))
            for partition, count in wanted.items()
            if count
        }
        if sum(one[-1] for one in ends.values()) <= bytes_max:
            return {partition: len(one) for partition, one in ends.items()}
        # The first one's next event is read whatever its size. Whoever is passed over comes first in
        # the end, so a large event waits a few polls at most, however much the others have.
        counts = dict.fromkeys(ends, 0)
        first = next(iter(ends))
        counts[first] = 1
        bytes_left = bytes_max - ends[first][0]
        # Then everybody's own share of the bytes, and then what others left of theirs.
        for share in (bytes_max // len(ends), bytes_max):
            for partition, sizes in ends.items():
                low = counts[partition]
                before = sizes[low - 1] if low else 0
                high = bisect_right(sizes, before + min(share, bytes_left), low)
                counts[partition] = high
                bytes_left -= (sizes[high - 1] if high else 0) - before
        return {partition: count for partition, count in counts.items() if count}


def slices_of(partition: int, messages: Sequence[Message]) -> list[Slice]:
    """Return a partition's messages as slices: one for each run of consecutive offsets."""
    offsets = [message.offset() or 0 for message in messages]
    if not offsets:
        return []
    cuts = [0, len(offsets)]
    if offsets[-1] - offsets[0] != len(offsets) - 1:
        gaps = (index for index, (one, other) in enumerate(pairwise(offsets), 1) if other != one + 1)
        cuts = [0, *gaps, len(offsets)]
    return [_slice(partition, offsets[low], messages[low:high]) for low, high in pairwise(cuts)]


def _slice(partition: int, first_offset: int, messages: Sequence[Message]) -> Slice:
    headers = [message.headers() for message in messages]
    unreadable = {
        index: detail
        for index, one in enumerate(headers)
        # The client gives a list; without headers, none.
        if one != _HEADERS and isinstance(one, list) and (detail := _unknown_schema(one))
    }
    return Slice(
        partition,
        first_offset,
        [message.value() or b"" for message in messages],
        _appended_at(messages[0]),
        unreadable,
        lambda offset: _appended_at(messages[offset - first_offset]),
    )


def _appended_at(message: Message) -> int:
    """Return the time of a message in microseconds since the epoch; 0 if it has none."""
    return max(message.timestamp()[1], 0) * 1_000


def _unknown_schema(headers: Iterable[tuple[str, str | bytes | None]]) -> str:
    """Return what is wrong with the schema that headers name, or nothing."""
    for name, value in headers:
        if name == SCHEMA_HEADER and value != SCHEMA:
            told = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else "none"
            return f"schema {told[:40]}: this release reads {SCHEMA.decode()}"
    return ""
