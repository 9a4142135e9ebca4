"""The lag, and the partitions that cannot go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from rung.log.port import LogIdentity, Position, PositionOutOfRange
from rung.status.lag import Stuck, lag_events, measure_lag, read_standings
from rung.store.memory import MemoryStore
from rung.store.port import Applied, BoundLog, Change

ONE = LogIdentity("one", 2)


@dataclass
class FakeLog:
    """A log of two partitions: bounds, and events that were appended a second after each other."""

    bounds: Mapping[int, tuple[int, int]]
    name: LogIdentity = ONE
    missing: set[Position] = field(default_factory=set[Position])

    def identity(self) -> LogIdentity:
        return self.name

    def starts(self) -> Mapping[int, int]:
        return {partition: start for partition, (start, _end) in self.bounds.items()}

    def ends(self) -> Mapping[int, int]:
        return {partition: end for partition, (_start, end) in self.bounds.items()}

    def appended_at(self, position: Position) -> int:
        start, end = self.bounds[position.partition]
        if not start <= position.offset < end or position in self.missing:
            raise PositionOutOfRange("not there", position.partition)
        return position.offset * 1_000_000


def store_at(offset: int, bound: LogIdentity | None = ONE) -> MemoryStore:
    """Return a store that has applied partition 0 up to an offset, and all of partition 1."""
    store = MemoryStore()
    store.commit(Change(0, {}, {0: Applied(offset, None), 1: Applied(9, None)}))
    if bound is not None:
        store.bind(BoundLog(*bound))
    return store


CASES = (
    ("nothing waits", 9, (0, 10), ONE, None, 0, 0.0),
    ("three wait", 6, (0, 10), ONE, None, 3, 93.0),
    ("trimmed up to the next", 6, (7, 10), ONE, None, 3, 93.0),
    ("trimmed past the next", 6, (8, 10), ONE, Stuck.PASSED_BY_RETENTION, 3, 0.0),
    ("trimmed and empty", 6, (10, 10), ONE, Stuck.PASSED_BY_RETENTION, 3, 0.0),
    ("shorter than applied", 9, (0, 5), ONE, Stuck.AHEAD_OF_LOG, 0, 0.0),
    ("one shorter", 9, (0, 9), ONE, Stuck.AHEAD_OF_LOG, 0, 0.0),
    ("made anew", 6, (0, 10), LogIdentity("two", 2), Stuck.LOG_REPLACED, 3, 0.0),
    ("got partitions", 6, (0, 10), LogIdentity("one", 3), Stuck.LOG_REPLACED, 3, 0.0),
)


@pytest.mark.parametrize(
    ("applied", "bounds", "identity", "stuck", "events", "seconds"),
    [row[1:] for row in CASES],
    ids=[row[0] for row in CASES],
)
def test_states(
    applied: int,
    bounds: tuple[int, int],
    identity: LogIdentity,
    stuck: Stuck | None,
    events: int,
    seconds: float,
) -> None:
    """Each state of a partition is told, and its lag never fails nor falls below nothing."""
    store, log = store_at(applied), FakeLog({0: bounds, 1: (0, 10)}, identity)
    found = measure_lag(store, log, lambda: 100_000_000)
    assert found.stuck.get(0) is stuck
    assert (found.events[0], found.events[1]) == (events, 0)
    assert found.seconds == seconds
    assert (found.starts[0], found.ends[0], found.applied[0]) == (*bounds, applied)
    assert lag_events(store, log) == events
    assert read_standings(store, log).stuck == found.stuck


def test_the_others_are_measured() -> None:
    """A partition that is stuck hides nothing of those that are not."""
    log = FakeLog({0: (8, 10), 1: (0, 15)})
    found = measure_lag(store_at(6), log, lambda: 100_000_000)
    assert found.stuck == {0: Stuck.PASSED_BY_RETENTION}
    assert found.seconds == 90.0


def test_an_offset_that_holds_no_event() -> None:
    """An offset that the log left out, or has trimmed just now, makes nobody wait."""
    log = FakeLog({0: (0, 10), 1: (0, 10)}, missing={Position(0, 7)})
    found = measure_lag(store_at(6), log, lambda: 100_000_000)
    assert (found.seconds, found.stuck) == (0.0, {})


def test_a_store_that_is_not_bound() -> None:
    """A store that has seen no log yet is stuck only if the log no longer has its first event."""
    fresh = MemoryStore()
    assert measure_lag(fresh, FakeLog({0: (0, 10)}), lambda: 0).stuck == {}
    assert read_standings(fresh, FakeLog({0: (1, 10)})).stuck == {0: Stuck.PASSED_BY_RETENTION}


def test_each_reason_has_words() -> None:
    """Each reason is said in a few words of its own."""
    assert len({reason.text for reason in Stuck}) == len(Stuck)
