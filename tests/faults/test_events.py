"""Events that come twice, in no order, contradict one another, or are none: every user is right all the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import xxhash
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,  # pyright: ignore[reportPrivateImportUsage]
    ConfigEntry,  # pyright: ignore[reportPrivateImportUsage]
    ConfigResource,  # pyright: ignore[reportPrivateImportUsage]
    ResourceType,  # pyright: ignore[reportPrivateImportUsage]
)

from faults.rung_process import RungProcess
from faults.scene import TRAFFIC, Scene, StoreKind, events_of, staged, wait_until
from rung.log.kafka.fetched import SCHEMA_HEADER
from rung.log.port import Position
from rung.store.records import decode_transactions
from rung.traffic import TrafficCounts, generate
from rung.transaction.routing import partition_of

STORES: tuple[StoreKind, ...] = ("lmdb", "dynamodb")
PARTITIONS = 4
RACED = 60
"""Transactions that two users claim at once."""


def event(transaction: str, user: str, amount: object = 500, **others: object) -> bytes:
    """Return a purchase; an amount that is a float may be no number at all."""
    steps = [
        {"status": status, "at": "2011-06-01T12:00:00Z", "amount": amount}
        for status in ("CREATED", "COMPLETED")
    ]
    return json.dumps({"transaction_id": transaction, "user_id": user, "history": steps, **others}).encode()


def users_in(partition: int, count: int) -> list[str]:
    """Return users of a partition."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        if partition_of(f"u{number}".encode(), PARTITIONS) == partition:
            found.append(f"u{number}")
        number += 1
    return found


@pytest.mark.parametrize("store", STORES)
def test_duplicates(tmp_path: Path, store: StoreKind) -> None:
    """A fifth of the events and more come up to five times, at other offsets: each counts once."""
    random, sent = Random(12), list[bytes]()
    events = events_of(replace(TRAFFIC, transactions=100, poison_share=0.0))
    for payload in events:
        times = random.randint(2, 5) if random.random() < 0.25 else 1
        for _ in range(times):
            sent.insert(random.randint(max(0, len(sent) - 100), len(sent)), payload)
    more = len(sent) - len(events)
    assert more > len(events) // 5
    with staged(tmp_path, store) as scene:
        scene.feeder.append(sent)
        scene.settle()
        assert scene.store.counters().duplicates >= more
        scene.compare()


@pytest.mark.parametrize("store", STORES)
def test_no_order(tmp_path: Path, store: StoreKind) -> None:
    """Histories are shuffled over the whole stream, refunds long before their purchases: the status is the same."""
    events = events_of(replace(TRAFFIC, transactions=120))
    Random(13).shuffle(events)
    longest, behind = dict[str, int](), 0
    for payload in events:
        try:
            document: Any = json.loads(payload)
            name, steps = document["transaction_id"], len(document["history"])
        except (ValueError, KeyError, TypeError):
            # Poison, or the attributes of a user.
            continue
        behind += longest.get(name, 0) > steps
        longest[name] = max(steps, longest.get(name, 0))
    assert behind > 50
    with staged(tmp_path, store) as scene:
        for start in range(0, len(events), 50):
            scene.feeder.append(events[start : start + 50])
        scene.settle()
        scene.compare()


@pytest.mark.parametrize("store", STORES)
def test_contradictions(tmp_path: Path, store: StoreKind) -> None:
    """The same id with another amount, user or attributes is quarantined, and what came first stays."""
    counts = TrafficCounts()
    # All in one partition, where there is an order: what came first is what counts.
    chunks = list(generate(replace(TRAFFIC, conflict_share=0.15), counts))
    assert counts.conflicts >= 10
    with staged(tmp_path, store, partitions=1) as scene:
        for chunk in chunks:
            scene.feeder.append(chunk)
        scene.settle()
        reasons = scene.store.counters().quarantined
        assert all(reasons[name] > 0 for name in ("history_conflict", "user_changed", "attributes_changed"))
        scene.compare()


