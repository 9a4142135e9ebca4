"""The worker: batches, positions, counters and what it does when it was overtaken."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from harness import ticking, user_records
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.log.embedded import EmbeddedLog
from rung.log.port import Consumer, LogReplaced, LogUnavailable, PositionOutOfRange, Slice
from rung.speed.worker import Worker, WorkerSettings
from rung.store.memory import MemoryStore
from rung.store.port import Applied, Change, ChangeTooLarge, Quarantined, Store, StoreBusy
from rung.store.records import figures
from rung.transaction.routing import partition_of

SPEC = """
campaign: worker
timezone: UTC
currency: EUR
versions:
  - version: 0
    counts_from: 2021-01
    measures: {payments: {count: "amount >= 1"}}
    reward: {base_percent: "0.5"}
"""
SECOND = 1_000_000
AT = 1_627_776_000 * SECOND


def paid(number: int, user_id: str = "u") -> bytes:
    """Return a completed transaction; its time tells its number."""
    step = {"status": "COMPLETED", "at": f"2021-08-01T00:00:{number:02}Z", "amount": 5}
    return json.dumps({"transaction_id": f"t{number}", "user_id": user_id, "history": [step]}).encode()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    """Return an empty log of one partition."""
    log = EmbeddedLog.open(tmp_path, 1, ticking())
    yield log
    log.close()


def put_campaign(store: Store) -> None:
    """Apply the campaign of this module."""
    revision, record = store.catalog()
    catalog = Catalog.decode(record).apply(load(SPEC, "spec"), {})
    store.put_catalog(revision, catalog.encode(), store.reached())


def worker_of(log: EmbeddedLog, store: Store, batch_events_max: int = 100) -> Worker:
    """Return a worker."""
    return Worker(log.consumer(), store, WorkerSettings(batch_events_max=batch_events_max), ticking())


def payments(store: Store) -> int:
    """Return the user's count in the only period."""
    return sum(value for *_, value in figures(store.users([b"u"])[0]))


def test_a_batch_is_applied_once(log: EmbeddedLog) -> None:
    """Events are counted, duplicates and bad events are told, and the position moves with them."""
    store = MemoryStore()
    put_campaign(store)
    log.append([paid(1), paid(2), paid(1), b"{", paid(2, user_id="u")])
    worker = worker_of(log, store)
    assert worker.lag() == 5
    assert worker.step(0.0) == 5
    assert worker.step(0.0) == 0
    assert worker.lag() == 0
    assert payments(store) == 2
    assert store.applied() == {0: Applied(4, AT + 2 * SECOND)}
    counters = store.counters()
    assert (counters.events, counters.duplicates, counters.batches) == (4, 2, 1)
    assert counters.quarantined == {"not_json": 1}
    (bad,) = store.quarantine(None, 10)
    assert (bad.partition, bad.offset, bad.reason, bad.payload) == (0, 3, "not_json", b"{")
    worker.close()


def test_the_batch_is_as_large_as_what_waits(log: EmbeddedLog) -> None:
    """One waiting event is applied alone; many are applied together, up to the limit."""
    store = MemoryStore()
    put_campaign(store)
    worker = worker_of(log, store, batch_events_max=10)
    log.append([paid(0)])
    sizes = [worker.step(0.0)]
    log.append([paid(number) for number in range(1, 26)])
    sizes += [worker.step(0.0) for _ in range(4)]
    assert sizes == [1, 10, 10, 5, 0]
    assert payments(store) == 26
    worker.close()


def test_a_campaign_applied_between_batches_counts(log: EmbeddedLog) -> None:
    """Events that are applied after a campaign are counted by it; earlier ones are not."""
    store = MemoryStore()
    worker = worker_of(log, store)
    log.append([paid(1)])
    worker.step(0.0)
    put_campaign(store)
    log.append([paid(2), paid(3)])
    worker.step(0.0)
    assert payments(store) == 2
    worker.close()


class Interrupted(MemoryStore):
    """A memory store in which something happens just before a commit."""

    def __init__(self) -> None:
        super().__init__()
        self.before_commit: list[threading.Thread] = []

    def commit(self, change: Change) -> None:
        """Let what waits happen, and then commit."""
        while self.before_commit:
            thread = self.before_commit.pop()
            thread.start()
            thread.join()
        super().commit(change)


def test_a_campaign_applied_during_a_batch_counts(log: EmbeddedLog) -> None:
    """A batch that was decided under an older catalog is decided again, with the same events."""
    store = Interrupted()
    worker = worker_of(log, store)
    log.append([paid(1), paid(2)])
    store.before_commit = [threading.Thread(target=put_campaign, args=(store,))]
    assert worker.step(0.0) == 2
    assert payments(store) == 2
    worker.close()


