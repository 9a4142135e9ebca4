"""Kafka and DynamoDB: one worker's rate, beside what others do with the same events on the same servers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench import remote_reads
from bench.machine import PROJECT
from bench.report import Figure
from bench.rivals.plain_writer import PlainWriter
from bench.speed import SPEC, Traffic
from rung import bootstrap
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.servers import create_tables, create_topics
from rung.store.dynamodb.store import DynamoStore
from servers.dynamodb import ACCESS_KEY, SECRET_KEY, DynamoDbLocal
from servers.kafka import Kafka

REPEATS = 3
DYNAMO_WARM_UPS = 2
DYNAMO_REPEATS = 5
PARTITIONS = 4
KAFKA_EVENTS = 1_000_000
KAFKA_USERS = 100_000
RIVAL_EVENTS = 200_000
DYNAMO_EVENTS = 20_000
DYNAMO_USERS = 5_000
PLAIN_EVENTS = 1_500
RIVAL_PYTHON = PROJECT / ".bench" / "quix" / "bin" / "python"


def measure(folder: Path, scale: float) -> Iterator[Figure]:
    """Measure with servers that are started here, on loopback, and stopped afterwards."""
    os.environ |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    with Kafka.start(folder / "kafka") as kafka:
        yield from _kafka_to_lmdb(folder, kafka.bootstrap, scale)
        with DynamoDbLocal.start(folder / "dynamodb", in_memory=True) as dynamodb:
            yield from _kafka_to_dynamodb(folder, kafka.bootstrap, dynamodb.endpoint, scale)
            kafka.stop()
            users = max(500, int(DYNAMO_USERS * scale))
            home = folder / "dynamodb-home"
            yield from remote_reads.measure(home, dynamodb.endpoint, "bench-dynamodb-users", users, scale)


def _home(path: Path, bootstrap_servers: str, topic: str, endpoint: str = "") -> bootstrap.Home:
    """Make a home on the servers, with a topic and tables of its own, and the campaign applied."""
    path.mkdir(parents=True)
    store = (
        f'kind = "dynamodb"\n[dynamodb]\nregion = "eu-central-1"\nendpoint_url = "{endpoint}"'
        if endpoint
        else ""
    )
    (path / "rung.toml").write_text(
        f'[log]\nkind = "kafka"\n[kafka]\nbootstrap_servers = "{bootstrap_servers}"\ntopic = "{topic}"\n'
        f'group_id = "{topic}"\nquarantine_topic = ""\n[store]\n{store}\n'
        + (f'table_prefix = "{topic}"\n' if endpoint else ""),
        encoding="utf-8",
    )
    home = bootstrap.open_home(path)
    create_topics(home, PARTITIONS, 1)
    if endpoint:
        create_tables(home)
    with bootstrap.opened_store(home) as opened:
        opened.put_catalog(0, Catalog().apply(load(SPEC, "bench"), {}).encode(), {})
    return home


def _append(home: bootstrap.Home, events: list[bytes]) -> float:
    """Append events, and return how many a second."""
    with bootstrap.opened_log(home) as log:
        producer = log.producer()
        started = time.perf_counter()
        for first in range(0, len(events), 20_000):
            producer.append(events[first : first + 20_000])
        seconds = time.perf_counter() - started
        producer.close()
    return len(events) / seconds


def _worked(home: bootstrap.Home, usage: dict[str, float] | None = None) -> float:
    """Let one worker apply all that is in the topic, and return how many events a second that was.

    Joining the group is not timed: it takes the broker's seconds, whoever joins. `usage` is told what was
    asked of DynamoDB, for each event.
    """
    with bootstrap.opened_log(home) as log, bootstrap.opened_store(home) as store:
        worker = bootstrap.make_worker(home, log, store)
        while not worker.progress().assigned:
            worker.step(0.0)
        events = worker.lag()
        started = time.perf_counter()
        worker.run(threading.Event(), until_caught_up=True)
        seconds = time.perf_counter() - started
        worker.close()
        if worker_events(store) < events:
            raise RuntimeError(f"{worker_events(store):,} of {events:,} events were applied")
        if usage is not None and isinstance(store, DynamoStore):
            usage["write units"] = store.usage.write_units / events
            usage["read units"] = store.usage.read_units / events
            usage["calls"] = sum(store.usage.calls.values()) / events
    return events / seconds


def worker_events(store: bootstrap.Store) -> int:
    """Return how many events a store has been given, the quarantined ones included."""
    counters = store.counters()
    return counters.events + sum(counters.quarantined.values())


def _kafka_to_lmdb(folder: Path, bootstrap_servers: str, scale: float) -> Iterator[Figure]:
    """Measure one worker, and Quix Streams on the same topic with the same job, in turns."""
    count, rival_count = max(10_000, int(KAFKA_EVENTS * scale)), max(5_000, int(RIVAL_EVENTS * scale))
    traffic = Traffic(max(1_000, int(KAFKA_USERS * scale)), count // 2)
    python = _rival_python()
    appended, rates, rivals = list[float](), list[float](), list[float]()
    for repeat in range(REPEATS):
        home = _home(folder / f"kafka-{repeat}", bootstrap_servers, f"bench-{repeat}")
        appended.append(_append(home, traffic.chunk()))
        rates.append(_worked(home))
        rivals.append(
            _quix(python, bootstrap_servers, f"bench-{repeat}", rival_count, folder / f"quix-{repeat}")
        )
        shutil.rmtree(home.path)
        print(f"  Kafka to LMDB {rates[-1]:,.0f}, Quix Streams {rivals[-1]:,.0f}", flush=True)
    yield Figure("append to Kafka", "events/s", appended, note="acknowledged by all, batches of 20,000")
    note = f"{count:,} events, {PARTITIONS} partitions, an fsync per batch"
    yield Figure("Kafka to LMDB, one worker", "events/s", rates, ">= 100000", note)
    note = f"the first {rival_count:,} events of the same topic, the same figures"
    yield Figure("Quix Streams, exactly-once", "events/s", rivals, note=note)
    ratios = [one / other for one, other in zip(rates, rivals, strict=True)]
    yield Figure("Kafka to LMDB against Quix Streams", "ratio", ratios, ">= 5")


def _rival_python() -> Path:
    if not RIVAL_PYTHON.exists():
        raise SystemExit("error: Quix Streams is not installed: `make bench` does it")
    return RIVAL_PYTHON


def _quix(python: Path, bootstrap_servers: str, topic: str, events: int, state: Path) -> float:
    script = Path(__file__).parent / "rivals" / "quix.py"
    ended = subprocess.run(
        [str(python), str(script), bootstrap_servers, topic, f"quix-{topic}", str(events), str(state)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if ended.returncode != 0:
        raise SystemExit(f"error: the Quix Streams job failed:\n{ended.stderr[-2_000:]}")
    found = json.loads(ended.stdout.splitlines()[-1])
    return found["events"] / found["seconds"]


def _kafka_to_dynamodb(folder: Path, bootstrap_servers: str, endpoint: str, scale: float) -> Iterator[Figure]:
    """Measure one worker, and the plain writer with the same kind of events, in turns, once both are warm."""
    count, plain_count = max(2_000, int(DYNAMO_EVENTS * scale)), max(200, int(PLAIN_EVENTS * scale))
    traffic = Traffic(max(500, int(DYNAMO_USERS * scale)), count // 2)
    rates, plain = list[float](), list[float]()
    usage: dict[str, float] = {}
    home = _home(folder / "dynamodb-home", bootstrap_servers, "bench-dynamodb", endpoint)
    writer = PlainWriter(endpoint, "bench")
    for repeat in range(-DYNAMO_WARM_UPS, DYNAMO_REPEATS):
        events = traffic.chunk()
        _append(home, events)
        rates.append(_worked(home, usage))
        plain.append(writer.write(_whole_transactions(events, plain_count)))
        warming = " (to warm up)" if repeat < 0 else ""
        print(f"  Kafka to DynamoDB Local {rates[-1]:,.0f}, plain {plain[-1]:,.0f}{warming}", flush=True)
    rates, plain = rates[DYNAMO_WARM_UPS:], plain[DYNAMO_WARM_UPS:]
    note = f"{count:,} events, CREATED and COMPLETED apart; the emulator is on the same cores"
    yield Figure("Kafka to DynamoDB Local, one worker", "events/s", rates, note=note)
    note = (
        f"boto3, one transaction per event; about {plain_count:,} of the same events, CREATED and COMPLETED"
    )
    yield Figure("plain writer to DynamoDB Local", "events/s", plain, note=note)
    ratios = [one / other for one, other in zip(rates, plain, strict=True)]
    yield Figure("worker against plain writer", "ratio", ratios, ">= 8")
    for name, value in usage.items():
        yield Figure(f"DynamoDB: {name}", "per event", [value])


def _whole_transactions(events: list[bytes], count: int) -> list[bytes]:
    """Return about so many events: all those of the first transactions, in their order."""
    chosen: set[str] = set()
    taken: list[bytes] = []
    for event in events:
        transaction_id = json.loads(event)["transaction_id"]
        if len(chosen) < count // 2:
            chosen.add(transaction_id)
        if transaction_id in chosen:
            taken.append(event)
    return taken