@pytest.mark.parametrize("store", STORES)
def test_race_for_transactions(tmp_path: Path, store: StoreKind) -> None:
    """Two users in two partitions claim the same payments, and two workers store them at once: one of them gets each."""
    names = [f"raced-{number:03}" for number in range(RACED)]
    with staged(tmp_path, store, session_seconds=6.0) as scene:
        workers = [
            scene.start_worker("decided:1:stop", "overtaken:1:tell"),
            scene.start_worker("decided:1:stop", "overtaken:1:tell"),
        ]
        wait_until(
            lambda: all(len(shared(worker)) == PARTITIONS // 2 for worker in workers), "the workers share"
        )
        claims = [list(zip(names, users_in(shared(worker)[0], RACED), strict=True)) for worker in workers]
        scene.feeder.append([event(*claim) for one in claims for claim in one])
        for worker in workers:
            worker.wait_until_stopped()
        assert scene.store.counters().events == 0
        for worker in workers:
            worker.resume()
        scene.settle()
        assert any("overtaken" in worker.told() for worker in workers)
        found = decode_transactions(
            scene.store.transactions([name.encode() for name in names])
        ).users.tolist()
        winners = {
            name: user
            for one in claims
            for (name, user), digest in zip(one, found, strict=True)
            if xxhash.xxh3_64_intdigest(user.encode()) == digest
        }
        assert len(winners) == RACED
        assert scene.store.counters().quarantined == {"user_changed": RACED}
        scene.compare(winners=winners)


def shared(worker: RungProcess) -> list[int]:
    """Return the partitions that a worker says it has."""
    lines = [line for line in worker.printed().splitlines() if line.startswith("Partitions: ")]
    words = lines[-1].removeprefix("Partitions: ") if lines else "none"
    return [] if words == "none" else [int(word) for word in words.split(", ")]


@pytest.mark.parametrize("store", STORES)
def test_poison(tmp_path: Path, store: StoreKind) -> None:
    """What no event can be read from is quarantined with position and reason, mirrored, and stops nothing."""
    right, wrong = users_in(1, 1)[0], users_in(2, 1)[0]
    poison: Sequence[tuple[bytes, Mapping[str, bytes], str]] = [
        (bytes(range(128, 256)), {}, "not_json"),
        (b"", {}, "not_json"),
        (event("large", right, attributes={"country": "x" * 2_000_000}), {}, "event_too_large"),
        (event("schema", right), {SCHEMA_HEADER: b"9"}, "unknown_schema"),
        (event("negative", right, -1), {}, "bad_amount"),
        (event("nan", right, float("nan")), {}, "not_json"),
        (event("too-much", right, 10**18), {}, "bad_amount"),
        (event("misplaced", wrong), {}, "wrong_partition"),
    ]
    with staged(tmp_path, store) as scene:
        allow_bytes(scene, 3_000_000)
        scene.start_worker()
        places: dict[Position, str] = {}
        for number, (payload, headers, reason) in enumerate(poison):
            scene.feeder.append([event(f"between-{number}", right)])
            places[produced(scene, payload, 1, headers)] = reason
        scene.feed()
        scene.settle()
        quarantined = {
            Position(one.partition, one.offset): one for one in scene.store.quarantine(None, 1_000)
        }
        assert {place: quarantined[place].reason for place in places} == places
        unseen = {
            place: reason
            for place, reason in places.items()
            if reason in {"unknown_schema", "wrong_partition"}
        }
        scene.compare(refused=unseen)
        letters = {
            tuple(map(int, key.split(b":"))): (value, headers["reason"].decode())
            for key, value, headers in dead_letters(scene)
        }
        assert letters == {
            place: (one.payload if len(one.payload) < 1_000_000 else b"", one.reason)
            for place, one in quarantined.items()
        }


def produced(scene: Scene, payload: bytes, partition: int, headers: Mapping[str, bytes]) -> Position:
    """Append as a producer of somebody else does, to a partition of its choice; return where it stands."""
    found: list[Message] = []
    scene.feeder.sent[payload] += 1
    producer = Producer({"bootstrap.servers": scene.kafka.bootstrap, "message.max.bytes": 3_000_000})
    note: Callable[[object, Message], object] = lambda _, message: found.append(message)  # noqa: E731
    producer.produce(
        scene.settings.topic, payload, partition=partition, headers=list(headers.items()), on_delivery=note
    )
    assert producer.flush(20) == 0
    producer.close()
    (message,) = found
    assert message.error() is None
    return Position(message.partition() or 0, message.offset() or 0)


def allow_bytes(scene: Scene, bytes_max: int) -> None:
    """Let the topic take records of a size."""
    size = ConfigEntry("max.message.bytes", str(bytes_max), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, scene.settings.topic, incremental_configs=[size])
    admin: Any = AdminClient({"bootstrap.servers": scene.kafka.bootstrap})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()


def dead_letters(scene: Scene) -> list[tuple[bytes, bytes, dict[str, bytes]]]:
    """Return the records of the quarantine topic, in the order of its partitions."""
    reader: Any = Consumer(
        {
            "bootstrap.servers": scene.kafka.bootstrap,
            "group.id": scene.settings.quarantine_topic,
            "enable.partition.eof": True,
        }
    )
    reader.assign([TopicPartition(scene.settings.quarantine_topic, place, 0) for place in range(PARTITIONS)])
    found: list[tuple[bytes, bytes, dict[str, bytes]]] = []
    ends = 0
    while ends < PARTITIONS:
        for message in reader.consume(1_000, 1.0):
            if message.error() is not None:
                ends += 1
            else:
                found.append((message.key(), message.value() or b"", dict(message.headers())))
    reader.close()
    return found
