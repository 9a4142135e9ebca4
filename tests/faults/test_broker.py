"""A broker that dies, and one that is silent: workers wait with their events in hand, and statuses are told."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from callers import AUTHORIZED, put_key
from faults.rung_process import KILLED
from faults.scene import TRAFFIC, Scene, proxied_kafka, staged, wait_until
from faults.tcp_proxy import TcpProxy
from harness import user_records
from rung.traffic import generate
from servers.kafka import Kafka

SILENT_SECONDS = 10.0
ENDLESS = replace(TRAFFIC, transactions=1_000_000)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Kafka, TcpProxy]]:
    """A broker that these tests may break, and the proxy before it."""
    with proxied_kafka(tmp_path_factory.mktemp("kafka")) as started:
        yield started


def test_killed_while_waiting(tmp_path: Path, kafka: tuple[Kafka, TcpProxy]) -> None:
    """A worker that dies with events in hand, because no broker takes a dead letter, leaves all to others."""
    with staged(tmp_path, "lmdb", kafka=kafka) as scene:
        scene.feed(replace(TRAFFIC, poison_share=0.5))
        worker = scene.start_worker("polled:2:stop", "waiting:1:kill")
        worker.wait_until_stopped()
        held = kafka[1].counts.held
        kafka[1].hold()
        worker.resume()
        assert worker.ended() == KILLED
        assert worker.told() == ["polled", "waiting"]
        assert kafka[1].counts.held > held
        scene.settle()
        scene.compare()


def is_above(proxy: TcpProxy, count: int) -> bool:
    """Tell whether more than so many connections found nobody there."""
    return proxy.counts.unreachable > count


def test_killed(tmp_path: Path, kafka: tuple[Kafka, TcpProxy]) -> None:
    """A broker is killed twice under traffic, and is back at once, or once it was missed: the same workers go on."""
    with staged(tmp_path, "lmdb", kafka=kafka) as scene:
        scene.feeder.start(generate(ENDLESS), 0.05)
        workers = [scene.start_worker(), scene.start_worker()]
        wait_until(lambda: sum(scene.applied().values()) > 0, "the workers apply events")
        for is_missed in (False, True):
            before = kafka[1].counts.unreachable
            kafka[0].kill()
            if is_missed:
                wait_until(partial(is_above, kafka[1], before), "its clients look for it in vain")
            kafka[0].launch()
            due = len(scene.feeder.acknowledged) + 100
            wait_until(partial(has_acknowledged, scene, due), "appends go on")
        assert kafka[1].counts.unreachable > 0
        assert scene.feeder.unknown > 0
        scene.settle()
        assert scene.running_workers() == workers
        scene.compare()


def test_silent(tmp_path: Path, kafka: tuple[Kafka, TcpProxy]) -> None:
    """While a broker stands still statuses are told as of the last event; afterwards all is caught up."""
    with staged(tmp_path, "lmdb", kafka=kafka) as scene:
        put_key(scene.home)
        server = scene.rung("serve", "--port", "0")
        scene.workers.append(server)
        server.wait_for_text("Status page: ")
        address = server.printed().split("Status page: ")[1].split()[0].rstrip("/")
        scene.feed()
        wait_until(lambda: scene.lag() == 0, "the first events are applied")
        user = next(iter(user_records(scene.store))).decode()
        before = told_of(address, user)
        kafka[0].pause()
        paused_at, answers = time.monotonic(), list[Any]()
        while time.monotonic() - paused_at < SILENT_SECONDS:
            assert state_of(kafka[0]) == "T"
            answers.append(told_of(address, user))
            time.sleep(0.5)
        assert len(answers) > 10
        assert all(answer == before for answer in answers)
        kafka[0].resume()
        scene.feed(replace(TRAFFIC, seed=43, starts_at=TRAFFIC.starts_at + 10**13))
        scene.settle()
        assert told_of(address, user)["as_of"] != before["as_of"]
        scene.compare()
        server.terminate()
        assert server.ended(10.0) == 0


def state_of(kafka: Kafka) -> str:
    """Return the state of the broker's process as the system names it: S, T and so on."""
    stat = Path(f"/proc/{kafka.pid}/stat").read_text(encoding="ascii", errors="replace")
    return stat.rpartition(")")[2].split()[0]


def has_acknowledged(scene: Scene, events: int) -> bool:
    """Tell whether so many events were acknowledged."""
    return len(scene.feeder.acknowledged) >= events


def told_of(address: str, user: str) -> Any:
    """Return what the API says of a user, but for what it knows of the log."""
    url = f"{address}/v1/users/{user}/status?at=2011-06-20"
    with urllib.request.urlopen(urllib.request.Request(url, headers=AUTHORIZED), timeout=5) as answer:
        document = json.load(answer)
    del document["as_of"]["pending"]
    return document
