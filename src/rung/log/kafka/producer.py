"""Appending events to the topic: each to the partition of its user, durable when it returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from rung.log.kafka.fetched import SCHEMA, SCHEMA_HEADER
from rung.log.kafka.sender import Headers, Sender
from rung.log.kafka.settings import EVENT_BYTES_MAX, KafkaSettings
from rung.log.port import LogError, Position
from rung.transaction.routing import partition_of, partition_of_event

_HEADERS: Final[Headers] = [(SCHEMA_HEADER, SCHEMA)]


class _Owner(msgspec.Struct, gc=False):
    user_id: str


_owner_of = msgspec.json.Decoder(_Owner).decode


class KafkaProducer:
    """Appends events to the topic; see `rung.log.port.Producer`. For one thread at a time."""

    def __init__(self, settings: KafkaSettings, partitions: int) -> None:
        """Append to a topic with a number of partitions.

        Raises:
            LogError: a property of the client is wrong.
        """
        self._partitions = partitions
        self._sender = Sender(settings, settings.topic)

    def append(self, payloads: Sequence[bytes]) -> Sequence[Position]:
        """Append events in order, and return their positions once every replica in sync has them.

        Raises:
            LogUnavailable: not all were acknowledged in time; any may be in the log. Sending all of
                them again is safe.
            LogError: an event is too large, and nothing was sent; or the broker refuses one.
        """
        count = self._partitions
        routed = [_routed(payload, count) for payload in payloads]
        largest = max(
            (len(payload) + len(key or b"") for payload, (key, _) in zip(payloads, routed, strict=True)),
            default=0,
        )
        if largest > EVENT_BYTES_MAX:
            raise LogError(
                f"an event of {largest:,} bytes with its user is too large: the log takes {EVENT_BYTES_MAX:,}"
            )
        sent = self._sender.send(
            (payload, key, partition, _HEADERS)
            for payload, (key, partition) in zip(payloads, routed, strict=True)
        )
        following = {partition: iter(offsets) for partition, offsets in sent.items()}
        return [Position(partition, next(following[partition])) for _, partition in routed]

    def close(self) -> None:
        """Release the client. Appended events stay."""
        self._sender.close()


def _routed(payload: bytes, partitions: int) -> tuple[bytes | None, int]:
    """Return an event's key, which is its user, and the partition that routing gives it."""
    try:
        key = _owner_of(payload).user_id.encode()
    # As in `rung.transaction.routing`: an event without a readable user belongs to nobody.
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None, partition_of_event(payload, partitions)
    return key, partition_of(key, partitions)
