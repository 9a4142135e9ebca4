"""What a store must hold once the events of a log are applied: compared with the oracle, user by user."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from campaign_pairs import Pair
from faults.feeding import Feeder
from harness import stored_figures
from oracle import Oracle
from rung.log.port import Log, Position
from rung.store.port import Store

SHOWN_MAX = 10
_NOBODY: Mapping[Position, str] = {}
_NO_WINNERS: Mapping[str, str] = {}


def contents_of(log: Log) -> dict[Position, bytes]:
    """Return every event of a log, partition by partition, in order."""
    starts, found = log.starts(), dict[Position, bytes]()
    for partition, end in log.ends().items():
        for part in log.scan(partition, starts[partition], end):
            for index, payload in enumerate(part.payloads):
                found[Position(partition, part.first_offset + index)] = payload
    return found


def differences(
    store: Store,
    contents: Mapping[Position, bytes],
    pairs: Sequence[Pair],
    refused: Mapping[Position, str] = _NOBODY,
    winners: Mapping[str, str] = _NO_WINNERS,
) -> list[str]:
    """Return how a store differs from what the oracle makes of events, in a few lines; none is equality.

    Args:
        store: What is looked at.
        contents: All events that are to be applied.
        pairs: The campaigns.
        refused: Events that must be in quarantine, with the reason, for what the oracle cannot see: it
            knows neither headers nor partitions.
        winners: For transactions that users in several partitions claim, the one whose claim was stored
            first: the log has no order between partitions, so the oracle must be told.
    """
    order = [
        position
        for is_later in (False, True)
        for position, payload in contents.items()
        if position not in refused and (bool(winners) and _loses(payload, winners)) is is_later
    ]
    oracle = Oracle([pair.oracle for pair in pairs]).apply_all(contents[position] for position in order)
    reasons = {order[number]: reason for number, reason in oracle.quarantined} | dict(refused)
    counters = store.counters()
    quarantined = {
        Position(one.partition, one.offset): one for one in store.quarantine(None, len(contents) + 1)
    }
    return [
        *_differing("figure", stored_figures(store), oracle.figures()),
        *_differing(
            "applied", {p: state.offset for p, state in store.applied().items()}, last_offsets(contents)
        ),
        *_differing("quarantine", {place: one.reason for place, one in quarantined.items()}, reasons),
        *_differing(
            "quarantined bytes",
            {place: one.payload for place, one in quarantined.items()},
            {place: contents.get(place) for place in reasons},
        ),
        *_differing("quarantined by reason", counters.quarantined, Counter(reasons.values())),
        *_differing("counters", {"events": counters.events}, {"events": len(contents) - len(reasons)}),
    ]


def lost_events(feeder: Feeder, contents: Mapping[Position, bytes]) -> list[str]:
    """Return what a log lacks of that which was acknowledged, and what it has that nobody sent."""
    found = {place: contents.get(place) for place in feeder.acknowledged}
    made_up = Counter(contents.values()) - feeder.sent
    return [
        *_differing("acknowledged", found, feeder.acknowledged),
        *(f"made up: {payload[:80]!r}" for payload in islice(made_up, SHOWN_MAX)),
    ]


def last_offsets(positions: Iterable[Position]) -> dict[int, int]:
    """Return the last offset of each partition."""
    last: dict[int, int] = {}
    for partition, offset in positions:
        last[partition] = max(offset, last.get(partition, -1))
    return last


def _loses(payload: bytes, winners: Mapping[str, str]) -> bool:
    event = json.loads(payload)
    return winners.get(event.get("transaction_id"), event["user_id"]) != event["user_id"]


def _differing(what: str, found: Mapping[Any, object], due: Mapping[Any, object]) -> list[str]:
    """Return a line for each of the first few keys with other values."""
    keys = [key for key in {**found, **due} if found.get(key) != due.get(key)]
    lines = [f"{what} {key}: {found.get(key)!r:.200}, not {due.get(key)!r:.200}" for key in keys[:SHOWN_MAX]]
    return [*lines, f"{what}: {len(keys)} in all"] if len(keys) > SHOWN_MAX else lines