def test_an_overtaken_worker_goes_on_behind_the_other(log: EmbeddedLog) -> None:
    """When another worker was faster, nothing is counted twice and the rest is still applied."""
    store = Interrupted()
    put_campaign(store)
    late, fast = worker_of(log, store), worker_of(log, store)
    log.append([paid(1), paid(2)])
    store.before_commit = [threading.Thread(target=fast.step, args=(0.0,))]
    assert late.step(0.0) == 0
    log.append([paid(3)])
    assert late.step(0.0) == 1
    assert payments(store) == 3
    assert store.counters().events == 3
    late.close()
    fast.close()


def test_a_trimmed_log_halts(log: EmbeddedLog) -> None:
    """A worker that would miss events says so and does not go on."""
    store = MemoryStore()
    log.append([paid(1)])
    log.append([paid(2)])
    log.trim(0, 1)
    worker = worker_of(log, store)
    with pytest.raises(PositionOutOfRange):
        worker.step(0.0)
    assert store.applied() == {}
    worker.close()


def user_in(partition: int, partitions: int) -> str:
    """Return a user of a partition."""
    return next(user for user in map(str, range(100)) if partition_of(user.encode(), partitions) == partition)


def test_a_partition_halts_alone(tmp_path: Path) -> None:
    """A partition whose next event is gone is told and left, and the other one goes on."""
    log, store = EmbeddedLog.open(tmp_path, 2, ticking()), MemoryStore()
    put_campaign(store)
    for number in range(3):
        log.append([paid(number, user_in(0, 2)), paid(10 + number, user_in(1, 2))])
    log.trim(0, 2)
    worker = worker_of(log, store)
    assert worker.step(0.0) == 3
    assert worker.progress().assigned == {1}
    assert list(worker.progress().halted) == [0]
    assert "partition 0 starts at offset 2" in worker.progress().halted[0]
    with pytest.raises(PositionOutOfRange, match="partition 0"):
        worker.run(threading.Event(), until_caught_up=True)
    assert store.applied() == {1: Applied(2, AT + 12 * SECOND)}
    worker.close()
    log.close()


