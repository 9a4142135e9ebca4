"""DynamoDB as it can be on a bad day: whatever happens to a call, every user equals the oracle afterwards."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest

from campaign_pairs import FIRST_VERSION, REFUNDS_IN_TOKYO
from faults.dynamo_rules import RuleName
from faults.http_proxy import DynamoProxy
from harness import put_campaigns, stored_figures, ticking
from oracle import Oracle
from rung.log.embedded import EmbeddedLog
from rung.speed.worker import Worker, WorkerSettings
from rung.store.dynamodb.store import DynamoStore
from rung.store.dynamodb.tables import create_tables
from rung.traffic import TrafficSettings, generate
from servers.dynamodb import DynamoDbLocal
from store.dynamodb_local import emulator, new_settings

PAIRS = (FIRST_VERSION, REFUNDS_IN_TOKYO)
TRAFFIC = TrafficSettings(
    seed=7,
    transactions=250,
    users=60,
    starts_at=1_304_208_000_000_000,
    transactions_per_second=0.05,
    refund_share=0.3,
    refund_seconds_max=4_000_000,
    failure_share=0.05,
    cancel_share=0.05,
    duplicate_share=0.2,
    reorder_seconds=3_600,
    gap_share=0.2,
    poison_share=0.02,
    user_attribute_share=0.1,
    attributes={"country": ("United Kingdom", "France"), "lines": (1, 6), "gift": (True, False)},
    user_attributes={"premium": (True, False), "points": (1, 5)},
)
STEPS_MAX = 400


@dataclass
class Scene:
    """A log with traffic, a worker, and a store behind a proxy."""

    proxy: DynamoProxy
    store: DynamoStore
    worker: Worker
    log: EmbeddedLog
    events: list[bytes]

    def work(self) -> int:
        """Work until everything is applied, and return how many steps that took."""
        for step in range(1, STEPS_MAX):
            self.worker.step(0.0)
            if self.worker.caught_up():
                return step
        raise AssertionError("the worker does not catch up")

    def compare(self) -> None:
        """Demand that every figure, the quarantine, the positions and the counters are the oracle's."""
        self.proxy.clear()
        oracle = Oracle([pair.oracle for pair in PAIRS])
        for partition, end in self.log.ends().items():
            oracle.apply_all(chain.from_iterable(part.payloads for part in self.log.scan(partition, 0, end)))
        assert stored_figures(self.store) == oracle.figures()
        assert {p: state.offset + 1 for p, state in self.store.applied().items()} == dict(self.log.ends())
        counters = self.store.counters()
        assert counters.events == oracle.events - len(oracle.quarantined)
        found = self.store.quarantine(None, 10_000)
        assert sorted(one.reason for one in found) == sorted(reason for _, reason in oracle.quarantined)
        assert sum(counters.quarantined.values()) == len(found)
        assert not [request for request in self.proxy.requests if request.adds]


@contextmanager
def opened(folder: Path, endpoint: str, seed: int, batch_events_max: int = 150) -> Generator[Scene]:
    """Open a scene on an emulator."""
    with DynamoProxy(endpoint, seed) as proxy:
        settings = new_settings(proxy.endpoint, request_timeout_seconds=2.0, attempts_max=4)
        create_tables(settings)
        store = DynamoStore.open(settings)
        put_campaigns(store, PAIRS)
        log = EmbeddedLog.open(folder / "log", 3, ticking())
        events = list(chain.from_iterable(generate(TRAFFIC)))
        log.append(events)
        worker = Worker(log.consumer(), store, WorkerSettings(batch_events_max=batch_events_max), ticking())
        try:
            yield Scene(proxy, store, worker, log, events)
        finally:
            worker.close()
            log.close()
            store.close()


WRITES = frozenset({"TransactWriteItems"})


@pytest.mark.parametrize(
    ("rule", "share", "operations", "seconds"),
    [
        ("drop_after", 0.3, None, 0.0),
        ("drop_before", 0.3, None, 0.0),
        ("server_error", 0.3, None, 0.0),
        ("throttle", 0.5, None, 0.0),
        ("transaction_conflict", 0.4, None, 0.0),
        ("duplicate", 1.0, None, 0.0),
        ("unprocessed", 0.5, None, 0.0),
        ("delay", 0.3, WRITES, 0.5),
    ],
)
def test_whatever_happens_to_a_call(
    tmp_path: Path, rule: RuleName, share: float, operations: frozenset[str] | None, seconds: float
) -> None:
    """Lost, repeated, refused, delayed or halved calls leave every user as the oracle has them."""
    with opened(tmp_path, emulator().endpoint, seed=11) as scene:
        scene.proxy.set(rule, share, operations=operations, seconds=seconds)
        scene.work()
        assert scene.proxy.struck(rule) >= 3
        scene.compare()


def test_everything_at_once(tmp_path: Path) -> None:
    """All of it together, with fewer events at a time, changes nothing either."""
    with opened(tmp_path, emulator().endpoint, seed=12, batch_events_max=60) as scene:
        rules: list[tuple[RuleName, float]] = [
            ("drop_after", 0.1),
            ("drop_before", 0.1),
            ("throttle", 0.1),
            ("transaction_conflict", 0.1),
            ("duplicate", 0.2),
            ("unprocessed", 0.2),
        ]
        for rule, share in rules:
            scene.proxy.set(rule, share)
        scene.work()
        assert all(scene.proxy.struck(rule) for rule, _ in rules)
        scene.compare()


def test_every_attempt_is_counted(tmp_path: Path) -> None:
    """No library repeats a call unseen: the proxy sees as many requests as the client has counted."""
    with opened(tmp_path, emulator().endpoint, seed=13) as scene:
        seen = len(scene.proxy.requests) - sum(scene.store.usage.calls.values())
        scene.proxy.set("server_error", 0.3)
        scene.work()
        assert scene.proxy.struck("server_error") >= 3
        assert len(scene.proxy.requests) - sum(scene.store.usage.calls.values()) == seen
        scene.compare()


def test_a_store_that_is_killed(tmp_path: Path) -> None:
    """The emulator is killed with events in hand, and starts again from its disk: nothing is lost or counted twice."""
    emulator()
    with DynamoDbLocal.start(tmp_path / "dynamodb") as local, opened(tmp_path, local.endpoint, 14) as scene:
        assert scene.worker.step(0.0) > 0
        local.kill()
        assert [scene.worker.step(0.0) for _ in range(2)] == [0, 0]
        local.restart()
        scene.work()
        scene.compare()
