"""What every adapter of the log port does: subclass `LogContract` and say how to open a log."""

from __future__ import annotations

import json
import threading
import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rung.log.port import Consumer, LogError, Position, PositionOutOfRange, Producer
from rung.transaction.routing import partition_of, partition_of_event

PARTITIONS = 4
READ_WAIT_SECONDS = 10.0
"""How long a test waits for what must arrive; an adapter over a network may take its time."""


@dataclass(frozen=True, slots=True)
class OpenLog:
    """A log that was empty when it was opened, with a producer and a consumer of all partitions."""

    producer: Producer
    consumer: Consumer


def event(user: str, number: int = 0, padding: int = 0) -> bytes:
    """Return an event of a user; the number tells it apart, the padding makes it larger."""
    body = {"transaction_id": f"t{number}", "user_id": user, "padding": "x" * padding}
    return json.dumps(body).encode()


def user_in(partition: int) -> str:
    """Return a user whose events belong to a partition."""
    return next(
        user for user in map(str, range(10_000)) if partition_of(user.encode(), PARTITIONS) == partition
    )


def seek_all(consumer: Consumer, offset: int = 0) -> None:
    """Make a consumer read every partition from an offset."""
    for partition in consumer.assignment():
        consumer.seek(partition, offset)


def read_all(
    consumer: Consumer, count: int, events_max: int = 1_000, bytes_max: int = 1 << 20
) -> dict[Position, bytes]:
    """Poll until as many events have arrived, and return them by position."""
    found: dict[Position, bytes] = {}
    deadline = time.monotonic() + READ_WAIT_SECONDS
    while len(found) < count and time.monotonic() < deadline:
        for read in consumer.poll(events_max, bytes_max, 0.1):
            for index, payload in enumerate(read.payloads):
                position = Position(read.partition, read.first_offset + index)
                assert position not in found, "an event was read twice"
                found[position] = payload
    return found


payload_batches = st.lists(
    st.lists(
        st.one_of(
            st.builds(event, st.text(max_size=8), st.integers(0, 99), st.integers(0, 400)),
            st.binary(min_size=1, max_size=40),
        ),
        max_size=30,
    ),
    max_size=6,
)


