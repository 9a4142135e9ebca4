from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from confluent_kafka import Consumer as Client
from confluent_kafka import KafkaError, Message, TopicPartition
from confluent_kafka import Producer as ClientProducer

from log.contract import PARTITIONS, LogContract, OpenLog, event, read_all, seek_all, user_in
from log.kafka_broker import (
    WAIT_SECONDS,
    add_partitions,
    append,
    broker,
    delete_topic,
    joined,
    new_settings,
    opened,
    poll_until_refused,
    transact,
    trim,
    wait_for_assignment,
)
from rung.log.kafka import errors
from rung.log.kafka.consumer import KafkaConsumer
from rung.log.kafka.dead_letters import DeadLetter, DeadLetters
from rung.log.kafka.log import KafkaLog
from rung.log.kafka.settings import EVENT_BYTES_MAX, GroupProtocol, KafkaSettings
from rung.log.kafka.topics import create_topics, describe_topics
from rung.log.port import LogError, LogReplaced, LogUnavailable, Position, PositionOutOfRange, Slice


class TestKafkaLog(LogContract):
    @contextmanager
    def open_log(self) -> Generator[OpenLog]:
        with opened(new_settings()) as log:
            producer = log.producer()
            with joined(log) as consumer:
                yield OpenLog(producer, consumer)
            producer.close()


class TestKafkaLogByTheNewProtocol(LogContract):
    @contextmanager
    def open_log(self) -> Generator[OpenLog]:
        with opened(new_settings(protocol="consumer")) as log:
            producer = log.producer()
            with joined(log) as consumer:
                yield OpenLog(producer, consumer)
            producer.close()


@pytest.fixture
def settings() -> KafkaSettings:
    return new_settings()


@pytest.fixture
def log(settings: KafkaSettings) -> Generator[KafkaLog]:
    with opened(settings) as log:
        yield log


@pytest.fixture
def consumer(log: KafkaLog) -> Generator[KafkaConsumer]:
    with joined(log) as consumer:
        yield consumer


def produce(settings: KafkaSettings, value: bytes | None, *headers: tuple[str, bytes]) -> None:
    """Append to partition 0 as another program would."""
    client = ClientProducer({"bootstrap.servers": settings.bootstrap_servers})
    client.produce(settings.topic, value, partition=0, headers=list(headers))
    assert client.flush(WAIT_SECONDS) == 0
    client.close()


def read_slices(consumer: KafkaConsumer, count: int) -> list[Slice]:
    """Poll until as many events have arrived."""
    found: list[Slice] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while sum(len(one.payloads) for one in found) < count and time.monotonic() < deadline:
        found += consumer.poll(1_000, 1 << 20, 0.1)
    return found


