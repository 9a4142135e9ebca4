"""One Kafka broker for all tests of a process, and logs on it.

`broker()` starts it when it is first asked for, and stops it when the process ends. A test that stops or
pauses a broker starts one of its own.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import cast
from uuid import uuid4

from confluent_kafka import Producer as ClientProducer
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from log.contract import PARTITIONS
from rung.log.kafka.consumer import KafkaConsumer
from rung.log.kafka.log import KafkaLog
from rung.log.kafka.settings import GroupProtocol, KafkaSettings
from rung.log.kafka.topics import create_topics
from rung.log.port import LogUnavailable, Position
from servers.kafka import Kafka

WAIT_SECONDS = 20.0

_numbers: Iterator[int] = count()
_run = uuid4().hex[:8]


@cache
def broker() -> Kafka:
    """Return the broker of this process."""
    folder = Path(mkdtemp(prefix="rung-kafka-"))
    atexit.register(rmtree, folder)
    # A member of a new-style group hears of its partitions with a heartbeat.
    kafka = Kafka.start(folder, properties={"group.consumer.heartbeat.interval.ms": "200"})
    atexit.register(kafka.stop)
    return kafka


def new_settings(
    bootstrap: str = "", protocol: GroupProtocol = "classic", quarantine: bool = False, **others: float
) -> KafkaSettings:
    """Return the settings of a log of a name that was never used, on the shared broker by default."""
    name = f"events-{_run}-{next(_numbers)}"
    return KafkaSettings(
        bootstrap_servers=bootstrap or broker().bootstrap,
        topic=name,
        group_id=name,
        quarantine_topic=f"quarantine-{name}" if quarantine else "",
        group_protocol=protocol,
        session_timeout_seconds=others.get("session_timeout_seconds", 6.0),
        delivery_timeout_seconds=others.get("delivery_timeout_seconds", 20.0),
        request_timeout_seconds=others.get("request_timeout_seconds", 10.0),
    )


@contextmanager
def opened(settings: KafkaSettings, partitions: int = PARTITIONS) -> Generator[KafkaLog]:
    """Make the topics of a log, open it, and close it afterwards.

    However soon the log gives up, its topics are waited for: a broker may just be starting again.
    """
    patient = replace(settings, request_timeout_seconds=WAIT_SECONDS / 2)
    deadline = time.monotonic() + 4 * WAIT_SECONDS
    while True:
        try:
            create_topics(patient, partitions, 1)
            break
        except LogUnavailable:
            # A client that came while there was no controller may not hear of one any more: try with another.
            assert time.monotonic() < deadline, "the broker makes no topic"
    log = KafkaLog.open(settings)
    try:
        yield log
    finally:
        log.close()


@contextmanager
def joined(log: KafkaLog, partitions: int = PARTITIONS) -> Generator[KafkaConsumer]:
    """Give a consumer that has been granted as many partitions, and close it afterwards."""
    consumer = log.consumer()
    try:
        wait_for_assignment(consumer, partitions)
        yield consumer
    finally:
        consumer.close()


def wait_for_assignment(consumer: KafkaConsumer, partitions: int = PARTITIONS) -> None:
    """Wait until the group has granted as many partitions."""
    deadline = time.monotonic() + WAIT_SECONDS
    while len(consumer.assignment()) < partitions:
        assert time.monotonic() < deadline, "the group grants nothing"
        time.sleep(0.01)


def admin(settings: KafkaSettings) -> AdminClient:
    """Return a client to do to topics what a log never does."""
    return AdminClient({"bootstrap.servers": settings.bootstrap_servers})


def delete_topic(settings: KafkaSettings) -> None:
    """Delete the topic of a log, and wait until it is gone."""
    client = admin(settings)
    for future in client.delete_topics([settings.topic]).values():  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        future.result()
    deadline = time.monotonic() + WAIT_SECONDS
    while settings.topic in client.list_topics(timeout=5).topics:
        assert time.monotonic() < deadline, "the topic is still there"
        time.sleep(0.02)


def add_partitions(settings: KafkaSettings, partitions: int) -> None:
    """Raise the number of partitions of a log."""
    from confluent_kafka.cimpl import NewPartitions

    client = admin(settings)
    for future in client.create_partitions([NewPartitions(settings.topic, partitions)]).values():  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        future.result()
    deadline = time.monotonic() + WAIT_SECONDS
    while (
        len(client.list_topics(settings.topic, timeout=5).topics[settings.topic].partitions or {})
        < partitions
    ):
        assert time.monotonic() < deadline, "the topic has not grown"
        time.sleep(0.02)


def trim(settings: KafkaSettings, partition: int, before_offset: int) -> None:
    """Let retention pass an offset."""
    place = TopicPartition(settings.topic, partition, before_offset)
    client = admin(settings)
    for future in client.delete_records([place]).values():  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        cast("object", future.result())


def append(log: KafkaLog, payloads: Sequence[bytes]) -> Sequence[Position]:
    """Append with a producer of its own."""
    producer = log.producer()
    try:
        return producer.append(payloads)
    finally:
        producer.close()


def transact(settings: KafkaSettings, log: KafkaLog, *values: bytes, commit: bool) -> None:
    """Append to partition 0 in a transaction, end it, and wait for its marker, which comes afterwards."""
    end = log.ends()[0] + len(values) + 1
    client = ClientProducer(
        {"bootstrap.servers": settings.bootstrap_servers, "transactional.id": settings.topic}
    )
    client.init_transactions(WAIT_SECONDS)
    client.begin_transaction()
    for value in values:
        client.produce(settings.topic, value, partition=0)
    client.flush(WAIT_SECONDS)
    if commit:
        client.commit_transaction(WAIT_SECONDS)
    else:
        client.abort_transaction(WAIT_SECONDS)
    client.close()
    deadline = time.monotonic() + WAIT_SECONDS
    while log.ends()[0] < end:
        assert time.monotonic() < deadline, "no marker was written"


def poll_until_refused(consumer: KafkaConsumer) -> None:
    """Poll until an error comes out."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        consumer.poll(10, 1_000, 0.1)
