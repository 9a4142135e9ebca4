"""The worker: batches, positions, counters and what it does when it was overtaken."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import ticking
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.log.embedded import EmbeddedLog
from rung.log.port import PositionOutOfRange
from rung.speed.worker import Worker, WorkerSettings
from rung.store.memory import MemoryStore
from rung.store.port import Applied, Change, Store
from rung.store.records import figures

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