class TestSettings:
    @pytest.mark.parametrize(
        "name",
        ["enable.auto.commit", "acks", "auto.offset.reset", "isolation.level", "partitioner", "group.id"],
    )
    def test_refused_property(self, settings: KafkaSettings, name: str) -> None:
        """A property that the figures rest on cannot be passed on, and is named."""
        with pytest.raises(LogError, match=f"property '{name}' cannot be set"):
            replace(settings, client={name: "true"})

    def test_passed_property(self, settings: KafkaSettings) -> None:
        """Another property is passed on to the client, which says if it does not know it."""
        with pytest.raises(LogError, match='No such configuration property: "no.such.property"'):
            KafkaLog.open(replace(settings, client={"no.such.property": "1"}))

    def test_secrets(self, settings: KafkaSettings) -> None:
        """No secret is shown by a representation or by an error's text."""
        secret = replace(
            settings,
            bootstrap_servers="127.0.0.1:1",
            request_timeout_seconds=1.0,
            client={"sasl.password": "hunter2", "ssl.key.pem": "hunter2"},
        )
        assert "hunter2" not in repr(secret)
        with pytest.raises(LogError) as refusal:
            KafkaLog.open(secret)
        assert "hunter2" not in str(refusal.value)
        assert secret.without_secrets("the password hunter2 is wrong") == "the password *** is wrong"

    @pytest.mark.parametrize(
        ("change", "text"),
        [
            ({"bootstrap_servers": " "}, "bootstrap_servers is empty"),
            ({"topic": "^events.*"}, "topic '^events.*' is no name of a topic"),
            ({"quarantine_topic": "a b"}, "quarantine_topic 'a b' is no name of a topic"),
            ({"topic": "x", "quarantine_topic": "x"}, "must be another topic"),
            ({"group_id": ""}, "group_id is empty"),
            ({"group_protocol": "share"}, "must be `classic` or `consumer`, not 'share'"),
            ({"request_timeout_seconds": 0.0}, "request_timeout_seconds must be 1 to 300, not 0"),
        ],
    )
    def test_impossible(self, change: dict[str, str], text: str) -> None:
        """A setting that cannot be right is refused, and named."""
        values = {"bootstrap_servers": "localhost:1", "topic": "events", "group_id": "rung", **change}
        with pytest.raises(LogError) as refusal:
            KafkaSettings(**values)  # pyright: ignore[reportArgumentType]
        assert text in str(refusal.value)

    def test_names_of_errors(self) -> None:
        """Every error that is told from others is one that the client has."""
        names = errors.POSITION_NAMES | errors.TOPIC_NAMES | errors._PASSING_NAMES | errors._FIXES.keys()
        assert [name for name in (*names, errors.END) if not hasattr(KafkaError, name)] == []


class TestOpening:
    def test_missing_topic(self, settings: KafkaSettings) -> None:
        """A log that does not exist is not made by opening it, and the text says what makes it."""
        for _ in range(2):
            with pytest.raises(LogError, match="there is no topic events-.*`rung log create` makes it"):
                KafkaLog.open(settings)

    def test_no_broker(self) -> None:
        """Without a broker, opening fails in bounded time, and says where nobody answered and why."""
        began = time.monotonic()
        with pytest.raises(LogUnavailable, match="the log at 127.0.0.1:1, topic x.*refused"):
            KafkaLog.open(KafkaSettings("127.0.0.1:1", "x", "x", request_timeout_seconds=3.0))
        assert time.monotonic() - began < 10

    def test_create_twice(self) -> None:
        """Topics are made once; both are described as they are."""
        settings = new_settings(quarantine=True)
        assert create_topics(settings, 3, 1) == [settings.topic, settings.quarantine_topic]
        assert create_topics(settings, 5, 1) == []
        events, quarantine = describe_topics(settings)
        assert (events.name, events.partitions, events.replication_factor) == (settings.topic, 3, 1)
        assert events.settings["cleanup.policy"] == "delete"
        assert events.settings["message.timestamp.type"] == "LogAppendTime"
        assert quarantine.settings["cleanup.policy"] == "compact"

    def test_replicas(self, settings: KafkaSettings) -> None:
        """More replicas than brokers are refused with the fix."""
        with pytest.raises(LogError, match="at most as many replicas as there are brokers"):
            create_topics(settings, 3, 3)

    def test_identity(self, settings: KafkaSettings, log: KafkaLog) -> None:
        """A log is told from another of its name, and a consumer tells the one it reads."""
        before = log.identity()
        assert before.partitions == log.partitions == PARTITIONS
        with joined(log) as consumer:
            assert consumer.identity() == before
        delete_topic(settings)
        with opened(settings) as other:
            assert other.identity() != before


