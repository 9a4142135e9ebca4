"""Events on their way to the server: as lines of JSON, in batches that it takes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Final, TypeAlias, cast

import msgspec

from rung.client.errors import Refused
from rung.status.messages import EVENTS_BYTES_MAX, EVENTS_MAX, EventPosition

Event: TypeAlias = Mapping[str, object] | msgspec.Struct | str | bytes
"""One event: a mapping or struct that becomes JSON, or the JSON itself."""

# Well below what the server takes: after a lost connection a whole batch is sent again.
BATCH_BYTES: Final = EVENTS_BYTES_MAX // 4
BATCH_EVENTS: Final = EVENTS_MAX // 10


class Receipt(msgspec.Struct, frozen=True):
    """What became of events that were sent: they are in the log, durably, and will be applied.

    Attributes:
        accepted: How many they are.
        last: Where the last of them stands; None if there was none.
        after: What a status has to wait for to hold all of them, one text for each batch; None if the server
            could not tell.
    """

    accepted: int
    last: EventPosition | None
    after: tuple[str, ...] | None


def lines_of(events: Event | Iterable[Event]) -> Generator[bytes]:
    """Yield each event as one line of JSON, without its end.

    Raises:
        Refused: an event is blank, or cannot be written as JSON; the detail says which.
    """
    for number, event in enumerate(_many(events), 1):
        try:
            line = event if isinstance(event, bytes) else _json_of(event)
        except (TypeError, ValueError) as error:
            raise Refused("bad_event", f"event {number}: it cannot be JSON: {error}") from error
        if not line or line.isspace():
            raise Refused("no_events", f"event {number}: it is empty.")
        # JSON has line ends only between its parts, where a space is as good.
        yield line.replace(b"\n", b" ")


def _many(events: Event | Iterable[Event]) -> Iterable[Event]:
    if isinstance(events, Mapping | msgspec.Struct | str | bytes):
        return (cast("Event", events),)
    return events


def _json_of(event: Mapping[str, object] | msgspec.Struct | str) -> bytes:
    return event.encode() if isinstance(event, str) else msgspec.json.encode(event)


def batches_of(
    lines: Iterable[bytes], bytes_max: int = BATCH_BYTES, events_max: int = BATCH_EVENTS
) -> Generator[list[bytes]]:
    """Yield the lines in batches, in their order.

    Each has at most `events_max` lines and, with an end for each, at most `bytes_max` bytes; a line that is
    longer is a batch of its own.
    """
    batch: list[bytes] = []
    size_bytes = 0
    for line in lines:
        if batch and (len(batch) == events_max or size_bytes + len(line) + 1 > bytes_max):
            yield batch
            batch, size_bytes = [], 0
        batch.append(line)
        size_bytes += len(line) + 1
    if batch:
        yield batch
