"""Archivers on Kafka: offsets that hold no event, and partitions that move between archivers under load."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import Producer as ClientProducer

from lake.comparing import difference, lake_rows
from lake.rows import due, places, purchase
from log.kafka_broker import WAIT_SECONDS, new_settings, opened, transact, trim
from rung.batch.archive import Archiver, ArchiveSettings, archive_up_to
from rung.lake.delta import DeltaLake
from rung.lake.port import LakeError
from rung.log.kafka.log import KafkaLog
from rung.log.kafka.settings import KafkaSettings

SOON = ArchiveSettings(events_max=500, wait_seconds=0.2)


@pytest.fixture
def settings() -> KafkaSettings:
    return new_settings(session_timeout_seconds=1.0)


@pytest.fixture
def log(settings: KafkaSettings) -> Generator[KafkaLog]:
    with opened(settings) as log:
        yield log


@pytest.fixture
def lake(log: KafkaLog, tmp_path: Path) -> DeltaLake:
    return DeltaLake.create(str(tmp_path / "lake"), log.identity(), {})


def archive_all(log: KafkaLog, lake: DeltaLake) -> int:
    with closing(log.consumer()) as consumer:
        return Archiver(consumer, lake, SOON).run(threading.Event(), until_caught_up=True)


def transactions(settings: KafkaSettings, log: KafkaLog) -> list[tuple[int, int]]:
    """Append to partition 0 in three transactions, one aborted, and return the places of the events."""
    transact(settings, log, purchase(0), purchase(1), commit=True)
    transact(settings, log, purchase(2), commit=False)
    transact(settings, log, purchase(3), commit=True)
    assert log.ends()[0] == 7
    return [(0, 0), (0, 1), (0, 5)]


def test_markers(settings: KafkaSettings, log: KafkaLog, lake: DeltaLake) -> None:
    """An archiver gets past markers and aborted events, also at the end, and its position passes them."""
    found = transactions(settings, log)
    assert archive_all(log, lake) == 3
    assert places(lake_rows(lake)) == found
    assert lake.positions()[0] == 7
    transact(settings, log, purchase(4), commit=False)
    assert archive_all(log, lake) == 0
    assert lake.positions()[0] == 9
    transact(settings, log, purchase(5), commit=True)
    assert archive_all(log, lake) == 1
    assert difference(log, lake) == ""


def test_markers_up_to(settings: KafkaSettings, log: KafkaLog, lake: DeltaLake) -> None:
    """A job that archives up to exact ends gets past what holds no event, wherever it begins and ends."""
    found = transactions(settings, log)
    assert archive_up_to(log, lake, {0: 3}) == 2
    assert lake.positions()[0] == 3
    assert archive_up_to(log, lake, {0: 4}) == 0
    assert lake.positions()[0] == 4
    assert archive_up_to(log, lake, {0: 7}) == 1
    assert places(lake_rows(lake)) == found
    assert archive_all(log, lake) == 0


def test_an_archiver_that_was_passed(settings: KafkaSettings, log: KafkaLog, lake: DeltaLake) -> None:
    """An archiver that runs goes on where a job has archived up to, markers included."""
    with closing(log.consumer()) as consumer:
        archiver = Archiver(consumer, lake, SOON)
        until = time.monotonic() + WAIT_SECONDS
        while len(consumer.read_to()) < 4:
            archiver.step()
            assert time.monotonic() < until
        transactions(settings, log)
        archive_up_to(log, lake, log.ends())
        transact(settings, log, purchase(9), commit=True)
        archiver.run(threading.Event(), until_caught_up=True)
    assert difference(log, lake) == ""
    assert lake.positions() == log.ends()


def test_retention(settings: KafkaSettings, log: KafkaLog, lake: DeltaLake) -> None:
    """A partition that retention has passed is halted with the reason; the others are archived."""
    with closing(log.producer()) as producer:
        producer.append([purchase(number, number % 4) for number in range(40)])
    trim(settings, 2, 6)
    with pytest.raises(
        LakeError, match="the lake has partition 2 up to offset 0, and the log does not go on"
    ):
        archive_all(log, lake)
    assert places(lake_rows(lake)) == due((0, 0, 10), (1, 0, 10), (3, 0, 10))


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_archivers_come_and_go(tmp_path: Path, protocol: str) -> None:
    """Archivers that share the partitions, join and leave under load: every event is archived exactly once."""
    chosen = new_settings(session_timeout_seconds=1.0)
    settings = replace(chosen, group_protocol="consumer") if protocol == "consumer" else chosen
    draw, failed, running = Random(3), list[Exception](), dict[threading.Thread, threading.Event]()
    appended: list[int] = []
    with opened(settings) as log:
        lake = DeltaLake.create(str(tmp_path / "lake"), log.identity(), {})

        def archive(stop: threading.Event) -> None:
            try:
                own = DeltaLake.open(str(tmp_path / "lake"), {})
                with closing(KafkaLog.open(settings)) as log, closing(log.consumer()) as consumer:
                    appended.append(Archiver(consumer, own, SOON).run(stop))
            except Exception as error:
                failed.append(error)

        def join() -> None:
            stop = threading.Event()
            thread = threading.Thread(target=archive, args=(stop,))
            running[thread] = stop
            thread.start()

        def leave() -> None:
            thread = draw.choice(list(running))
            running.pop(thread).set()
            thread.join()

        with closing(log.producer()) as producer:
            numbers, ended = count(), threading.Event()

            def feed() -> None:
                while not ended.is_set():
                    chunk = [next(numbers) for _ in range(20)]
                    producer.append([purchase(number, number % 4) for number in chunk])
                    time.sleep(0.02)

            feeding = threading.Thread(target=feed)
            feeding.start()
            try:
                join()
                deadline = time.monotonic() + 3 * WAIT_SECONDS
                # Partitions are handed over slowly where the processor is busy.
                for changes in count():
                    if changes >= 8 and len([one for one in appended if one > 0]) >= 2:
                        break
                    assert time.monotonic() < deadline, (appended, failed)
                    time.sleep(draw.uniform(0.4, 1.0))
                    if len(running) < 3 and (len(running) < 2 or draw.random() < 0.5):
                        join()
                    else:
                        leave()
            finally:
                ended.set()
                feeding.join()
                while running:
                    leave()
        assert failed == []
        assert len([one for one in appended if one > 0]) >= 2
        archive_all(log, lake)
        assert difference(log, lake) == ""
        assert sum(file.events for file in lake.state().files) == sum(log.ends().values()) > 200


def test_other_events(settings: KafkaSettings, log: KafkaLog, lake: DeltaLake) -> None:
    """A message without a value, and one of another schema, are archived as rejected."""
    client = ClientProducer({"bootstrap.servers": settings.bootstrap_servers})
    client.produce(settings.topic, None, partition=0)
    client.produce(settings.topic, purchase(1), partition=0, headers=[("rung-schema", b"9")])
    assert client.flush(WAIT_SECONDS) == 0
    client.close()
    assert archive_all(log, lake) == 2
    found = lake_rows(lake).to_pylist()
    assert [(row["reason"], row["payload"]) for row in found] == [
        ("not_json", b""),
        ("unknown_schema", purchase(1)),
    ]