class TestReading:
    def test_schema(self, settings: KafkaSettings, consumer: KafkaConsumer) -> None:
        """An event that names another schema is delivered as unreadable; without a name it is of ours."""
        produce(settings, b"a", ("rung-schema", b"1"))
        produce(settings, b"b", ("rung-schema", b"7"), ("other", b""))
        produce(settings, b"c")
        produce(settings, b"d", ("other", b"7"))
        consumer.seek(0, 0)
        found = [
            (payload, one.unreadable.get(index, ""))
            for one in read_slices(consumer, 4)
            for index, payload in enumerate(one.payloads)
        ]
        assert found == [(b"a", ""), (b"b", "schema 7: this release reads 1"), (b"c", ""), (b"d", "")]

    def test_tombstone(self, settings: KafkaSettings, consumer: KafkaConsumer) -> None:
        """A record without a value is an empty event, which ends in quarantine like any."""
        produce(settings, None)
        consumer.seek(0, 0)
        assert read_all(consumer, 1) == {Position(0, 0): b""}

    def test_transactions(self, settings: KafkaSettings, log: KafkaLog, consumer: KafkaConsumer) -> None:
        """Markers of transactions leave gaps between slices; aborted events did not happen."""
        transact(settings, log, b"a", b"b", commit=True)
        transact(settings, log, b"no", commit=False)
        transact(settings, log, b"c", commit=True)
        consumer.seek(0, 0)
        # Offsets 2 and 4 are markers, 3 was aborted, 5 is the last event and 6 its marker.
        expected = {Position(0, 0): b"a", Position(0, 1): b"b", Position(0, 5): b"c"}
        found = read_slices(consumer, 3)
        assert {
            Position(0, one.first_offset + index): payload
            for one in found
            for index, payload in enumerate(one.payloads)
        } == expected
        scanned = [(one.first_offset, one.payloads) for one in log.scan(0, 0, 7)]
        assert scanned == [(0, [b"a", b"b"]), (5, [b"c"])]

    def test_no_lag_behind_markers(
        self, settings: KafkaSettings, log: KafkaLog, consumer: KafkaConsumer
    ) -> None:
        """A marker at the end, which nobody can apply, is no lag for the consumer that has seen it."""
        transact(settings, log, b"a", commit=True)
        consumer.seek(0, 0)
        assert read_all(consumer, 1)
        assert not consumer.poll(10, 1_000, 0.5)
        assert log.ends()[0] == 2
        assert consumer.ends()[0] == 1
        transact(settings, log, b"b", commit=True)
        assert consumer.ends()[0] == 4
        assert list(read_all(consumer, 1)) == [Position(0, 2)]

    def test_retention(self, settings: KafkaSettings, log: KafkaLog, consumer: KafkaConsumer) -> None:
        """What retention has passed cannot be sought, scanned or asked for, and is never skipped."""
        append(log, [event(user_in(0), number) for number in range(10)])
        trim(settings, 0, 6)
        assert log.starts() == {0: 6, 1: 0, 2: 0, 3: 0}
        with pytest.raises(PositionOutOfRange, match="starts at offset 6: retention has passed 5") as refusal:
            consumer.seek(0, 5)
        assert refusal.value.partition == 0
        with pytest.raises(PositionOutOfRange, match="retention has passed 5"):
            list(log.scan(0, 5, 8))
        with pytest.raises(PositionOutOfRange):
            log.appended_at(Position(0, 5))
        consumer.seek(0, 6)
        assert len(read_all(consumer, 4)) == 4

    def test_retention_passes_a_reader(
        self, settings: KafkaSettings, log: KafkaLog, consumer: KafkaConsumer
    ) -> None:
        """If retention passes the next event of a partition that is read, its poll refuses to go on."""
        append(log, [event(user_in(0), number) for number in range(10)])
        consumer.seek(0, 0)
        consumer.seek(1, 0)
        trim(settings, 0, 6)
        with pytest.raises(PositionOutOfRange, match="next event of partition 0"):
            poll_until_refused(consumer)
        append(log, [event(user_in(1))])
        assert list(read_all(consumer, 1)) == [Position(1, 0)]

    def test_bounded_ahead(self, log: KafkaLog, consumer: KafkaConsumer) -> None:
        """However large events are, and however few a poll takes, what is fetched ahead stays bounded."""
        append(log, [event(f"user-{number}", number, padding=100_000) for number in range(1_000)])
        seek_all(consumer)
        for bytes_max, polls in ((1_000, 20), (10_000_000, 5)):
            for _ in range(polls):
                assert len(read_all(consumer, 1, events_max=1_000, bytes_max=bytes_max)) >= 1
                time.sleep(0.02)
                assert consumer._fetched.bytes() <= 4 * bytes_max + EVENT_BYTES_MAX

    def test_lost_among_busy(self, settings: KafkaSettings, log: KafkaLog, consumer: KafkaConsumer) -> None:
        """A partition that has lost its next event is told of, though another one always has events."""
        append(log, [event(user_in(0), number) for number in range(10)])
        append(log, [event(user_in(1), number) for number in range(5_000)])
        consumer.seek(0, 0)
        consumer.seek(1, 0)
        trim(settings, 0, 6)
        with pytest.raises(PositionOutOfRange, match="next event of partition 0"):
            poll_until_refused(consumer)

    def test_ahead(self, consumer: KafkaConsumer) -> None:
        """A position past the end is refused: the log lost its tail, and is never reset to."""
        with pytest.raises(PositionOutOfRange, match="ends at offset 0, so position 3 is ahead of the log"):
            consumer.seek(0, 3)

    def test_points_and_ranges(self, log: KafkaLog) -> None:
        """Single events and ranges are read beside all workers, to the offset."""
        before = time.time_ns() // 1_000
        append(log, [event(user_in(2), number) for number in range(5)])
        for offset in (4, 0, 4):
            assert abs(log.appended_at(Position(2, offset)) - before) < 10_000_000
        with pytest.raises(PositionOutOfRange, match="no event at 2/5"):
            log.appended_at(Position(2, 5))
        (found,) = log.scan(2, 1, 4)
        assert (found.first_offset, found.payloads) == (
            1,
            [event(user_in(2), number) for number in (1, 2, 3)],
        )
        assert list(log.scan(2, 3, 3)) == []
        with pytest.raises(PositionOutOfRange, match="position 6 is ahead"):
            list(log.scan(2, 0, 6))

    def test_report(self, settings: KafkaSettings, consumer: KafkaConsumer) -> None:
        """What is reported shows as the group's offset, one past the last event applied."""
        consumer.report({2: 41, 77: 5})
        client = Client({"bootstrap.servers": settings.bootstrap_servers, "group.id": settings.group_id})
        deadline = time.monotonic() + WAIT_SECONDS
        while client.committed([TopicPartition(settings.topic, 2)], timeout=WAIT_SECONDS)[0].offset != 42:
            consumer.poll(1, 1, 0) if consumer.assignment() == frozenset() else time.sleep(0.01)
            assert time.monotonic() < deadline
        client.close()

    def test_rest(self, log: KafkaLog, consumer: KafkaConsumer) -> None:
        """A rest loses no event and repeats none, and fetched events do not pile up meanwhile."""
        payloads = [event(f"user-{number}", number, padding=5_000) for number in range(20_000)]
        append(log, payloads)
        seek_all(consumer)
        found = read_all(consumer, 100, events_max=100)
        # What the client fetches ahead fills up once, and then no more.
        consumer.rest(0.7)
        before = resident_bytes()
        for _ in range(3):
            consumer.rest(0.7)
            assert consumer.assignment() == frozenset(range(PARTITIONS))
        assert resident_bytes() - before < 32 << 20
        found |= read_all(consumer, len(payloads) - len(found), 5_000, 1 << 26)
        assert sorted(found.values()) == sorted(payloads)