class LogContract(ABC):
    """The contract. Every test works on logs of its own, with `PARTITIONS` partitions."""

    @abstractmethod
    def open_log(self) -> AbstractContextManager[OpenLog]:
        """Open a new, empty log with `PARTITIONS` partitions."""

    # Every adapter runs this one function from a class of its own, which Hypothesis asks to confirm.
    @settings(max_examples=30, suppress_health_check=[HealthCheck.differing_executors])
    @given(batches=payload_batches, events_max=st.integers(1, 50), bytes_max=st.integers(1, 3_000))
    def test_read_back(self, batches: list[list[bytes]], events_max: int, bytes_max: int) -> None:
        """Whatever the batches and the bounds of a poll, what was appended is read at its position."""
        with self.open_log() as log:
            expected: dict[Position, bytes] = {}
            for batch in batches:
                expected |= zip(log.producer.append(batch), batch, strict=True)
            seek_all(log.consumer)
            assert read_all(log.consumer, len(expected), events_max, bytes_max) == expected

    def test_positions(self) -> None:
        """The user decides the partition, and offsets start at 0 and rise by one in each."""
        payloads = [event(f"user-{number % 7}", number) for number in range(50)] + [b"no event", b""]
        with self.open_log() as log:
            positions = [*log.producer.append(payloads[:30]), *log.producer.append(payloads[30:])]
        assert [position.partition for position in positions] == [
            partition_of_event(payload, PARTITIONS) for payload in payloads
        ]
        for partition in range(PARTITIONS):
            offsets = [position.offset for position in positions if position.partition == partition]
            assert offsets == list(range(len(offsets)))

    def test_times(self) -> None:
        """What was appended by several calls has the time of each, however the events are read together."""
        with self.open_log() as log:
            for number in range(3):
                log.producer.append([event(user_in(1), number), event(user_in(1), number)])
                time.sleep(0.005)
            log.consumer.seek(1, 1)
            times: list[int] = []
            deadline = time.monotonic() + READ_WAIT_SECONDS
            while len(times) < 5 and time.monotonic() < deadline:
                for read in log.consumer.poll(1_000, 1 << 20, 0.1):
                    assert read.times()[0] == read.appended_at
                    times += read.times()
            assert times == sorted(times)
            assert len(set(times)) >= 3
            assert times[-1] - times[0] >= 5_000

    def test_read_to(self) -> None:
        """A consumer tells how far it has handed out each partition that it reads, and no other."""
        with self.open_log() as log:
            log.producer.append([event(user_in(1))] * 5 + [event(user_in(2))] * 2)
            log.consumer.seek(1, 2)
            log.consumer.seek(2, 0)
            assert log.consumer.read_to() == {1: 2, 2: 0}
            assert len(read_all(log.consumer, 5)) == 5
            assert log.consumer.read_to() == {1: 5, 2: 2}
            log.consumer.leave(1)
            assert log.consumer.read_to() == {2: 2}

    def test_last_position(self) -> None:
        """The positions of an append can be asked for one by one, from the end, and in a row."""
        with self.open_log() as log:
            log.producer.append([event(user_in(1))])
            positions = log.producer.append([event(user_in(1)), event(user_in(2)), event(user_in(1))])
            assert positions[-1] == Position(1, 2)
            assert len(positions) == 3
            assert list(positions[:2]) == [Position(1, 1), Position(2, 0)]

    def test_append_nothing(self) -> None:
        """An append of nothing gives no positions and changes nothing."""
        with self.open_log() as log:
            assert list(log.producer.append([])) == []
            assert log.consumer.ends() == dict.fromkeys(range(PARTITIONS), 0)

    def test_ends(self) -> None:
        """An end is the offset that the partition's next event gets."""
        with self.open_log() as log:
            log.producer.append([event(user_in(2))] * 3 + [event(user_in(0))])
            ends = log.consumer.ends()
            assert ends == {0: 1, 1: 0, 2: 3, 3: 0}
            assert log.producer.append([event(user_in(2))])[0] == Position(2, ends[2])

    def test_assignment(self) -> None:
        """The only consumer may read every partition."""
        with self.open_log() as log:
            assert log.consumer.assignment() == frozenset(range(PARTITIONS))

    def test_poll_before_seek(self) -> None:
        """There is no default position: a poll before any seek is refused."""
        with self.open_log() as log:
            log.producer.append([event(user_in(0))])
            with pytest.raises(LogError, match="seek"):
                log.consumer.poll(10, 1_000, 0)

    def test_poll_sought_only(self) -> None:
        """Only sought partitions are read."""
        with self.open_log() as log:
            log.producer.append([event(user_in(partition)) for partition in range(PARTITIONS)])
            log.consumer.seek(2, 0)
            assert list(read_all(log.consumer, 1)) == [Position(2, 0)]
            assert not log.consumer.poll(10, 1_000, 0.05)

    @pytest.mark.parametrize("offset", [-1, 4, 1_000_000])
    def test_seek_out_of_range(self, offset: int) -> None:
        """A position that the log does not have is refused, and named."""
        with self.open_log() as log:
            log.producer.append([event(user_in(1))] * 3)
            with pytest.raises(PositionOutOfRange, match=f"partition 1.* {offset}"):
                log.consumer.seek(1, offset)

    def test_seek_unknown_partition(self) -> None:
        """A partition that the log does not have is refused."""
        with self.open_log() as log, pytest.raises(LogError, match=f"partition {PARTITIONS}"):
            log.consumer.seek(PARTITIONS, 0)

    def test_seek_to_the_end(self) -> None:
        """From the end, only what is appended afterwards is read."""
        with self.open_log() as log:
            log.producer.append([event(user_in(1), 1)])
            for partition, end in log.consumer.ends().items():
                log.consumer.seek(partition, end)
            assert not log.consumer.poll(10, 1_000, 0.05)
            log.producer.append([event(user_in(1), 2)])
            assert read_all(log.consumer, 1) == {Position(1, 1): event(user_in(1), 2)}

    def test_seek_back(self) -> None:
        """After a seek back, the same events are read again at the same positions."""
        with self.open_log() as log:
            log.producer.append([event(f"user-{number}", number) for number in range(20)])
            seek_all(log.consumer)
            before = read_all(log.consumer, 20, events_max=7)
            seek_all(log.consumer)
            assert read_all(log.consumer, 20, events_max=3) == before

    def test_poll_bounds(self) -> None:
        """A poll stays within its bounds of events and of bytes."""
        payloads = [event(f"user-{number}", number, padding=50) for number in range(200)]
        with self.open_log() as log:
            log.producer.append(payloads)
            seek_all(log.consumer)
            assert read_all(log.consumer, 1, events_max=1)
            read = log.consumer.poll(9, 1 << 20, READ_WAIT_SECONDS)
            assert 1 <= sum(len(one.payloads) for one in read) <= 9
            read = log.consumer.poll(200, 1_000, READ_WAIT_SECONDS)
            assert 1 <= sum(len(payload) for one in read for payload in one.payloads) <= 1_000

    def test_poll_large_event(self) -> None:
        """An event larger than the bound of bytes is read all the same, alone."""
        large = event(user_in(0), padding=100_000)
        with self.open_log() as log:
            log.producer.append([large, large])
            seek_all(log.consumer)
            read = log.consumer.poll(10, 1_000, READ_WAIT_SECONDS)
            assert [list(one.payloads) for one in read] == [[large]]

    def test_poll_evenly(self) -> None:
        """Partitions advance together, though one was filled long before the others."""
        with self.open_log() as log:
            for partition in range(PARTITIONS):
                log.producer.append([event(user_in(partition), number) for number in range(200)])
            seek_all(log.consumer)
            half = read_all(log.consumer, 400, events_max=80)
            for partition in range(PARTITIONS):
                assert sum(position.partition == partition for position in half) >= 60

    def test_poll_shares_what_is_left(self) -> None:
        """What idle partitions do not need of a poll's bounds, a busy one gets."""
        with self.open_log() as log:
            log.producer.append([event(user_in(3), number) for number in range(100)])
            seek_all(log.consumer)
            read = log.consumer.poll(100, 1 << 20, READ_WAIT_SECONDS)
            assert sum(len(one.payloads) for one in read) == 100

    def test_poll_in_order(self) -> None:
        """One user's events come in the order of their append."""
        with self.open_log() as log:
            sent = [event("somebody", number) for number in range(100)]
            for low in range(0, 100, 9):
                log.producer.append(sent[low : low + 9])
            seek_all(log.consumer)
            found = read_all(log.consumer, 100, events_max=7)
            assert [found[position] for position in sorted(found)] == sent

    def test_poll_waits(self) -> None:
        """A poll of a log with nothing to read comes back empty after the wait, and not before."""
        with self.open_log() as log:
            seek_all(log.consumer)
            began = time.monotonic()
            assert not log.consumer.poll(10, 1_000, 0.2)
            assert time.monotonic() - began >= 0.2

    def test_poll_is_woken(self) -> None:
        """A waiting poll returns as soon as there is an event, long before its wait is over."""
        with self.open_log() as log:
            seek_all(log.consumer)
            timer = threading.Timer(0.1, log.producer.append, [[event("somebody")]])
            timer.start()
            began = time.monotonic()
            read = log.consumer.poll(10, 1_000, 60)
            timer.join()
            assert [list(one.payloads) for one in read] == [[event("somebody")]]
            assert time.monotonic() - began < READ_WAIT_SECONDS

    def test_appended_at(self) -> None:
        """A slice tells when its first event was appended."""
        with self.open_log() as log:
            before = time.time_ns() // 1_000
            log.producer.append([event(user_in(1))])
            after = time.time_ns() // 1_000
            log.consumer.seek(1, 0)
            (read,) = log.consumer.poll(10, 1_000, READ_WAIT_SECONDS)
            # A server keeps time by a clock of its own, often to the millisecond.
            assert before - 1_000_000 <= read.appended_at <= after + 1_000_000

    def test_close_producer(self) -> None:
        """What was appended stays when its producer is closed."""
        with self.open_log() as log:
            log.producer.append([event(user_in(1))])
            log.producer.close()
            log.consumer.seek(1, 0)
            assert read_all(log.consumer, 1) == {Position(1, 0): event(user_in(1))}
