"""Reading the topic beside all workers: one event, or a range of a partition."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from rung.log.kafka.cluster import Cluster
from rung.log.kafka.errors import END, POSITION_NAMES, as_log_error, translated
from rung.log.kafka.fetched import slices_of
from rung.log.kafka.refusals import check_same, out_of_range
from rung.log.kafka.release import release
from rung.log.kafka.settings import KafkaSettings, reader_configuration
from rung.log.port import LogUnavailable, Position, PositionOutOfRange, Slice

_SCAN_EVENTS_MAX: Final = 10_000


class PointReader:
    """Reads single events. Safe to use from several threads, which take turns."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Read a topic; nothing is asked yet."""
        self._settings = settings
        self._lock = Lock()
        self._consumer: Consumer | None = None

    def read(self, position: Position) -> Message:
        """Return the message at a position.

        Raises:
            PositionOutOfRange: there is none, because retention has passed it, or it holds no event.
            LogUnavailable: no broker answers in time.
        """
        settings = self._settings
        with self._lock, translated(settings, "read"):
            if self._consumer is None:
                # Fetch little: one event is wanted. The first is fetched whatever its size.
                little = {"fetch.message.max.bytes": 1, "fetch.wait.max.ms": 10, "queued.min.messages": 1}
                self._consumer = Consumer(reader_configuration(settings) | little)
            self._consumer.assign([TopicPartition(settings.topic, *position)])
            try:
                message = _next(settings, self._consumer, position.partition, position.offset)
            finally:
                self._consumer.unassign()
        if message.error() is not None or message.offset() != position.offset:
            raise PositionOutOfRange(
                f"there is no event at {position.partition}/{position.offset}", position.partition
            )
        return message

    def close(self) -> None:
        """Release the client. Closing twice is fine."""
        with self._lock:
            consumer, self._consumer = self._consumer, None
        if consumer is not None:
            release(self._settings, consumer.close)


def scan(
    settings: KafkaSettings, cluster: Cluster, partition: int, from_offset: int, to_offset: int
) -> Iterator[Slice]:
    """Yield the events of a partition from one offset to just before another.

    Raises:
        PositionOutOfRange: retention has passed events of the range, or it goes past the end.
        LogReplaced: the topic was made anew meanwhile.
        LogUnavailable: no broker answers in time.
    """
    identity = cluster.identity()
    start, end = cluster.starts([partition])[partition], cluster.ends([partition])[partition]
    if from_offset >= to_offset:
        return
    for offset in (from_offset, to_offset):
        if not start <= offset <= end:
            raise out_of_range(partition, offset, start, end)
    with _assigned(settings, TopicPartition(settings.topic, partition, from_offset)) as consumer:
        offset = from_offset
        while offset < to_offset:
            with translated(settings, "read"):
                first = _next(settings, consumer, partition, offset)
                messages = [first, *consumer.consume(_SCAN_EVENTS_MAX - 1, 0)]
            found: list[Message] = []
            for message in messages:
                error = message.error()
                if error is None:
                    offset = (message.offset() or 0) + 1
                    if offset <= to_offset:
                        found.append(message)
                elif error.name() == END:
                    offset = message.offset() or 0
                else:
                    _refuse(settings, partition, offset, error)
            check_same(settings, identity, cluster.identity())
            yield from slices_of(partition, found)


@contextmanager
def _assigned(settings: KafkaSettings, place: TopicPartition) -> Generator[Consumer]:
    with translated(settings, "read"):
        consumer = Consumer(reader_configuration(settings))
    try:
        with translated(settings, "read"):
            consumer.assign([place])
        yield consumer
    finally:
        release(settings, consumer.close)


def _next(settings: KafkaSettings, consumer: Consumer, partition: int, offset: int) -> Message:
    """Return the next message, or the news that there is none up to the end."""
    deadline = time.monotonic() + settings.request_timeout_seconds
    while time.monotonic() < deadline:
        for message in consumer.consume(1, 0.25):
            error = message.error()
            if error is None or error.name() == END:
                return message
            _refuse(settings, partition, offset, error)
    raise LogUnavailable(
        f"cannot read {partition}/{offset} of topic {settings.topic} at {settings.bootstrap_servers}: "
        f"no answer in {settings.request_timeout_seconds:g} s"
    )


def _refuse(settings: KafkaSettings, partition: int, offset: int, error: KafkaError) -> None:
    """Raise an error, unless the client goes on by itself."""
    if error.name() in POSITION_NAMES:
        raise PositionOutOfRange(
            f"the log does not have {partition}/{offset}: retention has passed it, or it lies past the end",
            partition,
        )
    refusal = as_log_error(settings, "read", error)
    if not isinstance(refusal, LogUnavailable):
        raise refusal
