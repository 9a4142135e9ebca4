"""A log that has lost what comes next: its partition halts and says so, the others go on, nothing is reset."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.command import program
from faults.comparing import contents_of
from faults.scene import TRAFFIC, Scene, events_of, proxied_kafka, staged, wait_until
from faults.tcp_proxy import TcpProxy
from log.kafka_broker import delete_topic, trim
from rung.cli.errors import ExitCode
from rung.log.kafka.log import KafkaLog
from rung.log.kafka.topics import create_topics
from rung.traffic import generate
from rung.transaction.routing import partition_of_event
from servers.kafka import Kafka

LOST = 2
"""The partition that loses events."""
TRAFFIC_LATER = replace(TRAFFIC, seed=44)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Kafka, TcpProxy]]:
    """A broker that these tests may break, and the proxy before it."""
    with proxied_kafka(tmp_path_factory.mktemp("kafka")) as started:
        yield started


def told_by_lag(scene: Scene) -> tuple[int, dict[int, str]]:
    """Return how `rung lag` ends, and the state of each partition."""
    ran = program("--home", scene.home, "lag", "--json")
    document: Any = ran.json
    return ran.code, {one["partition"]: one["state"] for one in document["partitions"]}


def others() -> list[bytes]:
    """Return events of all partitions but the one that loses events, none of which came before."""
    return [payload for payload in events_of(TRAFFIC_LATER) if partition_of_event(payload, 4) != LOST]


def test_lost_tail(tmp_path: Path, kafka: tuple[Kafka, TcpProxy]) -> None:
    """A broker comes back without its last events: "ahead of the log", for who reads on and for who starts."""
    with staged(tmp_path, "dynamodb", kafka=kafka) as scene:
        for chunk in generate(TRAFFIC):
            scene.feeder.append(chunk)
        worker = scene.start_worker()
        wait_until(lambda: scene.lag() == 0, "all is applied")
        before, applied = contents_of(scene.log), scene.applied()
        kafka[0].kill()
        segments = sorted((kafka[0].log_folder / f"{scene.settings.topic}-{LOST}").glob("*.log"))
        os.truncate(segments[-1], segments[-1].stat().st_size // 2)
        kafka[0].launch()
        assert 0 < scene.log.ends()[LOST] <= applied[LOST]
        worker.wait_for_text(f"Halted partition {LOST}: ")
        scene.feeder.append(others())
        wait_until(
            lambda: sum(scene.applied().values()) - sum(applied.values()) == len(others()), "others go on"
        )
        scene.stop_workers()
        later = scene.start_worker()
        later.wait_for_text(f"Halted partition {LOST}: partition {LOST} ends at offset ")
        assert "is ahead of the log" in later.printed()
        code, states = told_by_lag(scene)
        assert code == ExitCode.PROBLEMS
        assert states == {0: "ok", 1: "ok", LOST: "ahead_of_log", 3: "ok"}
        assert scene.applied()[LOST] == applied[LOST]
        scene.compare(before | contents_of(scene.log))


def test_passed_by_retention(tmp_path: Path) -> None:
    """Events are trimmed away before they are applied: that partition halts, and nothing is skipped."""
    with staged(tmp_path, "lmdb") as scene:
        scene.feed()
        scene.start_worker()
        wait_until(lambda: scene.lag() == 0, "all is applied")
        scene.stop_workers()
        before, applied = contents_of(scene.log), scene.applied()
        scene.feeder.append(events_of(TRAFFIC_LATER))
        all_events = contents_of(scene.log)
        trim(scene.settings, LOST, applied[LOST] + 3)
        assert scene.log.starts()[LOST] == applied[LOST] + 3
        worker = scene.start_worker()
        worker.wait_for_text(
            f"Halted partition {LOST}: partition {LOST} starts at offset {applied[LOST] + 3}"
        )
        due = {
            place: payload
            for place, payload in all_events.items()
            if place.partition != LOST or place in before
        }
        wait_until(lambda: sum(scene.applied().values()) == len(due) - 4, "others go on")
        code, states = told_by_lag(scene)
        assert code == ExitCode.PROBLEMS
        assert states == {0: "ok", 1: "ok", LOST: "passed_by_retention", 3: "ok"}
        assert worker.running
        assert scene.applied()[LOST] == applied[LOST]
        scene.compare(due)


@pytest.mark.parametrize("is_running", [False, True], ids=["stopped", "running"])
@pytest.mark.parametrize("times", [0, 2], ids=["empty", "longer"])
def test_made_anew(tmp_path: Path, is_running: bool, times: int) -> None:
    """A topic that was deleted and made again is another log, however many events it has: nothing of it counts."""
    with staged(tmp_path, "lmdb") as scene:
        scene.feed()
        worker = scene.start_worker()
        wait_until(lambda: scene.lag() == 0, "all is applied")
        before, applied, counters = contents_of(scene.log), scene.applied(), scene.store.counters()
        if not is_running:
            scene.stop_workers()
        delete_topic(scene.settings)
        create_topics(scene.settings, 4, 1)
        with closing(KafkaLog.open(scene.settings)) as log:
            with closing(log.producer()) as producer:
                for number in range(times):
                    producer.append(events_of(TRAFFIC_LATER) + events_of(TRAFFIC)[number:])
            assert all((end > applied[place] + 1) is (times > 0) for place, end in log.ends().items())
        if not is_running:
            worker = scene.start_worker()
        assert worker.ended() == ExitCode.FAILED
        # Whoever asks in the moment between the two topics finds none.
        assert any(words in worker.printed() for words in ("`rung replay`", "there is no topic"))
        code, states = told_by_lag(scene)
        assert code == ExitCode.PROBLEMS
        assert set(states.values()) == {"log_replaced"}
        assert (scene.applied(), scene.store.counters()) == (applied, counters)
        scene.compare(before)
