"""Archivers that die, and take turns: every event is in the lake once, by position and content."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import pytest

from faults.points import OF_ARCHIVERS
from faults.rung_process import KILLED, RungProcess
from faults.scene import PAIRS, TRAFFIC, Scene, StoreKind, proxied_kafka, staged, wait_until
from harness import user_records
from lake.comparing import difference
from log.kafka_broker import trim
from rung import bootstrap
from rung.lake.port import Lake
from rung.traffic import generate

ENDLESS = replace(TRAFFIC, transactions=1_000_000)
LATER = replace(TRAFFIC, seed=43)


@contextmanager
def lake_of(scene: Scene) -> Generator[Lake]:
    """Open the lake that the archivers write."""
    with bootstrap.opened_lake(bootstrap.open_home(scene.home)) as lake:
        yield lake


def archived(scene: Scene) -> int:
    """Return how many events the lake has; before there is one, none."""
    if not (scene.home / "lake" / "_delta_log").exists():
        return 0
    with lake_of(scene) as lake:
        return sum(file.events for file in lake.state().files)


def compare(scene: Scene) -> None:
    """Archive what is left, and demand that the lake is what the topic has."""
    last = scene.rung("archive", "--until-caught-up")
    assert last.ended(60.0) == 0, last.printed()
    with lake_of(scene) as lake:
        assert difference(scene.log, lake) == ""
        assert dict(lake.positions()) == dict(scene.log.ends())


@pytest.fixture
def archivers() -> Generator[list[RungProcess]]:
    """The archivers of a test, of which none outlives it."""
    started: list[RungProcess] = []
    yield started
    for one in started:
        one.kill()


@pytest.mark.parametrize("store", ["lmdb", "dynamodb"])
@pytest.mark.parametrize("point", OF_ARCHIVERS)
def test_killed(tmp_path: Path, store: StoreKind, point: str) -> None:
    """An archiver that dies before or after an append leaves nothing out and repeats nothing."""
    with staged(tmp_path, store) as scene:
        scene.feed()
        first = scene.rung("archive", arms=[f"{point}:1:kill"])
        assert first.ended() == KILLED
        assert first.told() == [point]
        assert (archived(scene) > 0) is (point == "archived")
        second = scene.rung("archive", arms=[f"{point}:2:kill"])
        wait_until(lambda: archived(scene) == sum(scene.log.ends().values()), "all is archived")
        scene.feed(LATER)
        if not second.told():
            # What the first had appended was all: the second passes the point with the later events only.
            wait_until(
                lambda: bool(second.told()) or archived(scene) == sum(scene.log.ends().values()), "it goes on"
            )
            scene.feed(replace(TRAFFIC, seed=44))
        assert second.ended() == KILLED
        compare(scene)


def test_killed_at_random(tmp_path: Path, archivers: list[RungProcess]) -> None:
    """Two archivers under traffic, of which one after the other dies at any moment: every event is archived once."""
    moments, before = Random(4), 0
    with staged(tmp_path, "lmdb") as scene:

        def is_further(events: int) -> bool:
            return archived(scene) > events

        scene.feeder.start(generate(ENDLESS), 0.02)
        archivers += [scene.rung("archive"), scene.rung("archive")]
        for _ in range(6):
            wait_until(partial(is_further, before), "events are archived")
            time.sleep(moments.uniform(0.0, 1.0))
            before = archived(scene)
            victim = moments.choice([one for one in archivers if one.running])
            assert victim.kill_at_once() == KILLED
            archivers.append(scene.rung("archive"))
        scene.feeder.stop()
        for one in archivers:
            if one.running:
                one.wait_for_text("Partitions")
                one.terminate()
                assert one.ended() == 0, one.printed()
        compare(scene)


def test_beside_batch_jobs(tmp_path: Path, archivers: list[RungProcess]) -> None:
    """An archiver and batch jobs that archive what they lack, at once: neither fails, and every event is there once."""
    with staged(tmp_path, "dynamodb") as scene:
        scene.start_worker()
        scene.feeder.start(generate(ENDLESS), 0.02)
        archivers.append(scene.rung("archive"))
        for _ in range(2):
            job = scene.rung("batch", "aggregate")
            assert job.ended(60.0) == 0, job.printed()
        scene.feeder.stop()
        archivers[0].terminate()
        assert archivers[0].ended() == 0, archivers[0].printed()
        compare(scene)


def test_a_broker_that_comes_later(tmp_path: Path, archivers: list[RungProcess]) -> None:
    """An archiver that is started before the broker waits for it, and one that runs waits until it is back."""
    with proxied_kafka(tmp_path / "kafka") as kafka, staged(tmp_path, "lmdb", kafka=kafka) as scene:
        scene.feed()
        kafka[0].kill()
        archivers.append(scene.rung("archive"))
        archivers[0].wait_for_text("archiver waits")
        kafka[0].launch()
        wait_until(lambda: archived(scene) == sum(scene.log.ends().values()), "it archives", 60.0)
        kafka[0].kill()
        time.sleep(2.0)
        kafka[0].launch()
        scene.feed(LATER)
        wait_until(lambda: archived(scene) == sum(scene.log.ends().values()), "it goes on", 60.0)
        archivers[0].terminate()
        assert archivers[0].ended() == 0, archivers[0].printed()
        compare(scene)


def test_a_topic_that_retention_has_passed(tmp_path: Path) -> None:
    """What the topic no longer has is explained from the lake; a replay is refused, and says where the events are."""
    with staged(tmp_path, "lmdb") as scene:
        scene.feed()
        for command in ("archive", "worker"):
            job = scene.rung(command, "--until-caught-up")
            assert job.ended(60.0) == 0, job.printed()
        for partition, end in scene.log.ends().items():
            trim(scene.settings, partition, end)
        user = min(user_records(scene.store)).decode()
        campaign = PAIRS[0].oracle.name
        job = scene.rung("explain", user, campaign, "2011-05")
        assert job.ended() == 0, job.printed()
        assert "equals the stored figures" in job.printed()
        job = scene.rung("replay", "--yes")
        assert job.ended() == 5, job.printed()
        assert (
            "The lake has the events, and `rung batch` computes and repairs figures from it" in job.printed()
        )