def resident_bytes() -> int:
    """Return how much memory this process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4_096


class TestReplaced:
    @pytest.mark.parametrize("events", [0, 3, 30])
    def test_made_anew(self, settings: KafkaSettings, events: int) -> None:
        """A topic that was made anew is noticed before any of its events, be it shorter or longer."""
        with opened(settings) as log, joined(log) as consumer:
            append(log, [event(user_in(0), number) for number in range(10)])
            seek_all(consumer)
            assert len(read_all(consumer, 10)) == 10
            delete_topic(settings)
            with opened(settings) as other:
                append(other, [event(user_in(0), number) for number in range(100, 100 + events)])
                if events:
                    with pytest.raises(LogReplaced, match="was made anew: it is .*, not .*use a new store"):
                        poll_until_refused(consumer)
                with pytest.raises(LogReplaced, match="was made anew"):
                    consumer.seek(0, 50)

    def test_gone(self, settings: KafkaSettings, log: KafkaLog, consumer: KafkaConsumer) -> None:
        """A topic that is deleted and stays so ends the reading."""
        append(log, [event(user_in(0))])
        seek_all(consumer)
        assert read_all(consumer, 1)
        delete_topic(settings)
        with pytest.raises(LogReplaced, match="is gone"):
            poll_until_refused(consumer)

    def test_more_partitions(self, settings: KafkaSettings, log: KafkaLog, consumer: KafkaConsumer) -> None:
        """With more partitions, users move: no event is read from then on."""
        seek_all(consumer)
        add_partitions(settings, PARTITIONS + 1)
        append(log, [event(user_in(0))])
        with pytest.raises(LogReplaced, match="has 5 partitions now, not 4"):
            poll_until_refused(consumer)
        with pytest.raises(LogReplaced, match="has 5 partitions now, not 4"):
            consumer.seek(PARTITIONS, 0)


class TestGroup:
    @pytest.mark.parametrize("protocol", ["classic", "consumer"])
    def test_hand_over(self, protocol: GroupProtocol) -> None:
        """Partitions move to a second consumer and back, and each event is read once, in order."""
        applied = dict.fromkeys(range(PARTITIONS), -1)
        owners: dict[int, set[int]] = {0: set(), 1: set()}

        def work(number: int, consumer: KafkaConsumer) -> None:
            assigned = consumer.assignment()
            for partition in assigned - owners[number]:
                consumer.seek(partition, applied[partition] + 1)
            owners[number] = set(assigned)
            if not assigned:
                time.sleep(0.01)
                return
            for one in consumer.poll(50, 1 << 20, 0.02):
                assert one.first_offset == applied[one.partition] + 1
                applied[one.partition] += len(one.payloads)

        deadline = time.monotonic() + 3 * WAIT_SECONDS
        with (
            opened(new_settings(protocol=protocol)) as log,
            closing(log.producer()) as producer,
            closing(log.consumer()) as first,
        ):
            rounds = iter(range(40))

            def feed() -> None:
                for number in islice(rounds, 1):
                    producer.append([event(f"user-{user}", number) for user in range(40)])

            for _ in range(10):
                feed()
                work(0, first)
            with closing(log.consumer()) as second:
                while not len(owners[0]) == len(owners[1]) == 2:
                    feed()
                    work(0, first)
                    work(1, second)
                    assert time.monotonic() < deadline, owners
            while sum(applied.values()) + PARTITIONS < 1_600 or len(owners[0]) < PARTITIONS:
                feed()
                work(0, first)
                assert time.monotonic() < deadline, (owners, applied)
            assert sum(applied.values()) + PARTITIONS == 1_600

    def test_rest_gives_way(self, log: KafkaLog, consumer: KafkaConsumer) -> None:
        """While a consumer rests, the group can take partitions away from it."""
        seek_all(consumer)
        deadline = time.monotonic() + WAIT_SECONDS
        with closing(log.consumer()) as other:
            while len(other.assignment()) < 2:
                consumer.rest(0.05)
                assert time.monotonic() < deadline
            wait_for_assignment(consumer, 2)
            assert not consumer.assignment() & other.assignment()

    def test_return_needs_a_seek(self, log: KafkaLog, consumer: KafkaConsumer) -> None:
        """A partition that left and came back is missing from the assignment once, and is not read."""
        append(log, [event(user_in(partition)) for partition in range(PARTITIONS)])
        seek_all(consumer)
        deadline = time.monotonic() + WAIT_SECONDS
        # Rests only: nobody asks for the assignment while partitions leave and come back.
        with closing(log.consumer()) as other:
            while len(gone := other.assignment()) < 2:
                consumer.rest(0.05)
                assert time.monotonic() < deadline
        granted = consumer._membership
        while len(granted.granted) < PARTITIONS:
            consumer.rest(0.05)
            assert time.monotonic() < deadline
        assert consumer.assignment() == frozenset(range(PARTITIONS)) - gone
        assert consumer.assignment() == frozenset(range(PARTITIONS))
        assert {place.partition for place in read_all(consumer, 2)} == frozenset(range(PARTITIONS)) - gone
        assert not consumer.poll(10, 1_000, 0.3)


class TestAppending:
    def test_too_large(self, log: KafkaLog) -> None:
        """An event that is too large is refused before anything is sent."""
        with pytest.raises(
            LogError, match=r"of 1,\d{3},\d{3} bytes .* is too large: the log takes 1,000,000"
        ):
            append(log, [event(user_in(0)), event(user_in(0), padding=EVENT_BYTES_MAX)])
        assert log.ends() == dict.fromkeys(range(PARTITIONS), 0)

    def test_largest(self, log: KafkaLog) -> None:
        """An event of the largest size is taken, though it does not compress."""
        import random

        payload = random.Random(1).randbytes(EVENT_BYTES_MAX)
        (position,) = append(log, [payload])
        (found,) = log.scan(position.partition, 0, 1)
        assert found.payloads == [payload]

    def test_more_than_the_buffer(self, settings: KafkaSettings, log: KafkaLog) -> None:
        """An append may be larger than the client's buffer."""
        small = replace(settings, client={"queue.buffering.max.messages": "100"})
        with closing(KafkaLog.open(small)) as other:
            append(other, [event(f"user-{number}", number) for number in range(1_000)])
        assert sum(log.ends().values()) == 1_000

    def test_keys(self, settings: KafkaSettings, log: KafkaLog) -> None:
        """A record is keyed by its user, so that any client finds the same partition; poison has no key."""
        append(log, [event("ann"), event("bob"), b"poison"])
        found = {record.key(): record.partition() for record in records(settings, settings.topic, 3)}
        assert found.keys() == {b"ann", b"bob", None}
        client = ClientProducer(
            {"bootstrap.servers": settings.bootstrap_servers, "partitioner": "consistent"}
        )
        places: dict[bytes, int | None] = {}
        for user in (b"ann", b"bob"):
            client.produce(
                settings.topic,
                b"",
                user,
                on_delivery=lambda _, sent: places.update({sent.key() or b"": sent.partition()}),
            )
        client.flush(WAIT_SECONDS)
        client.close()
        assert {**places, None: found[None]} == found


