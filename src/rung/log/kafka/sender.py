"""Sending records and waiting for their acknowledgement, in bounded memory."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from rung.log.kafka.errors import TOPIC_NAMES, error_of, explain, is_passing, translated
from rung.log.kafka.release import release
from rung.log.kafka.settings import KafkaSettings, producer_configuration
from rung.log.port import LogError, LogUnavailable

ANY_PARTITION: Final = -1
"""The partition of the key's CRC-32."""
_WAIT_SECONDS: Final = 0.25
_GRACE_SECONDS: Final = 5.0
_POLL_EVERY: Final = 1_024

_log: Final = logging.getLogger(__name__)


Headers = list[tuple[str, str | bytes | None]]
Record = tuple[bytes | None, bytes | None, int, Headers]
"""One record to send: value, key, partition (may be `ANY_PARTITION`), headers. Plain, as there are many."""


class Sender:
    """Sends records to one topic. For one thread at a time."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        """Make the client; it connects by itself.

        Raises:
            LogError: a property of the client is wrong.
        """
        self._settings = settings
        self._topic = topic
        self._producer: Producer | None = self._connected()

    def send(self, records: Iterable[Record]) -> dict[int, list[int]]:
        """Send records in order; return, once all are durable, their offsets for each partition in order.

        Raises:
            LogUnavailable: not all were acknowledged in time. Any of them may be in the log.
            LogError: the broker refuses a record. Any of the others may be in the log.
        """
        producer = self._producer
        if producer is None:
            raise LogError("this producer is closed")
        delivery = _Delivery()
        # Looked up once: this is the innermost loop of every bulk load.
        topic, produce, note = self._topic, producer.produce, delivery.note
        try:
            for number, (value, key, partition, headers) in enumerate(records):
                try:
                    produce(topic, value, key, partition, note, None, 0, headers)
                except BufferError:
                    self._insist(producer, delivery, (value, key, partition, headers))
                if number % _POLL_EVERY == 0:
                    producer.poll(0)
                    if delivery.failed is not None:
                        break
            self._wait(producer, delivery)
        except KafkaException as exception:
            delivery.failed = error_of(exception)
        except BaseException:
            self._abandon(producer)
            raise
        if delivery.failed is not None:
            self._abandon(producer)
            raise self._refusal(delivery.failed)
        # The client keeps the order within a partition, whatever it had to send again.
        return {partition: sorted(offsets) for partition, offsets in delivery.offsets.items()}

    def close(self) -> None:
        """Release the client. Closing twice is fine."""
        producer, self._producer = self._producer, None
        if producer is not None:
            release(self._settings, producer.close)

    def _connected(self) -> Producer:
        with translated(self._settings, "append to"):
            return Producer(producer_configuration(self._settings) | {"error_cb": self._note})

    def _insist(self, producer: Producer, delivery: _Delivery, record: Record) -> None:
        """Send a record for which there is no room: what waits is acknowledged or runs out of time."""
        value, key, partition, headers = record
        while delivery.failed is None:
            producer.poll(_WAIT_SECONDS)
            with suppress(BufferError):
                producer.produce(self._topic, value, key, partition, delivery.note, None, 0, headers)
                return

    def _wait(self, producer: Producer, delivery: _Delivery) -> None:
        """Wait until every record is acknowledged or has failed, or one has failed."""
        deadline = time.monotonic() + self._settings.delivery_timeout_seconds + _GRACE_SECONDS
        while delivery.failed is None and producer.flush(_WAIT_SECONDS):
            if time.monotonic() > deadline:
                raise self._unacknowledged("no answer")

    def _abandon(self, producer: Producer) -> None:
        """Take back what was not sent, so that it does not come after what is appended next."""
        producer.purge()
        producer.flush(_WAIT_SECONDS)
        # A client that has lost its place in a partition's sequence refuses everything from then on.
        self._producer = self._connected()
        release(self._settings, producer.close)

    def _refusal(self, error: KafkaError) -> LogError:
        text = explain(self._settings, error)
        if error.fatal() or is_passing(error):
            return self._unacknowledged(text)
        if error.name() in TOPIC_NAMES:
            text += "; is the topic gone, or made anew with fewer partitions?"
        return LogError(f"{self._place()} refuses an event: {text}")

    def _unacknowledged(self, text: str) -> LogUnavailable:
        return LogUnavailable(
            f"{self._place()} has not acknowledged every event ({text}): each of them may or may not be in "
            "the log; sending them again is safe"
        )

    def _place(self) -> str:
        return f"topic {self._topic} at {self._settings.bootstrap_servers}"

    def _note(self, error: KafkaError) -> None:
        _log.info("producer of topic %s: %s", self._topic, self._settings.without_secrets(error.str()))


class _Delivery:
    """What became of the records of one append."""

    def __init__(self) -> None:
        self.offsets: defaultdict[int, list[int]] = defaultdict(list)
        self.failed: KafkaError | None = None

    def note(self, error: KafkaError | None, message: Message) -> None:
        """Take down one record's fate; the client calls this for each."""
        if error is None:
            self.offsets[message.partition() or 0].append(message.offset() or 0)
        elif self.failed is None:
            self.failed = error
