"""A whole Rung under attack: topic, store, workers as real processes, a producer, proxies; settled and compared."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import Final, Literal, TypeAlias

from campaign_pairs import FIRST_VERSION, REFUNDS_IN_TOKYO
from faults.comparing import contents_of, differences, lost_events
from faults.feeding import Feeder
from faults.http_proxy import DynamoProxy
from faults.rung_process import RungProcess
from faults.tcp_proxy import TcpProxy
from harness import put_campaigns
from log.kafka_broker import broker
from rung import bootstrap
from rung.adapters import dynamo_settings, kafka_settings
from rung.log.kafka.log import KafkaLog
from rung.log.kafka.settings import GroupProtocol, KafkaSettings
from rung.log.kafka.topics import create_topics
from rung.log.port import Position
from rung.settings import FILE_NAME
from rung.store.dynamodb.store import DynamoStore
from rung.store.dynamodb.tables import create_tables
from rung.store.lmdb import LmdbStore
from rung.store.port import NOTHING_APPLIED, Store
from rung.traffic import TrafficSettings, generate
from servers.dynamodb import DynamoDbLocal
from servers.kafka import Kafka
from servers.ports import LOOPBACK, free_port
from store.dynamodb_local import REGION, emulator, new_settings

StoreKind: TypeAlias = Literal["lmdb", "dynamodb"]

PAIRS: Final = (FIRST_VERSION, REFUNDS_IN_TOKYO)
"""One that posts refunds to the purchase's period, and one that posts them to their own."""
SESSION_SECONDS: Final = 1.0
"""How long the group waits for a silent worker: as short as brokers allow here."""
SETTLE_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 10.0
BATCH_EVENTS_MAX: Final = 150
TRAFFIC: Final = TrafficSettings(
    seed=41,
    transactions=160,
    users=60,
    starts_at=1_304_208_000_000_000,
    transactions_per_second=0.05,
    refund_share=0.3,
    refund_seconds_max=4_000_000,
    failure_share=0.05,
    cancel_share=0.05,
    duplicate_share=0.2,
    reorder_seconds=3_600,
    gap_share=0.2,
    poison_share=0.04,
    user_attribute_share=0.1,
    attributes={"country": ("United Kingdom", "France"), "lines": (1, 6), "gift": (True, False)},
    user_attributes={"premium": (True, False), "points": (1, 5)},
    chunk_events=20,
)
"""About 450 events, without conflicts: which of two claims in two partitions comes first is open."""

_numbers: Iterator[int] = count()


def events_of(traffic: TrafficSettings) -> list[bytes]:
    """Return all events of traffic, in the order of their arrival."""
    return list(chain.from_iterable(generate(traffic)))


