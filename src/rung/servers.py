"""What stands on servers, for those who look after it: the tables of the store, the topics of the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rung.adapters import Home, dynamo_settings, kafka_settings

if TYPE_CHECKING:
    from rung.log.kafka.topics import Topic
    from rung.store.dynamodb.tables import TableDescription


def create_tables(home: Home) -> Sequence[TableDescription]:
    """Make the tables of the store that are missing, and return all once they can be used.

    Raises:
        StoreError: they cannot be made.
        StoreBusy: DynamoDB cannot be reached.
    """
    from rung.store.dynamodb.tables import create_tables

    return create_tables(dynamo_settings(home))


def describe_tables(home: Home) -> Sequence[TableDescription]:
    """Return the tables of the store; one that is not there has the status MISSING.

    Raises:
        StoreError: they may not be described.
        StoreBusy: DynamoDB cannot be reached.
    """
    from rung.store.dynamodb.tables import describe_tables

    return describe_tables(dynamo_settings(home))


def drop_tables(home: Home) -> None:
    """Delete the tables of the store with all that is in them.

    Raises:
        StoreError: they cannot be deleted.
        StoreBusy: DynamoDB cannot be reached.
    """
    from rung.store.dynamodb.tables import drop_tables

    drop_tables(dynamo_settings(home))


def create_topics(home: Home, partitions: int, replication_factor: int) -> Sequence[str]:
    """Make the topics of the log that are missing, and return the names of those that were.

    Raises:
        LogError: they cannot be made.
        LogUnavailable: no broker answers.
    """
    from rung.log.kafka.topics import create_topics

    return create_topics(kafka_settings(home), partitions, replication_factor)


def describe_topics(home: Home) -> Sequence[Topic]:
    """Return the topics of the log that are there.

    Raises:
        LogError: they may not be described.
        LogUnavailable: no broker answers.
    """
    from rung.log.kafka.topics import describe_topics

    return describe_topics(kafka_settings(home))
