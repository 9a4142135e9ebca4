"""The client that asks about topics, with the types that it has in fact."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol, cast

from confluent_kafka import KafkaError, TopicCollection, TopicPartition, Uuid
from confluent_kafka.admin import AdminClient

from rung.log.kafka.errors import translated
from rung.log.kafka.release import release
from rung.log.kafka.settings import KafkaSettings, admin_configuration


class DescribedPartition(Protocol):
    """What is told of a partition."""

    replicas: Sequence[object]


class DescribedTopic(Protocol):
    """What is told of a topic."""

    topic_id: Uuid
    partitions: Sequence[DescribedPartition]


class FoundOffset(Protocol):
    """What is told of a place in a partition."""

    offset: int


class DescribedSetting(Protocol):
    """What is told of a topic's setting."""

    value: str | None


class Admin(Protocol):
    """The part of the client that is used. Each request is answered in a future."""

    def __exit__(self, *error: object) -> None:
        """Close the client, which has no other name for it. What it was asked for stays unanswered."""
        ...

    def poll(self, timeout: float) -> int:
        """Let the client call back."""
        ...

    def cluster_id(self, timeout: float) -> str:
        """Return the cluster's id, asked for once."""
        ...

    def describe_topics(
        self, topics: TopicCollection, *, request_timeout: float
    ) -> Mapping[str, Future[DescribedTopic]]:
        """Ask for topics."""
        ...

    def list_offsets(
        self, topic_partition_offsets: Mapping[TopicPartition, Any], *, request_timeout: float
    ) -> Mapping[TopicPartition, Future[FoundOffset]]:
        """Ask for offsets."""
        ...

    def create_topics(
        self, new_topics: Sequence[object], *, request_timeout: float
    ) -> Mapping[str, Future[None]]:
        """Ask for new topics."""
        ...

    def describe_configs(
        self, resources: Sequence[object], *, request_timeout: float
    ) -> Mapping[object, Future[Mapping[str, DescribedSetting]]]:
        """Ask for the settings of topics."""
        ...


def connected(settings: KafkaSettings, note: Callable[[KafkaError], None]) -> Admin:
    """Return a client, which connects by itself; `note` hears of its troubles from `Admin.poll`.

    Raises:
        LogError: a property of the client is wrong.
    """
    with translated(settings, "reach"):
        configuration = admin_configuration(settings)
        configuration["error_cb"] = note
        return cast("Admin", AdminClient(configuration))


def disconnect(settings: KafkaSettings, admin: Admin) -> None:
    """Close a client, which nobody uses any longer.

    Raises:
        LogError: the client refuses.
    """
    release(settings, lambda: admin.__exit__(None, None, None))


@contextmanager
def briefly_connected(settings: KafkaSettings, note: Callable[[KafkaError], None]) -> Generator[Admin]:
    """Give a client as `connected` does, and close it afterwards."""
    admin = connected(settings, note)
    try:
        yield admin
    finally:
        disconnect(settings, admin)