def wait_until(holds: Callable[[], bool], what: str, seconds_max: float = 30.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds_max
    while not holds():
        assert time.monotonic() < deadline, f"not in {seconds_max:g} s: {what}"
        time.sleep(0.02)


@contextmanager
def proxied_kafka(folder: Path, seed: int = 0) -> Generator[tuple[Kafka, TcpProxy]]:
    """Start a broker that may be broken; it sends its clients to the proxy before it."""
    port = free_port()
    with (
        TcpProxy(LOOPBACK, port, seed) as proxy,
        Kafka.start(
            folder,
            port=port,
            advertised=(LOOPBACK, proxy.port),
            properties={"group.consumer.heartbeat.interval.ms": "200"},
        ) as kafka,
    ):
        yield kafka, proxy


@dataclass
class Scene:
    """One home with everything around it; make it with `staged`."""

    folder: Path
    kafka: Kafka
    kafka_proxy: TcpProxy | None
    local: DynamoDbLocal | None
    dynamo_proxy: DynamoProxy | None
    settings: KafkaSettings
    log: KafkaLog
    store: Store
    feeder: Feeder
    workers: list[RungProcess] = field(default_factory=list[RungProcess])

    @property
    def home(self) -> Path:
        """The folder that the workers share."""
        return self.folder / "home"

    @property
    def proxy(self) -> DynamoProxy:
        """The proxy before the store."""
        assert self.dynamo_proxy is not None
        return self.dynamo_proxy

    def rung(self, *arguments: str, arms: Sequence[str] = ()) -> RungProcess:
        """Start a command on the home, with arms of `faults.armed`."""
        name = f"{arguments[0]}-{next(_numbers)}"
        command = ["--home", str(self.home), *arguments]
        return RungProcess(name, self.folder / name, command, arms).launch()

    def start_worker(self, *arms: str) -> RungProcess:
        """Start a worker, with arms of `faults.armed`."""
        worker = self.rung("worker", arms=arms)
        self.workers.append(worker)
        return worker

    def running_workers(self) -> list[RungProcess]:
        """Return the workers that are there, standing still or not."""
        return [worker for worker in self.workers if worker.running]

    def feed(self, traffic: TrafficSettings = TRAFFIC) -> None:
        """Append all of the traffic."""
        self.feeder.append(events_of(traffic))

    def applied(self) -> dict[int, int]:
        """Return the last offset applied of each partition (-1: none)."""
        stored = self.store.applied()
        return {p: stored.get(p, NOTHING_APPLIED).offset for p in range(self.log.partitions)}

    def lag(self) -> int:
        """Return how many events are not applied."""
        applied = self.applied()
        return sum(max(0, end - 1 - applied[partition]) for partition, end in self.log.ends().items())

    def heal(self) -> None:
        """End every fault: servers run and answer, calls pass, and no worker stands still."""
        if self.kafka_proxy is not None:
            self.kafka_proxy.heal()
        if self.dynamo_proxy is not None:
            self.dynamo_proxy.clear()
        for server in (self.kafka, self.local):
            if server is not None:
                if server.running:
                    server.resume()
                else:
                    server.launch()
        for worker in self.running_workers():
            worker.resume()

    def settle(self) -> None:
        """Heal, see to it that a worker runs, and demand that everything is applied within a minute."""
        self.feeder.stop()
        self.heal()
        ended = [worker for worker in self.workers if not worker.running and not worker.is_settled]
        assert not ended, f"{ended[0].name} ended by itself: {ended[0].printed()[-2_000:]}"
        if not self.running_workers():
            self.start_worker()
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while (lag := self.lag()) > 0:
            texts = [f"{worker.name}: {worker.printed()[-1_000:]}" for worker in self.running_workers()]
            assert time.monotonic() < deadline, f"{lag} events are not applied: {texts}"
            time.sleep(0.05)

    def compare(
        self,
        contents: Mapping[Position, bytes] | None = None,
        refused: Mapping[Position, str] | None = None,
        winners: Mapping[str, str] | None = None,
    ) -> None:
        """Demand that the store is what the oracle makes of the topic, or of the contents given.

        And if the topic was not tampered with: that it has what was acknowledged, and nothing that was not sent.
        """
        found = self.differences(contents, refused, winners)
        assert found == []

    def differences(
        self,
        contents: Mapping[Position, bytes] | None = None,
        refused: Mapping[Position, str] | None = None,
        winners: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Return what `compare` demands to be nothing."""
        whole = contents_of(self.log) if contents is None else contents
        assert whole, "nothing was compared"
        found = differences(self.store, whole, PAIRS, refused or {}, winners or {})
        return found if contents is not None else [*found, *lost_events(self.feeder, whole)]

    def stop_workers(self) -> None:
        """Ask all workers to end, and demand that they do so in good order and time."""
        running = self.running_workers()
        for worker in running:
            worker.resume()
            # One that has just been started does not know how to end in good order yet.
            worker.wait_for_text("Partitions")
            worker.terminate()
        for worker in running:
            code, is_new = worker.ended(STOP_SECONDS_MAX), not worker.printed()
            # One that has just been started does not listen to signals yet.
            assert code == 0 or (is_new and code == -signal.SIGTERM), (worker.name, code, worker.printed())

    def close(self) -> None:
        """Kill what still runs, and forget the rest."""
        for worker in self.workers:
            worker.kill()


@contextmanager
def staged(
    folder: Path,
    store: StoreKind,
    *,
    kafka: tuple[Kafka, TcpProxy] | None = None,
    local: DynamoDbLocal | None = None,
    is_proxied: bool = False,
    protocol: GroupProtocol = "classic",
    partitions: int = 4,
    session_seconds: float = SESSION_SECONDS,
    seed: int = 0,
) -> Generator[Scene]:
    """Set a scene: a home, its topics and tables, the campaigns applied; no worker yet.

    Args:
        folder: An empty folder.
        store: The kind of store.
        kafka: A broker that may be broken and the proxy before it; None is the one that all tests share.
        local: An emulator that may be broken; None is the one that all tests share.
        is_proxied: Whether there is a proxy between the workers and DynamoDB.
        protocol: How the workers share the partitions.
        partitions: How many the topic has.
        session_seconds: How long the group waits for a silent worker, by the classic protocol.
        seed: What the proxy before DynamoDB draws from.
    """
    with ExitStack() as opened:
        chosen_kafka, kafka_proxy = kafka or (broker(), None)
        chosen_local = local or emulator() if store == "dynamodb" else None
        dynamo_proxy = None
        endpoint = chosen_local.endpoint if chosen_local is not None else ""
        if is_proxied:
            dynamo_proxy = opened.enter_context(DynamoProxy(endpoint, seed))
            endpoint = dynamo_proxy.endpoint
        home = folder / "home"
        home.mkdir(parents=True)
        (home / FILE_NAME).write_text(
            _settings_text(chosen_kafka.bootstrap, store, endpoint, protocol, session_seconds),
            encoding="utf-8",
        )
        made = bootstrap.open_home(home)
        settings = kafka_settings(made)
        create_topics(settings, partitions, 1)
        own_store: Store
        if chosen_local is not None:
            reached = replace(dynamo_settings(made), endpoint_url=chosen_local.endpoint, attempts_max=20)
            create_tables(reached)
            own_store = DynamoStore.open(reached)
            put_campaigns(own_store, PAIRS)
        else:
            with closing(LmdbStore(made.store_folder)) as writing:
                put_campaigns(writing, PAIRS)
            own_store = LmdbStore(made.store_folder, read_only=True)
        opened.enter_context(closing(own_store))
        log = opened.enter_context(closing(KafkaLog.open(settings)))
        feeder = opened.enter_context(closing(Feeder(log.producer())))
        scene = Scene(
            folder,
            chosen_kafka,
            kafka_proxy,
            local,
            dynamo_proxy,
            settings,
            log,
            own_store,
            feeder,
        )
        opened.enter_context(closing(scene))
        yield scene
        # Whatever happened to them, those that are left end in good order.
        scene.stop_workers()


def _settings_text(
    bootstrap_servers: str, store: StoreKind, endpoint: str, protocol: GroupProtocol, session_seconds: float
) -> str:
    name = new_settings(endpoint or "none").table_prefix
    return f"""
[log]
kind = "kafka"
[kafka]
bootstrap_servers = "{bootstrap_servers}"
topic = "{name}-events"
group_id = "{name}"
quarantine_topic = "{name}-quarantine"
group_protocol = "{protocol}"
session_timeout_seconds = {session_seconds}
delivery_timeout_seconds = 3.0
[store]
kind = "{store}"
[dynamodb]
region = "{REGION}"
endpoint_url = "{endpoint}"
table_prefix = "{name}"
request_timeout_seconds = 2.0
attempts_max = 4
[worker]
batch_events_max = {BATCH_EVENTS_MAX}
idle_wait_seconds = 0.1
[lake]
archive_wait_seconds = 0.2
"""
