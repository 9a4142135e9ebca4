"""Making the topics of a log, and telling what they are."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType  # pyright: ignore[reportPrivateImportUsage]

from rung.log.kafka.admin import Admin, DescribedTopic, briefly_connected
from rung.log.kafka.errors import TOPIC_NAMES, as_log_error, error_of
from rung.log.kafka.settings import RECORD_BYTES_MAX, KafkaSettings
from rung.log.port import LogError, LogUnavailable

PARTITIONS_MAX: Final = 1_024
_SHOWN: Final = (
    "cleanup.policy",
    "max.message.bytes",
    "message.timestamp.type",
    "min.insync.replicas",
    "retention.ms",
)
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is: `settings` are those that a log depends on, empty if they may not be read."""

    name: str
    topic_id: str
    partitions: int
    replication_factor: int
    settings: Mapping[str, str]


def create_topics(settings: KafkaSettings, partitions: int, replication_factor: int) -> list[str]:
    """Make the topics that are not there, and return their names. What is there stays as it is.

    Events are kept until the retention of the broker ends, and dated by it; the topic of those in
    quarantine keeps the last word on each position.

    Raises:
        LogError: the cluster refuses; the text says why.
        LogUnavailable: no broker answers in time.
    """
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise LogError(f"a log has 1 to {PARTITIONS_MAX:,} partitions, not {partitions:,}")
    size = {"max.message.bytes": str(max(RECORD_BYTES_MAX, 1_048_588))}
    wanted = [
        NewTopic(
            settings.topic,
            partitions,
            replication_factor,
            config={"cleanup.policy": "delete", "message.timestamp.type": "LogAppendTime", **size},
        )
    ]
    if settings.quarantine_topic:
        wanted.append(
            NewTopic(
                settings.quarantine_topic,
                partitions,
                replication_factor,
                config={"cleanup.policy": "compact", **size},
            )
        )
    made: list[str] = []
    with briefly_connected(settings, _note) as admin:
        asked = admin.create_topics(wanted, request_timeout=settings.request_timeout_seconds)
        for name, future in asked.items():
            try:
                future.result()
            except KafkaException as exception:
                error = error_of(exception)
                if error.name() != "TOPIC_ALREADY_EXISTS":
                    raise as_log_error(settings, f"make topic {name} of", error) from None
            else:
                made.append(name)
        _wait_until_known(settings, admin, made)
    return made


def describe_topics(settings: KafkaSettings) -> list[Topic]:
    """Return the topics of a log that are there.

    Raises:
        LogError: the cluster refuses; the text says why.
        LogUnavailable: no broker answers in time.
    """
    names = [name for name in (settings.topic, settings.quarantine_topic) if name]
    with briefly_connected(settings, _note) as admin:
        asked = admin.describe_topics(
            TopicCollection(names), request_timeout=settings.request_timeout_seconds
        )
        found = [_described(settings, admin, name, future) for name, future in asked.items()]
    return [topic for topic in found if topic is not None]


def _described(
    settings: KafkaSettings, admin: Admin, name: str, future: Future[DescribedTopic]
) -> Topic | None:
    try:
        described = future.result()
    except KafkaException as exception:
        error = error_of(exception)
        if error.name() in TOPIC_NAMES:
            return None
        raise as_log_error(settings, f"describe topic {name} of", error) from None
    replicas = min((len(one.replicas) for one in described.partitions), default=0)
    shown = _shown_settings(settings, admin, name)
    return Topic(name, str(described.topic_id), len(described.partitions), replicas, shown)


def _wait_until_known(settings: KafkaSettings, admin: Admin, names: Sequence[str]) -> None:
    """Wait until brokers know of new topics, of which the controller has told them."""
    deadline = time.monotonic() + settings.request_timeout_seconds
    while names:
        asked = admin.describe_topics(TopicCollection(list(names)), request_timeout=5.0)
        missing = [name for name, future in asked.items() if future.exception() is not None]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise LogUnavailable(f"topic {missing[0]} was made, and no broker knows it yet: look again later")
        time.sleep(0.05)


def _shown_settings(settings: KafkaSettings, admin: Admin, name: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, name)
    asked = admin.describe_configs([resource], request_timeout=settings.request_timeout_seconds)
    try:
        entries = asked[resource].result()
    except KafkaException as exception:
        error = error_of(exception)
        if error.name() == "TOPIC_AUTHORIZATION_FAILED":
            return {}
        raise as_log_error(settings, f"describe topic {name} of", error) from None
    return {key: str(entries[key].value) for key in _SHOWN if key in entries}


def _note(error: KafkaError) -> None:
    _log.info("client of topics: %s", error.name())
