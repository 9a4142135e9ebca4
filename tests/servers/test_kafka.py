"""The broker: it starts on loopback, keeps what it was given through a crash, and serves both group protocols."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from faults.tcp_proxy import TcpProxy
from listening import only_on_loopback
from servers.errors import ServerError
from servers.kafka import Kafka, new_cluster_id
from servers.ports import LOOPBACK, free_port

WAIT_SECONDS = 20.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Kafka, TcpProxy]]:
    """Return a broker that sends its clients to a proxy, and that proxy; it has a topic with two records."""
    port = free_port()
    with (
        TcpProxy(LOOPBACK, port) as proxy,
        Kafka.start(tmp_path_factory.mktemp("kafka"), port=port, advertised=(LOOPBACK, proxy.port)) as kafka,
    ):
        admin: Any = AdminClient({"bootstrap.servers": kafka.bootstrap})
        for made in admin.create_topics([NewTopic("kept", 1, 1)]).values():
            made.result(WAIT_SECONDS)
        _produce(kafka, b"a", b"b")
        yield kafka, proxy


def _produce(kafka: Kafka, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "acks": "all"})
    for value in values:
        producer.produce("kept", value)
    assert producer.flush(WAIT_SECONDS) == 0


def _consumed(kafka: Kafka, group: str, protocol: str, count: int) -> list[bytes | None]:
    configuration = {
        "bootstrap.servers": kafka.bootstrap,
        "group.id": group,
        "group.protocol": protocol,
        "auto.offset.reset": "earliest",
    }
    if protocol == "classic":
        configuration["session.timeout.ms"] = "1000"
    consumer = Consumer(configuration)
    values: list[bytes | None] = []
    try:
        consumer.subscribe(["kept"])
        deadline = time.monotonic() + WAIT_SECONDS
        while len(values) < count:
            assert time.monotonic() < deadline
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                values.append(message.value())
    finally:
        consumer.close()
    return values


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_groups(broker: tuple[Kafka, TcpProxy], protocol: str) -> None:
    """A member of a group of either protocol gets what was produced, with a session of a second."""
    assert _consumed(broker[0], f"group-{protocol}", protocol, 2)[:2] == [b"a", b"b"]


def test_a_crash_loses_nothing(broker: tuple[Kafka, TcpProxy]) -> None:
    """After SIGKILL the broker starts again at its port, with its records."""
    kafka, _ = broker
    pid, bootstrap = kafka.pid, kafka.bootstrap
    assert (kafka.log_folder / "kept-0" / "00000000000000000000.log").stat().st_size > 0
    kafka.kill()
    kafka.restart()
    assert kafka.pid != pid
    assert kafka.bootstrap == bootstrap
    assert _consumed(kafka, "after", "classic", 2)[:2] == [b"a", b"b"]


def test_only_on_loopback(broker: tuple[Kafka, TcpProxy]) -> None:
    """Nobody outside of this machine reaches the broker."""
    assert only_on_loopback(broker[0].port)


def test_clients_go_through_the_proxy(broker: tuple[Kafka, TcpProxy]) -> None:
    """A client that was told only the broker's address comes through the advertised one."""
    kafka, proxy = broker
    passed_bytes = proxy.counts.passed_bytes
    _consumed(kafka, "proxied", "classic", 2)
    assert proxy.counts.passed_bytes > passed_bytes + 100


def test_properties_that_no_broker_takes(tmp_path: Path) -> None:
    """A broker that cannot be set up so is an error with the reason."""
    with pytest.raises(ServerError, match="cannot be formatted: (?s:.*)Invalid value none"):
        Kafka.start(tmp_path, properties={"node.id": "none"})


def test_cluster_ids() -> None:
    """No id of a cluster begins as an option of the command that it is given to does."""
    drawn = [new_cluster_id() for _ in range(1_000)]
    assert {len(one) for one in drawn} == {22}
    assert not [one for one in drawn if one.startswith("-")]
