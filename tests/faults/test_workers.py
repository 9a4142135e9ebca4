"""Workers that die, sleep, wake up and take turns: every event counts once, whoever applies it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from faults.points import OF_OTHERS
from faults.rung_process import KILLED
from faults.scene import SESSION_SECONDS, TRAFFIC, Scene, StoreKind, staged, wait_until
from rung.faultpoints import POINTS
from rung.log.kafka.errors import error_of, is_passing
from rung.log.kafka.settings import GroupProtocol
from rung.traffic import generate

STORES: tuple[StoreKind, ...] = ("lmdb", "dynamodb")
KILLED_AT: tuple[tuple[StoreKind, str], ...] = (
    *(("lmdb", point) for point in ("polled", "decided", "committing", "committed", "reported")),
    *(("dynamodb", point) for point in ("polled", "decided", "opened", "part_written", "parts_written")),
    *(("dynamodb", point) for point in ("committed", "reported")),
)
OVERTAKEN_AT: tuple[tuple[StoreKind, str], ...] = (
    ("lmdb", "decided"),
    ("dynamodb", "decided"),
    ("dynamodb", "opened"),
)
"""Not between two users' parts: the other worker has written there what this one was about to write."""
CUT_SHORT = {"opened", "part_written", "parts_written"}
"""Points between the steps of a change that is stored user by user."""
ONCE_EACH = replace(
    TRAFFIC,
    transactions=600,
    created_events=False,
    duplicate_share=0.0,
    gap_share=0.0,
    refund_share=0.0,
    cancel_share=0.0,
    poison_share=0.0,
    user_attribute_share=0.0,
)
"""One event for each transaction: one that is applied again is a duplicate, and no other is."""
ENDLESS = replace(TRAFFIC, transactions=1_000_000)


def test_every_point_has_a_row() -> None:
    """Each named point is one at which a process dies: a worker, with each store that passes it, or another."""
    overtaken = {(store, "overtaken") for store, _ in OVERTAKEN_AT}
    rows = {*KILLED_AT, *overtaken, ("dynamodb", "waiting")}
    assert {point for _, point in rows} | OF_OTHERS == set(POINTS)
    # A worker whose log is away waits as well; with LMDB nothing else makes it wait.
    only_here = {"committing": "lmdb", "waiting": "dynamodb"} | dict.fromkeys(CUT_SHORT, "dynamodb")
    due = {(store, point) for store in STORES for point in POINTS if only_here.get(point, store) == store}
    assert rows == {row for row in due if row[1] not in OF_OTHERS}


@pytest.mark.parametrize(("store", "point"), KILLED_AT)
def test_killed(tmp_path: Path, store: StoreKind, point: str) -> None:
    """A worker that dies at a point leaves nothing lost, nothing counted twice, and nobody blocked."""
    with staged(tmp_path, store) as scene:
        scene.feed()
        worker = scene.start_worker(f"{point}:2:kill")
        assert worker.ended() == KILLED
        assert worker.told() == [point]
        applied = {partition: offset for partition, offset in scene.applied().items() if offset >= 0}
        assert (dict(scene.store.reached()) != applied) is (point in CUT_SHORT)
        assert scene.lag() > 0
        scene.settle()
        scene.compare()


def test_killed_while_waiting(tmp_path: Path) -> None:
    """A worker that dies with events in hand, because DynamoDB does not take them, leaves all of them to others."""
    with staged(tmp_path, "dynamodb", is_proxied=True) as scene:
        scene.feed()
        worker = scene.start_worker("polled:2:stop", "waiting:1:kill")
        worker.wait_until_stopped()
        scene.proxy.set("throttle")
        worker.resume()
        assert worker.ended() == KILLED
        assert worker.told() == ["polled", "waiting"]
        assert scene.proxy.struck("throttle") >= 4
        scene.settle()
        scene.compare()


@pytest.mark.parametrize("store", STORES)
def test_killed_when_overtaken(tmp_path: Path, store: StoreKind) -> None:
    """A worker that dies when it learns that it was overtaken takes nothing with it."""
    with staged(tmp_path, store) as scene:
        scene.feed()
        sleeper = scene.start_worker("decided:1:stop", "overtaken:1:kill")
        sleeper.wait_until_stopped()
        scene.start_worker()
        wait_until(lambda: scene.lag() == 0, "another worker takes over")
        sleeper.resume()
        assert sleeper.ended() == KILLED
        assert sleeper.told() == ["decided", "overtaken"]
        scene.settle()
        scene.compare()


