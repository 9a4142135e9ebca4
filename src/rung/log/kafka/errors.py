"""Kafka's errors in the words of the log port."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from rung.log.kafka.settings import KafkaSettings
from rung.log.port import LogError, LogUnavailable

END: Final = "_PARTITION_EOF"
"""Not an error: a partition has been read up to its end."""
POSITION_NAMES: Final = frozenset({"_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE", "_LOG_TRUNCATION"})
TOPIC_NAMES: Final = frozenset(
    {
        "UNKNOWN_TOPIC_OR_PART",
        "UNKNOWN_TOPIC_ID",
        "INCONSISTENT_TOPIC_ID",
        "_UNKNOWN_TOPIC",
        "_UNKNOWN_PARTITION",
    }
)
_PASSING_NAMES: Final = frozenset(
    {
        "_ALL_BROKERS_DOWN",
        "_DESTROY_BROKER",
        "_MSG_TIMED_OUT",
        "_PURGE_INFLIGHT",
        "_PURGE_QUEUE",
        "_RESOLVE",
        "_RETRY",
        "_TIMED_OUT",
        "_TIMED_OUT_QUEUE",
        "_TRANSPORT",
        "_WAIT_CACHE",
        "_WAIT_COORD",
        "BROKER_NOT_AVAILABLE",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "COORDINATOR_NOT_AVAILABLE",
        "FENCED_LEADER_EPOCH",
        "KAFKA_STORAGE_ERROR",
        "LEADER_NOT_AVAILABLE",
        "NETWORK_EXCEPTION",
        "NOT_CONTROLLER",
        "NOT_COORDINATOR",
        "NOT_ENOUGH_REPLICAS",
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        "NOT_LEADER_FOR_PARTITION",
        "OFFSET_NOT_AVAILABLE",
        "REQUEST_TIMED_OUT",
        "THROTTLING_QUOTA_EXCEEDED",
        "UNKNOWN_LEADER_EPOCH",
        "_NOENT",
    }
)
_FIXES: Final = {
    "CLUSTER_AUTHORIZATION_FAILED": "allow this user to do so",
    "GROUP_AUTHORIZATION_FAILED": "allow this user to read as the group",
    "TOPIC_AUTHORIZATION_FAILED": "allow this user to describe, read and write the topic",
    "SASL_AUTHENTICATION_FAILED": "check user and password",
    "_AUTHENTICATION": "check user and password",
    "_SSL": "check the certificates",
    "MSG_SIZE_TOO_LARGE": "raise `max.message.bytes` of the topic",
    "RECORD_LIST_TOO_LARGE": "raise `max.message.bytes` of the topic",
    "INCONSISTENT_GROUP_PROTOCOL": "run every worker of the group with the same group_protocol",
    "INVALID_SESSION_TIMEOUT": "choose session_timeout_seconds within the broker's limits",
    "UNSUPPORTED_VERSION": "use group_protocol `classic`, or a broker that knows the other one",
    "_UNSUPPORTED_FEATURE": "use group_protocol `classic`, or a broker that knows the other one",
    "INVALID_REPLICATION_FACTOR": "choose at most as many replicas as there are brokers",
}


class TopicMissing(LogError):
    """The cluster knows no topic of this name now."""


def is_passing(error: KafkaError) -> bool:
    """Tell whether an error may go away by itself."""
    return not error.fatal() and (error.retriable() or error.name() in _PASSING_NAMES)


def is_settled(error: KafkaError) -> bool:
    """Tell whether somebody has to do something before an error goes away."""
    return error.fatal() or error.name() in _FIXES


def error_of(exception: KafkaException) -> KafkaError:
    """Return what a client's exception carries."""
    carried: object = exception.args[0]
    assert isinstance(carried, KafkaError)
    return carried


def explain(settings: KafkaSettings, error: KafkaError) -> str:
    """Return an error's text with its fix, and without secrets."""
    fix = _FIXES.get(error.name())
    text = settings.without_secrets(error.str())
    return f"{text}; {fix}" if fix else text


def as_log_error(settings: KafkaSettings, doing: str, error: KafkaError) -> LogError:
    """Return the port's error for one of Kafka's."""
    kind = LogUnavailable if is_passing(error) else LogError
    return kind(_cannot(settings, doing, explain(settings, error)))


def unanswered(settings: KafkaSettings, doing: str) -> LogUnavailable:
    """Return the port's error for a question that nobody has answered."""
    return LogUnavailable(_cannot(settings, doing, "no answer"))


def _cannot(settings: KafkaSettings, doing: str, why: str) -> str:
    return f"cannot {doing} the log at {settings.bootstrap_servers}, topic {settings.topic}: {why}"


@contextmanager
def translated(settings: KafkaSettings, doing: str) -> Generator[None]:
    """Turn Kafka's exceptions into `LogError`s that say what was being done, and where."""
    try:
        yield
    except KafkaException as exception:
        raise as_log_error(settings, doing, error_of(exception)) from None
