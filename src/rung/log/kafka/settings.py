"""How to reach the log on Kafka, and the client configurations that follow from it.

What correctness rests on is fixed here: positions are the worker's alone, so no offset is stored,
committed or reset by the client; a producer is idempotent and waits for every replica in sync; an
event of an aborted transaction did not happen.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from rung.log.port import LogError

EVENT_BYTES_MAX: Final = 1_000_000
"""The largest event with its key. A record of it still fits a broker's usual limit of 1,048,588 bytes."""
RECORD_BYTES_MAX: Final = EVENT_BYTES_MAX + 16_384

_log: Final = logging.getLogger("rung.log.kafka.client")
_topic_name: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_secret_name: Final = re.compile(r"password|secret|token|key\.pem|jaas|oauthbearer\.config|assertion")
_DECIDED_HERE: Final = frozenset(
    {
        "acks",
        "allow.auto.create.topics",
        "auto.commit.enable",
        "auto.offset.reset",
        "bootstrap.servers",
        "default.topic.config",
        "delivery.report.only.error",
        "delivery.timeout.ms",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.gapless.guarantee",
        "enable.idempotence",
        "enable.partition.eof",
        "error_cb",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "group.remote.assignor",
        "isolation.level",
        "logger",
        "max.in.flight",
        "max.in.flight.requests.per.connection",
        "message.max.bytes",
        "message.send.max.retries",
        "message.timeout.ms",
        "metadata.broker.list",
        "msg_order_cmp",
        "on_commit",
        "on_delivery",
        "partition.assignment.strategy",
        "partitioner",
        "partitioner_cb",
        "queuing.strategy",
        "request.required.acks",
        "retries",
        "session.timeout.ms",
        "stats_cb",
        "test.mock.num.brokers",
        "throttle_cb",
        "transactional.id",
    }
)

GroupProtocol = Literal["classic", "consumer"]
Configuration = dict[str, Any]


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Where the log is and how long to wait for it.

    `group_protocol` is how workers share partitions: `classic`, or `consumer` (KIP-848), where the
    broker decides the session timeout. An empty `quarantine_topic` means that there is none.
    `client` holds properties of librdkafka that are passed on: TLS, SASL, sizes of buffers. They
    may be secret, so they are in no `repr`.
    """

    bootstrap_servers: str
    topic: str
    group_id: str
    quarantine_topic: str = ""
    group_protocol: GroupProtocol = "classic"
    session_timeout_seconds: float = 45.0
    delivery_timeout_seconds: float = 30.0
    request_timeout_seconds: float = 10.0
    client: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def __post_init__(self) -> None:
        """Check what no broker could make right.

        Raises:
            LogError: a setting cannot be used; the text names it.
        """
        if not self.bootstrap_servers.strip():
            raise LogError("bootstrap_servers is empty: name a broker, like `localhost:9092`")
        for name, topic in (("topic", self.topic), ("quarantine_topic", self.quarantine_topic or "none")):
            if not _topic_name.fullmatch(topic) or topic in {".", ".."}:
                raise LogError(f"{name} {topic!r} is no name of a topic: letters, digits, `.`, `_` and `-`")
        if self.topic == self.quarantine_topic:
            raise LogError(f"quarantine_topic must be another topic than topic, not {self.topic!r} too")
        if not self.group_id:
            raise LogError("group_id is empty: name the group of workers, like `rung`")
        if self.group_protocol not in {"classic", "consumer"}:
            raise LogError(f"group_protocol must be `classic` or `consumer`, not {self.group_protocol!r}")
        for name, seconds in (
            ("session_timeout_seconds", self.session_timeout_seconds),
            ("delivery_timeout_seconds", self.delivery_timeout_seconds),
            ("request_timeout_seconds", self.request_timeout_seconds),
        ):
            if not 1 <= seconds <= 300:
                raise LogError(f"{name} must be 1 to 300, not {seconds:g}")
        for name in self.client:
            if name in _DECIDED_HERE or name.startswith("topic."):
                raise LogError(
                    f"the client property {name!r} cannot be set: what is counted depends on it, or a "
                    "setting of its own decides it; remove it"
                )

    def without_secrets(self, text: str) -> str:
        """Return a text with every secret of `client` blotted out."""
        for name, value in self.client.items():
            if value and _secret_name.search(name):
                text = text.replace(value, "***")
        return text


def admin_configuration(settings: KafkaSettings) -> Configuration:
    """Return the configuration of a client that asks about topics."""
    return _common(settings) | dict(settings.client) | _fixed(settings)


def producer_configuration(settings: KafkaSettings) -> Configuration:
    """Return the configuration of a producer: bounded in memory, durable, in order."""
    return (
        _common(settings)
        | {
            "linger.ms": 5,
            "compression.type": "lz4",
            "queue.buffering.max.kbytes": 65_536,
            "queue.buffering.max.messages": 100_000,
        }
        | dict(settings.client)
        | _fixed(settings)
        | {
            "acks": "all",
            "enable.idempotence": True,
            # CRC-32, as in `rung.transaction.routing`, for records that name no partition.
            "partitioner": "consistent",
            "message.max.bytes": RECORD_BYTES_MAX,
            "delivery.timeout.ms": _milliseconds(settings.delivery_timeout_seconds),
            "allow.auto.create.topics": False,
        }
    )


def reader_configuration(settings: KafkaSettings) -> Configuration:
    """Return the configuration of a consumer that names its partitions itself and joins no group."""
    return (
        _common(settings)
        | {
            # What is fetched ahead, over all partitions. A fetch is postponed when this much waits:
            # for 10 ms, since the usual second is what a worker applies hundreds of thousands in.
            "queued.max.messages.kbytes": 32_768,
            "fetch.queue.backoff.ms": 10,
            "fetch.max.bytes": 16_777_216,
            # A new position waits for the running fetch, so an idle fetch is a short one.
            "fetch.wait.max.ms": 100,
        }
        | dict(settings.client)
        | _fixed(settings)
        | {
            # Any group will do to read without one, and this one needs no further permission.
            "group.id": settings.group_id,
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "allow.auto.create.topics": False,
        }
    )


def consumer_configuration(settings: KafkaSettings) -> Configuration:
    """Return the configuration of a member of the group of workers."""
    configuration = reader_configuration(settings)
    configuration["group.protocol"] = settings.group_protocol
    if settings.group_protocol == "classic":
        session = _milliseconds(settings.session_timeout_seconds)
        configuration["partition.assignment.strategy"] = "cooperative-sticky"
        configuration["session.timeout.ms"] = session
        configuration.setdefault("heartbeat.interval.ms", min(3_000, session // 3))
    return configuration


def _common(settings: KafkaSettings) -> Configuration:
    return {
        "client.id": "rung",
        "socket.timeout.ms": _milliseconds(settings.request_timeout_seconds),
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 1_000,
        "log.connection.close": False,
        # What matters comes as an error; a line for each try to connect says nothing more.
        "log_level": 2,
    }


def _fixed(settings: KafkaSettings) -> Configuration:
    return {"bootstrap.servers": settings.bootstrap_servers, "logger": _log}


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1_000)