@pytest.mark.parametrize(("store", "point"), OVERTAKEN_AT)
def test_zombie(tmp_path: Path, store: StoreKind, point: str) -> None:
    """A worker that wakes up with a batch after another took its partitions over cannot store it, and lives on."""
    with staged(tmp_path, store) as scene:
        scene.feed()
        sleeper = scene.start_worker(f"{point}:1:stop", "overtaken:1:tell")
        sleeper.wait_until_stopped()
        slept_at = time.monotonic()
        # The other one gets further: had it stored the very same batch, the sleeper would take that for its own.
        scene.feed(replace(TRAFFIC, seed=41, transactions=40))
        scene.start_worker()
        wait_until(lambda: scene.lag() == 0, "another worker takes over")
        time.sleep(max(0.0, 2 * SESSION_SECONDS + 0.1 - (time.monotonic() - slept_at)))
        before = scene.store.counters(), scene.applied()
        assert sleeper.state() == "T"
        sleeper.resume()
        sleeper.wait_until_told("overtaken")
        assert (scene.store.counters(), scene.applied()) == before
        scene.feed(replace(TRAFFIC, seed=42, transactions=40))
        scene.settle()
        assert len(scene.running_workers()) == 2
        scene.compare()


@pytest.mark.parametrize("store", STORES)
def test_stopped_in_good_order(tmp_path: Path, store: StoreKind) -> None:
    """SIGTERM with a batch in flight: it is stored, the exit is 0 and quick, and nothing is applied again."""
    with staged(tmp_path, store) as scene:
        scene.feed(ONCE_EACH)
        worker = scene.start_worker("decided:2:stop")
        worker.wait_until_stopped()
        before = sum(scene.applied().values())
        worker.terminate()
        asked_at = time.monotonic()
        worker.resume()
        assert worker.ended(10.0) == 0
        assert time.monotonic() - asked_at < 10.0
        assert sum(scene.applied().values()) > before
        scene.settle()
        assert scene.store.counters().duplicates == 0
        scene.compare()


def test_killed_at_random(tmp_path: Path) -> None:
    """Two workers, of which one dies again and again under traffic: nothing is lost or counted twice."""
    moments = Random(2)
    with staged(tmp_path, "dynamodb") as scene:
        scene.feeder.start(generate(ENDLESS), 0.05)
        scene.start_worker()
        scene.start_worker()
        for _ in range(5):
            # Each dies amid work: something was applied since the one before it did.
            before = scene.store.counters().batches
            wait_until(lambda before=before: scene.store.counters().batches > before, "a batch is applied")
            time.sleep(moments.uniform(0.5, 1.5))
            victim = moments.choice(scene.running_workers())
            assert victim.kill_at_once() == KILLED
            scene.start_worker()
        scene.settle()
        scene.compare()


@pytest.mark.parametrize(("store", "protocol"), [("dynamodb", "classic"), ("lmdb", "consumer")])
def test_rebalance_storm(tmp_path: Path, store: StoreKind, protocol: GroupProtocol) -> None:
    """One to four workers come and go: a partition has one owner, its position never goes back, all is right."""
    moments, owners, applied = Random(5), Owners(), dict[int, int]()
    with staged(tmp_path, store, protocol=protocol) as scene:
        scene.feeder.start(generate(ENDLESS), 0.05)
        scene.start_worker()
        for _ in range(9):
            until = time.monotonic() + moments.uniform(0.6, 1.4)
            while time.monotonic() < until:
                owners.look(scene)
                now = scene.applied()
                assert all(now[partition] >= offset for partition, offset in applied.items())
                applied = now
                time.sleep(0.02)
            # One that has just been started does not know how to end in good order yet.
            running = [worker for worker in scene.running_workers() if "Partitions" in worker.printed()]
            if len(running) < 4 and (len(running) <= 1 or moments.random() < 0.5):
                scene.start_worker()
            elif moments.random() < 0.8:
                running[moments.randrange(len(running))].terminate()
            else:
                assert running[moments.randrange(len(running))].kill_at_once() == KILLED
        assert len(scene.workers) >= 4
        assert owners.changes >= 4
        scene.settle()
        scene.compare()


class Owners:
    """Who reads which partition, as the broker tells: one each, whenever the group is at rest."""

    def __init__(self) -> None:
        self.changes = 0
        self._members: set[str] = set()

    def look(self, scene: Scene) -> None:
        """Ask the broker, and count how often the group has had other members than before."""
        name = scene.settings.group_id
        # The client's classes have no types.
        admin: Any = AdminClient({"bootstrap.servers": scene.kafka.bootstrap})
        try:
            group: Any = admin.describe_consumer_groups([name])[name].result()
        except KafkaException as error:
            if not is_passing(error_of(error)):
                raise
            # The broker has not loaded what it knows of groups yet.
            return
        members: list[Any] = group.members
        assigned: list[list[Any]] = [one.assignment.topic_partitions or [] for one in members]
        owned: list[int] = [place.partition for places in assigned for place in places]
        if group.state is ConsumerGroupState.STABLE:
            assert len(set(owned)) == len(owned), owned
        ids: set[str] = {member.member_id for member in members}
        self.changes += ids != self._members
        self._members = ids