def records(settings: KafkaSettings, topic: str, count: int) -> list[Message]:
    """Return a topic's records as another program reads them, those of a partition in order."""
    client = Client({"bootstrap.servers": settings.bootstrap_servers, "group.id": "reader"})
    found: list[Message] = []
    deadline = time.monotonic() + WAIT_SECONDS
    with closing(client):
        client.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        while len(found) < count and time.monotonic() < deadline:
            found += client.consume(count, 0.2)
    assert not [message.error() for message in found if message.error()]
    return found


class TestDeadLetters:
    def test_mirror_and_forget(self) -> None:
        """A letter says what, where and why; of each position the last record is what stays."""
        settings = new_settings(quarantine=True)
        letters = [DeadLetter(3, offset, "bad_amount", f"detail é {offset}", 5, b"{}") for offset in range(3)]
        with opened(settings):
            mirror = DeadLetters(settings)
            mirror.mirror(letters)
            mirror.mirror(letters[:1])
            mirror.forget([Position(3, 1)])
            mirror.mirror([])
            mirror.close()
        last = {record.key(): record for record in records(settings, settings.quarantine_topic, 5)}
        assert {key: record.value() for key, record in last.items()} == {
            b"3:0": b"{}",
            b"3:1": None,
            b"3:2": b"{}",
        }
        headers = dict(last[b"3:2"].headers() or [])
        assert headers == {
            "reason": b"bad_amount",
            "detail": "detail é 2".encode(),
            "position": b"3:2",
            "at": b"5",
        }

    def test_no_topic(self, settings: KafkaSettings) -> None:
        """Without the name of a topic there is nothing to write to."""
        with pytest.raises(LogError, match="quarantine_topic is empty"):
            DeadLetters(settings)


def test_own_broker() -> None:
    """The tests' broker is a process of its own on this machine."""
    assert broker().bootstrap.startswith("127.0.0.1:")
