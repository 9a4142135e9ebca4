"""DynamoDB as it can be on a bad day: whatever happens to a call, every user equals the oracle afterwards."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from campaign_pairs import FIRST_VERSION, REFUNDS_IN_TOKYO
from faults.dynamo_rules import RuleName
from faults.http_proxy import DynamoProxy
from faults.scene import TRAFFIC as SCENE_TRAFFIC
from faults.scene import Scene, staged, wait_until
from harness import put_campaigns, stored_figures, ticking, user_records
from oracle import Oracle
from rung.log.embedded import EmbeddedLog
from rung.speed.worker import Worker, WorkerSettings
from rung.store.dynamodb.store import DynamoStore
from rung.store.dynamodb.tables import create_tables
from rung.traffic import TrafficSettings, generate
from rung.transaction.routing import partition_of
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
class Bench:
    """A log with traffic, and a worker of this process whose store is behind a proxy."""

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
def opened(folder: Path, endpoint: str, seed: int, batch_events_max: int = 150) -> Generator[Bench]:
    """Set up a bench on an emulator."""
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
            yield Bench(proxy, store, worker, log, events)
        finally:
            worker.close()
            log.close()
            store.close()


# --- a worker of this process ------------------------------------------------------------------------------------


def test_everything_at_once(tmp_path: Path) -> None:
    """All of it together, with fewer events at a time, changes nothing either."""
    with opened(tmp_path, emulator().endpoint, seed=12, batch_events_max=60) as bench:
        rules: list[tuple[RuleName, float]] = [
            ("drop_after", 0.1),
            ("drop_before", 0.1),
            ("throttle", 0.1),
            ("transaction_conflict", 0.1),
            ("duplicate", 0.2),
            ("unprocessed", 0.2),
        ]
        for rule, share in rules:
            bench.proxy.set(rule, share)
        bench.work()
        assert all(bench.proxy.struck(rule) for rule, _ in rules)
        bench.compare()


def test_keys_that_are_put_off_are_asked_for_again(tmp_path: Path) -> None:
    """A read whose keys are put off returns every user all the same: one that is left out would show nothing."""
    with opened(tmp_path, emulator().endpoint, seed=15) as scene:
        scene.work()
        ids = list(user_records(scene.store))
        assert len(ids) > 30
        users = [(user_id, partition_of(user_id, scene.log.partitions)) for user_id in ids]
        due = scene.store.standings(users)
        assert all(standing.figures for standing in due)
        scene.proxy.set("unprocessed", operations={"BatchGetItem"})
        assert scene.store.standings(users) == due
        assert scene.proxy.struck("unprocessed") >= 3
        scene.compare()


def test_every_attempt_is_counted(tmp_path: Path) -> None:
    """No library repeats a call unseen: the proxy sees as many requests as the client has counted."""
    with opened(tmp_path, emulator().endpoint, seed=13) as bench:
        seen = len(bench.proxy.requests) - sum(bench.store.usage.calls.values())
        bench.proxy.set("server_error", 0.3)
        bench.work()
        assert bench.proxy.struck("server_error") >= 3
        assert len(bench.proxy.requests) - sum(bench.store.usage.calls.values()) == seen
        bench.compare()


# --- workers of their own ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "share"),
    [
        ("drop_before", 0.3),
        ("server_error", 0.3),
        ("transaction_conflict", 0.5),
        ("duplicate", 1.0),
        ("unprocessed", 0.7),
    ],
)
def test_whatever_happens_to_a_call(tmp_path: Path, rule: RuleName, share: float) -> None:
    """Lost, refused, repeated or halved calls leave every user as the oracle has them."""
    with staged(tmp_path, "dynamodb", is_proxied=True, seed=11) as scene:
        scene.proxy.set(rule, share)
        scene.feed(replace(SCENE_TRAFFIC, transactions=100, poison_share=0.1))
        scene.start_worker()
        wait_until(lambda: scene.lag() == 0, "it is done all the same", 60.0)
        assert scene.proxy.struck(rule) >= 3
        scene.settle()
        scene.compare()
        writes = [request for request in scene.proxy.requests if request.is_write]
        assert not any(request.adds for request in writes)
        if rule == "duplicate":
            assert all(request.forwarded == 2 for request in writes if "duplicate" in request.struck_by)
            assert scene.proxy.struck(rule) >= len(writes) - 1


def test_answers_are_lost(tmp_path: Path) -> None:
    """Of 1, 10 and 30 of 100 calls nobody learns that they were done, nor of five writes in a row."""
    with staged(tmp_path, "dynamodb", is_proxied=True, seed=19) as scene:
        scene.start_worker()
        for number, share in enumerate((0.01, 0.1, 0.3)):
            scene.proxy.set("drop_after", share)
            scene.feed(replace(SCENE_TRAFFIC, seed=50 + number, transactions=60))
            wait_until(lambda: scene.lag() == 0, "it is done all the same", 60.0)
        struck = scene.proxy.struck("drop_after", "TransactWriteItems")
        scene.proxy.set("drop_after", operations={"TransactWriteItems"}, times=5)
        scene.feed(replace(SCENE_TRAFFIC, seed=60, transactions=60))
        wait_until(lambda: scene.lag() == 0, "done again, they change nothing", 60.0)
        assert scene.proxy.struck("drop_after", "TransactWriteItems") == struck + 5
        scene.settle()
        scene.compare()


def test_slow(tmp_path: Path) -> None:
    """Calls that take five seconds are given up and asked again, and may be done in between."""
    with staged(tmp_path, "dynamodb", is_proxied=True) as scene:
        scene.feed()
        scene.proxy.set("delay", 0.5, operations={"TransactWriteItems"}, seconds=5.0, times=4)
        scene.start_worker()
        wait_until(lambda: scene.lag() == 0, "it is done all the same", 60.0)
        assert scene.proxy.struck("delay") == 4
        scene.settle()
        scene.compare()


def test_throttled_for_a_while(tmp_path: Path) -> None:
    """With up to half of the calls refused the worker stays in its group, takes no more memory, and catches up."""
    with staged(tmp_path, "dynamodb", is_proxied=True, session_seconds=6.0) as scene:
        worker = scene.start_worker()
        scene.feed()
        wait_until(lambda: scene.lag() == 0, "the first events are applied")
        members, memory_bytes = members_of(scene), worker.memory_bytes
        scene.feeder.start(generate(replace(SCENE_TRAFFIC, seed=51, transactions=1_000_000)), 0.05)
        for share in (0.05, 0.2, 0.5):
            scene.proxy.set("throttle", share)
            time.sleep(3.0)
        assert scene.proxy.struck("throttle") >= 20
        assert worker.memory_bytes - memory_bytes < 48 << 20
        scene.settle()
        assert members_of(scene) == members
        assert len(members) == 1
        scene.compare()


def test_killed(tmp_path: Path) -> None:
    """DynamoDB Local is killed under traffic, and starts again from its disk: nothing is lost or counted twice."""
    emulator()
    with (
        DynamoDbLocal.start(tmp_path / "dynamodb") as local,
        staged(tmp_path, "dynamodb", local=local, is_proxied=True) as scene,
    ):
        worker = scene.start_worker()
        scene.feeder.start(generate(replace(SCENE_TRAFFIC, transactions=200)), 0.05)
        wait_until(lambda: sum(scene.applied().values()) > 0, "the first events are applied")
        local.kill()
        lost = scene.proxy.lost_upstream
        wait_until(lambda: scene.proxy.lost_upstream >= lost + 4, "calls are lost")
        local.launch()
        scene.settle()
        assert scene.running_workers() == [worker]
        scene.compare()


def members_of(scene: Scene) -> set[str]:
    """Return the members of the group of workers, as the broker tells."""
    # The client's classes have no types.
    admin: Any = AdminClient({"bootstrap.servers": scene.kafka.bootstrap})
    group: Any = admin.describe_consumer_groups([scene.settings.group_id])[scene.settings.group_id].result()
    return {member.member_id for member in group.members}
