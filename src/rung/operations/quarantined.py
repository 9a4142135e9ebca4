"""The quarantine: which events are meant, and what is done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rung.campaign.catalog import Catalog
from rung.log.port import Producer
from rung.operations.errors import OperationRefused
from rung.store.port import Quarantined, Store
from rung.transaction.events import decode

PAGE_EVENTS: Final = 1_000

Forget = Callable[[Sequence[tuple[int, int]]], None]
"""Takes events out of the quarantine's mirror."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which events are meant: by their positions, by a reason code, or every one. Just one of these."""

    positions: Sequence[str] = ()
    reason: str | None = None
    every: bool = False


def every_event(store: Store) -> Iterator[Quarantined]:
    """Yield all events in quarantine, by their positions."""
    after: tuple[int, int] | None = None
    while page := store.quarantine(after, PAGE_EVENTS):
        yield from page
        after = (page[-1].partition, page[-1].offset)


def event_at(store: Store, text: str) -> Quarantined:
    """Return the event at a position, written PARTITION:OFFSET.

    Raises:
        OperationRefused: that is no position, or nothing is in quarantine there.
    """
    event = store.quarantined(*_position(text))
    if event is None:
        raise OperationRefused(f"no event at {text} is in quarantine; see `rung quarantine list`")
    return event


def retry(store: Store, producer: Producer, forget: Forget, chosen: Chosen) -> int:
    """Append events to the log once more, take them out of quarantine, and return how many there were.

    Raises:
        OperationRefused: nothing, or more than one thing, is chosen; or one of the events is not there.
        LogError: the log takes no events.
    """
    count = 0
    for page in pages_of(store, chosen):
        # Appended first: a crash in between leaves an event in both places, and never in neither.
        producer.append([event.payload for event in page])
        count += release(store, forget, page)
    return count


def correct(store: Store, producer: Producer, forget: Forget, event: Quarantined, payload: bytes) -> None:
    """Append an event in place of one in quarantine, and take that one out.

    Raises:
        OperationRefused: it would come back for what it holds.
        LogError: the log takes no events.
    """
    catalog = Catalog.decode(store.catalog()[1])
    rejections = decode([payload], catalog.attributes, catalog.user_attributes, {}).rejections
    if rejections:
        found = rejections[0]
        raise OperationRefused(f"this cannot be applied either ({found.reason.value}): {found.detail}")
    producer.append([payload])
    release(store, forget, [event])


def release(store: Store, forget: Forget, page: Sequence[Quarantined]) -> int:
    """Take events out of quarantine and its mirror, and return how many there were."""
    positions = [(event.partition, event.offset) for event in page]
    # The mirror first: what is still in the store is found again if the other one fails.
    forget(positions)
    return store.release(positions)


def pages_of(store: Store, chosen: Chosen) -> Iterator[list[Quarantined]]:
    """Yield the chosen events, some at a time, as they were at the start.

    What a worker quarantines meanwhile, perhaps because of a retry, stands behind `limits`.

    Raises:
        OperationRefused: nothing, or more than one thing, is chosen; or one of the events is not there.
    """
    limits = store.applied()
    if sum((bool(chosen.positions), chosen.every, chosen.reason is not None)) != 1:
        raise OperationRefused("choose events: by their positions, with --reason CODE, or with --all")
    if chosen.positions:
        yield [event_at(store, text) for text in chosen.positions]
        return
    page: list[Quarantined] = []
    for event in every_event(store):
        if chosen.reason in {None, event.reason} and event.offset <= limits[event.partition].offset:
            page.append(event)
            if len(page) == PAGE_EVENTS:
                yield page
                page = []
    if page:
        yield page


def position_text(event: Quarantined) -> str:
    """Return where an event stands, as PARTITION:OFFSET."""
    return f"{event.partition}:{event.offset}"


def _position(text: str) -> tuple[int, int]:
    partition, _, offset = text.partition(":")
    if not (partition.isascii() and partition.isdecimal() and offset.isascii() and offset.isdecimal()):
        raise OperationRefused(f"{text!r} is not a position: expected PARTITION:OFFSET, for example 0:1234")
    return int(partition), int(offset)