def test_a_partition_that_cannot_be_sought_now_is_sought_again(
    log: EmbeddedLog, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that does not answer when a partition is to be read costs a wait, and not the partition."""
    store = MemoryStore()
    put_campaign(store)
    log.append([paid(0)])
    consumer = log.consumer()
    seek, refusals = consumer.seek, [LogUnavailable("away"), LogUnavailable("away")]

    def hesitant(partition: int, offset: int) -> None:
        if refusals:
            raise refusals.pop()
        seek(partition, offset)

    monkeypatch.setattr(consumer, "seek", hesitant)
    worker = Worker(consumer, store, WorkerSettings(), ticking())
    assert [worker.step(0.0) for _ in range(3)] == [0, 0, 1]
    assert [record.getMessage() for record in caplog.records] == ["worker_waits"] * 2
    worker.close()


def test_another_log_is_refused(tmp_path: Path) -> None:
    """A store takes no event of a log that was made anew, nor of one with other partitions."""
    store = MemoryStore()
    put_campaign(store)
    for name, partitions in (("first", 2), ("anew", 2), ("wider", 3)):
        log = EmbeddedLog.open(tmp_path / name, partitions, ticking())
        log.append([paid(1), paid(2)])
        worker = worker_of(log, store)
        if name == "first":
            assert worker.step(0.0) == 2
        else:
            with pytest.raises(LogReplaced, match=f"of 2 partitions, and this is .* of {partitions}"):
                worker.step(0.0)
        worker.close()
        log.close()
    assert payments(store) == 2


class Troubled(MemoryStore):
    """A memory store that refuses commits for a while, and large ones always."""

    def __init__(self, busy: int, events_max: int = 1_000) -> None:
        super().__init__()
        self.busy = busy
        self.events_max = events_max
        self.sizes: list[int] = []

    def commit(self, change: Change) -> None:
        """Refuse, or commit."""
        if self.busy:
            self.busy -= 1
            raise StoreBusy("throttled")
        events = change.counters.last_batch_events
        if events > self.events_max:
            raise ChangeTooLarge(f"{events} events")
        self.sizes.append(events)
        super().commit(change)


def test_what_cannot_be_stored_now_stays_in_hand(log: EmbeddedLog, caplog: pytest.LogCaptureFixture) -> None:
    """While the store takes nothing, the worker keeps its batch, reads nothing else, and stores it later."""
    store = Troubled(busy=3)
    put_campaign(store)
    log.append([paid(number) for number in range(5)])
    worker = worker_of(log, store, batch_events_max=3)
    assert [worker.step(0.0) for _ in range(5)] == [0, 0, 0, 3, 2]
    assert [record.getMessage() for record in caplog.records] == ["worker_waits"] * 3
    assert store.sizes == [3, 2]
    assert payments(store) == 5
    worker.close()


def test_a_change_that_is_too_large_is_made_smaller(log: EmbeddedLog) -> None:
    """A batch that the store cannot take at once is stored in pieces, in the order of the log."""
    store = Troubled(busy=0, events_max=3)
    put_campaign(store)
    log.append([paid(number) for number in range(10)])
    worker = worker_of(log, store)
    while worker.step(0.0):
        pass
    assert store.sizes == [2, 2, 3, 3]
    assert payments(store) == 10
    assert store.applied() == {0: Applied(9, AT + 9 * SECOND)}
    worker.close()


def test_events_up_to_a_start_are_not_counted_live(log: EmbeddedLog) -> None:
    """A version that starts behind what is applied counts the events behind its start, and no other."""
    store = MemoryStore()
    log.append([paid(number) for number in range(6)])
    revision, record = store.catalog()
    store.put_catalog(revision, Catalog.decode(record).apply(load(SPEC, "spec"), {0: 3}).encode(), {})
    worker = worker_of(log, store)
    assert [worker.step(0.0) for _ in range(3)] == [4, 2, 0]
    assert payments(store) == 2
    assert len([one for one in store.transactions([b"t%d" % number for number in range(6)]) if one]) == 6
    worker.close()


def test_events_up_to_a_declaration_are_not_judged_by_it(log: EmbeddedLog) -> None:
    """Events that a store may hold in part are decided again as they were, though an attribute is declared since."""
    store = MemoryStore()
    put_campaign(store)
    revision, record = store.catalog()
    more = load(SPEC.replace("currency: EUR", "currency: EUR\nattributes: {lines: integer}"), "spec")
    store.put_catalog(revision, Catalog.decode(record).apply(more, {0: 2}).encode(), store.reached())
    odd = [
        paid(number).replace(b'"history"', b'"attributes": {"lines": "7"}, "history"') for number in range(5)
    ]
    log.append(odd)
    worker = worker_of(log, store)
    assert [worker.step(0.0) for _ in range(3)] == [3, 2, 0]
    assert [(one.offset, one.reason) for one in store.quarantine(None, 10)] == [
        (3, "attribute_type"),
        (4, "attribute_type"),
    ]
    assert payments(store) == 3
    worker.close()


class Relabelled:
    """A consumer whose slices are changed on their way."""

    def __init__(self, inner: Consumer, change: Callable[[Slice], Slice]) -> None:
        self.inner = inner
        self.change = change

    def poll(self, events_max: int, bytes_max: int, wait_seconds: float) -> list[Slice]:
        """Return what the inner one does, changed."""
        return [self.change(part) for part in self.inner.poll(events_max, bytes_max, wait_seconds)]

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


def test_what_a_log_cannot_vouch_for_is_quarantined(log: EmbeddedLog) -> None:
    """An event of an unknown schema goes to quarantine with its bytes, and the mirror is told before."""
    store, mirrored = MemoryStore(), list[Quarantined]()
    put_campaign(store)
    log.append([paid(number) for number in range(3)])
    consumer = Relabelled(log.consumer(), lambda part: replace(part, unreadable={1: "schema 7"}))
    worker = Worker(cast("Consumer", consumer), store, WorkerSettings(), ticking(), mirrored.extend)
    assert worker.step(0.0) == 3
    (bad,) = store.quarantine(None, 10)
    assert (bad.offset, bad.reason, bad.detail, bad.payload) == (1, "unknown_schema", "schema 7", paid(1))
    assert mirrored == [bad]
    assert payments(store) == 2
    worker.close()


def test_an_event_in_the_wrong_partition_is_quarantined(tmp_path: Path) -> None:
    """An event that a producer put into another partition than its user's is told, and counts nothing."""
    log, store = EmbeddedLog.open(tmp_path, 2, ticking()), MemoryStore()
    put_campaign(store)
    attributes = {"user_id": user_in(0, 2), "sequence": 1, "user_attributes": {"premium": True}}
    log.append([paid(1, user_in(0, 2)), json.dumps(attributes).encode()])
    consumer = Relabelled(log.consumer(), lambda part: replace(part, partition=1))
    worker = Worker(cast("Consumer", consumer), store, WorkerSettings(), ticking())
    assert worker.step(0.0) == 2
    found = store.quarantine(None, 10)
    assert [(bad.partition, bad.offset, bad.reason) for bad in found] == [
        (1, 0, "wrong_partition"),
        (1, 1, "wrong_partition"),
    ]
    assert "stands in partition 1, and its user belongs to partition 0" in found[0].detail
    assert user_records(store) == {}
    worker.close()
    log.close()


def test_run_ends_when_caught_up_or_stopped(log: EmbeddedLog) -> None:
    """`until_caught_up` returns with nothing left; a set `stop` returns after the batch in hand."""
    store = MemoryStore()
    put_campaign(store)
    log.append([paid(number) for number in range(30)])
    stopped = threading.Event()
    stopped.set()
    worker = worker_of(log, store, batch_events_max=7)
    worker.run(stopped)
    assert worker.lag() == 30
    worker.run(threading.Event(), until_caught_up=True)
    assert worker.lag() == 0
    assert payments(store) == 30
    worker.close()
