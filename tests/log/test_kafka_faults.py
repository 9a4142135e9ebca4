from __future__ import annotations

import time
from collections.abc import Generator

import pytest

from log.contract import PARTITIONS, event, read_all, seek_all, user_in
from log.kafka_broker import WAIT_SECONDS, append, joined, new_settings, opened
from rung.log.kafka.consumer import KafkaConsumer
from rung.log.kafka.log import KafkaLog
from rung.log.port import LogUnavailable, Position
from servers.kafka import Kafka


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Generator[Kafka]:
    """A broker that only these tests use, since they stop it."""
    with Kafka.start(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@pytest.fixture
def log(own_broker: Kafka) -> Generator[KafkaLog]:
    """A log whose requests and deliveries are given up after two seconds."""
    settings = new_settings(
        own_broker.bootstrap,
        delivery_timeout_seconds=2,
        request_timeout_seconds=2,
        session_timeout_seconds=30,
    )
    with opened(settings) as log:
        yield log


@pytest.fixture
def consumer(log: KafkaLog) -> Generator[KafkaConsumer]:
    with joined(log) as consumer:
        seek_all(consumer)
        yield consumer


def read_after_trouble(consumer: KafkaConsumer, count: int) -> dict[Position, bytes]:
    """Read as many events, given the time that a broker and its clients need to find each other."""
    found: dict[Position, bytes] = {}
    deadline = time.monotonic() + 3 * WAIT_SECONDS
    while len(found) < count and time.monotonic() < deadline:
        found |= read_all(consumer, 1)
    return found


class TestAppending:
    def test_paused(self, own_broker: Kafka, log: KafkaLog) -> None:
        """A broker that does not answer makes an append fail in time; sent again, each event is there."""
        payloads = [event(user_in(0), number) for number in range(3)]
        producer = log.producer()
        producer.append(payloads[:1])
        own_broker.pause()
        try:
            began = time.monotonic()
            with pytest.raises(
                LogUnavailable, match="may or may not be in the log; sending them again is safe"
            ):
                producer.append(payloads)
            assert time.monotonic() - began < 10
        finally:
            own_broker.resume()
        deadline = time.monotonic() + 3 * WAIT_SECONDS
        while True:
            try:
                positions = producer.append(payloads)
                break
            except LogUnavailable:
                assert time.monotonic() < deadline
        (scanned,) = log.scan(0, positions[0].offset, positions[-1].offset + 1)
        assert list(scanned.payloads) == payloads
        producer.close()

    def test_killed(self, own_broker: Kafka, log: KafkaLog) -> None:
        """What was acknowledged is there after the broker was killed, and the same producer goes on."""
        producer = log.producer()
        producer.append([event(user_in(1), number) for number in range(100)])
        own_broker.kill()
        with pytest.raises(LogUnavailable):
            producer.append([event(user_in(2))])
        own_broker.launch()
        assert log.ends()[1] == 100
        assert producer.append([event(user_in(1), 100)]) == [Position(1, 100)]
        producer.close()


class TestReading:
    def test_restart(self, own_broker: Kafka, log: KafkaLog, consumer: KafkaConsumer) -> None:
        """A consumer outlives its broker: nothing is lost, repeated or out of order."""
        sent = [event(user_in(0), number) for number in range(10)]
        append(log, sent[:5])
        found = read_all(consumer, 5)
        own_broker.kill()
        for _ in range(5):
            assert not consumer.poll(10, 1_000, 0.1)
        own_broker.launch()
        append(log, sent[5:])
        found |= read_after_trouble(consumer, 5)
        assert [found[place] for place in sorted(found)] == sent
        assert sorted(found) == [Position(0, offset) for offset in range(10)]

    def test_events_in_doubt(
        self, own_broker: Kafka, log: KafkaLog, consumer: KafkaConsumer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Events are kept, not handed out, while nobody can tell which topic they are of; one warning says so."""
        append(
            log,
            [event(user_in(partition), number) for partition in range(PARTITIONS) for number in range(50)],
        )
        found = read_all(consumer, 1, events_max=1)
        own_broker.pause()
        try:
            for _ in range(3):
                began = time.monotonic()
                assert not consumer.poll(200, 1 << 20, 0.1)
                assert time.monotonic() - began < 5
        finally:
            own_broker.resume()
        warnings = [
            one
            for one in caplog.records
            if "cannot be read now" in one.message and one.levelname == "WARNING"
        ]
        assert len(warnings) == 1
        found |= read_after_trouble(consumer, 4 * 50 - 1)
        assert len(found) == 4 * 50

    def test_unreachable(self, own_broker: Kafka, log: KafkaLog, consumer: KafkaConsumer) -> None:
        """Questions fail in bounded time without a broker, reports and rests do not, and leaving is quick."""
        own_broker.pause()
        try:
            began = time.monotonic()
            for ask in (log.identity, log.ends, log.starts, consumer.ends):
                with pytest.raises(LogUnavailable, match="cannot .* the log at 127.0.0.1"):
                    ask()
            with pytest.raises(LogUnavailable):
                consumer.seek(0, 0)
            with pytest.raises(LogUnavailable):
                log.appended_at(Position(0, 0))
            consumer.report({0: 0})
            consumer.rest(0.1)
            assert consumer.assignment() == frozenset(range(PARTITIONS))
            assert time.monotonic() - began < 30
            began = time.monotonic()
            consumer.close()
            consumer.close()
            # The client itself waits without end for the answer to the report.
            assert time.monotonic() - began < 12
        finally:
            own_broker.resume()
