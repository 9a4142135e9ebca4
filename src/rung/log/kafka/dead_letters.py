"""The topic of events in quarantine: a copy for those who watch, keyed by position, compacted.

The store holds the quarantine itself. Writing one letter again changes nothing, since the topic
keeps the last record of each key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rung.log.kafka.sender import ANY_PARTITION, Headers, Record, Sender
from rung.log.kafka.settings import EVENT_BYTES_MAX, KafkaSettings
from rung.log.port import LogError, Position

DETAIL_BYTES_MAX = 4_096


class DeadLetter(NamedTuple):
    """An event that was not applied, and why; `at` is in microseconds since the epoch."""

    partition: int
    offset: int
    reason: str
    detail: str
    at: int
    payload: bytes


class DeadLetters:
    """Keeps the quarantine topic like the quarantine. For one thread at a time."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Write to the quarantine topic of a log.

        Raises:
            LogError: no quarantine topic is named, or a property of the client is wrong.
        """
        if not settings.quarantine_topic:
            raise LogError("quarantine_topic is empty: name the topic for events in quarantine")
        self._sender = Sender(settings, settings.quarantine_topic)

    def mirror(self, letters: Sequence[DeadLetter]) -> None:
        """Write letters, and return once they are durable.

        Raises:
            LogUnavailable: not all were acknowledged in time; writing them again is safe.
            LogError: the broker refuses a letter.
        """
        self._sender.send(_record(letter) for letter in letters)

    def forget(self, positions: Iterable[Position]) -> None:
        """Write that positions are in quarantine no longer, and return once that is durable.

        Raises:
            LogUnavailable: not all were acknowledged in time; writing them again is safe.
            LogError: the broker refuses a record.
        """
        self._sender.send(
            (None, _key(partition, offset), ANY_PARTITION, []) for partition, offset in positions
        )

    def close(self) -> None:
        """Release the client."""
        self._sender.close()


def _key(partition: int, offset: int) -> bytes:
    return b"%d:%d" % (partition, offset)


def _record(letter: DeadLetter) -> Record:
    key = _key(letter.partition, letter.offset)
    headers: Headers = [
        ("reason", letter.reason.encode()),
        ("detail", letter.detail.encode("utf-8", "backslashreplace")[:DETAIL_BYTES_MAX]),
        ("position", key),
        ("at", b"%d" % letter.at),
    ]
    # What is larger came by another producer, and is in the log.
    payload = letter.payload if len(letter.payload) <= EVENT_BYTES_MAX else b""
    return payload, key, ANY_PARTITION, headers
