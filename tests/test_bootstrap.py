"""The composition root: which adapters a home gets, and what its processes do when servers are away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from callers import AUTHORIZED, put_key
from cli.command import PROJECT, SPEC, always, purchase
from rung import adapters, bootstrap
from rung.adapters import NO_MIRROR, Home, dynamo_settings, kafka_settings
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.log.embedded import EmbeddedLog
from rung.log.kafka import dead_letters
from rung.log.kafka.dead_letters import DeadLetter
from rung.log.kafka.settings import KafkaSettings
from rung.log.port import Log, LogError, LogUnavailable, Position
from rung.properties import Secret
from rung.settings import (
    DynamodbSection,
    KafkaSection,
    LogSection,
    Settings,
    SettingsError,
    StoreSection,
)
from rung.store.dynamodb.settings import DynamoSettings
from rung.store.dynamodb.store import BATCH_EVENTS_MAX
from rung.store.lmdb import LmdbStore
from rung.store.memory import MemoryStore
from rung.store.port import BoundLog, Quarantined, Store, StoreBusy
from rung.transaction.routing import partition_of

KAFKA = Settings(log=LogSection(kind="kafka"), kafka=KafkaSection(bootstrap_servers="localhost:9"))
DYNAMODB = Settings(store=StoreSection(kind="dynamodb"), dynamodb=DynamodbSection(region="eu-central-1"))
BAD = Quarantined(1, 7, "not_json", "why", 99, b"{")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("RUNG_"):
            monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return an embedded home with the small campaign."""
    path = tmp_path / "home"
    bootstrap.initialise(path)
    made = bootstrap.open_home(path)
    with bootstrap.opened_store(made) as store:
        revision, record = store.catalog()
        store.put_catalog(revision, Catalog.decode(record).apply(load(SPEC, "spec"), {}).encode(), {})
    return made


# --- adapters -----------------------------------------------------------------------------------------------


def test_embedded_adapters(home: Home) -> None:
    """Without further settings log and store are embedded, and there is no mirror."""
    with (
        bootstrap.opened_log(home) as log,
        bootstrap.opened_store(home) as store,
        bootstrap.opened_mirror(home) as mirror,
    ):
        assert isinstance(log, EmbeddedLog)
        assert isinstance(store, LmdbStore)
        assert mirror is NO_MIRROR
        assert bootstrap.partitions_of(home, MemoryStore()) == 4


def test_settings_of_kafka(tmp_path: Path) -> None:
    """Every setting of Kafka reaches the log, secrets in the clear for the client alone."""
    section = KafkaSection(
        bootstrap_servers="one:1,two:2",
        topic="t",
        group_id="g",
        quarantine_topic="q",
        group_protocol="consumer",
        session_timeout_seconds=7.0,
        delivery_timeout_seconds=8.0,
        client={"sasl.password": Secret("geheim"), "security.protocol": "SASL_SSL"},
    )
    found = kafka_settings(Home(tmp_path, Settings(kafka=section)))
    assert found == KafkaSettings(
        bootstrap_servers="one:1,two:2",
        topic="t",
        group_id="g",
        quarantine_topic="q",
        group_protocol="consumer",
        session_timeout_seconds=7.0,
        delivery_timeout_seconds=8.0,
        client={"sasl.password": "geheim", "security.protocol": "SASL_SSL"},
    )
    assert "geheim" not in repr(found)


@pytest.mark.parametrize(
    ("section", "text"),
    [
        (KafkaSection(bootstrap_servers="x:1", topic="a b"), "topic 'a b' is no name of a topic"),
        (KafkaSection(bootstrap_servers="x:1", client={"acks": "0"}), "'acks' cannot be set"),
    ],
)
def test_settings_that_kafka_refuses(tmp_path: Path, section: KafkaSection, text: str) -> None:
    """What the log cannot be used with is an error of the settings, told by file and section."""
    with pytest.raises(SettingsError, match=text) as caught:
        kafka_settings(Home(tmp_path, Settings(kafka=section)))
    assert str(caught.value).startswith(f"{tmp_path / 'rung.toml'}: [kafka]: ")


def test_settings_of_dynamodb(tmp_path: Path) -> None:
    """Every setting of DynamoDB reaches the store."""
    section = DynamodbSection("r", "http://localhost:1", "p", 1.0, 2, 3)
    found = dynamo_settings(Home(tmp_path, Settings(dynamodb=section)))
    assert found == DynamoSettings("r", "http://localhost:1", "p", 1.0, 2, 3)


def test_partitions_of_a_topic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is bound tells the partitions without the log; else the open log does, or one is opened."""
    home, store = Home(tmp_path, KAFKA), MemoryStore()
    with closing(EmbeddedLog.open(tmp_path / "log", 3, lambda: 0)) as log:
        assert bootstrap.partitions_of(home, store, log) == 3
    opened = EmbeddedLog.open(tmp_path / "other", 5, lambda: 0)
    monkeypatch.setattr(adapters, "log_of", always(opened))
    assert bootstrap.partitions_of(home, store) == 5
    store.bind(BoundLog("one", 7))
    assert bootstrap.partitions_of(home, store) == 7


class Letters:
    """Takes down what a quarantine topic is told."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.topic = settings.quarantine_topic
        self.closed = False
        self.mirrored: list[DeadLetter] = []
        self.forgotten: list[Position] = []

    def mirror(self, letters: Sequence[DeadLetter]) -> None:
        self.mirrored += letters

    def forget(self, positions: Sequence[Position]) -> None:
        self.forgotten += positions

    def close(self) -> None:
        self.closed = True


def test_the_mirror_in_a_topic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is quarantined and released reaches the topic with all that is known of it."""
    made: list[Letters] = []

    def letters(settings: KafkaSettings) -> Letters:
        made.append(Letters(settings))
        return made[-1]

    monkeypatch.setattr(dead_letters, "DeadLetters", letters)
    with bootstrap.opened_mirror(Home(tmp_path, KAFKA)) as mirror:
        mirror.put([BAD])
        mirror.forget([(1, 7)])
        (found,) = made
        assert found.topic == "rung-quarantine"
        assert found.mirrored == [DeadLetter(1, 7, "not_json", "why", 99, b"{")]
        assert found.forgotten == [Position(1, 7)]
        assert not found.closed
    assert found.closed


def test_no_mirror(tmp_path: Path) -> None:
    """Without a quarantine topic there is no mirror, and what it is told goes nowhere."""
    settings = Settings(
        log=KAFKA.log, kafka=KafkaSection(bootstrap_servers="localhost:9", quarantine_topic="")
    )
    with bootstrap.opened_mirror(Home(tmp_path, settings)) as mirror:
        assert mirror is NO_MIRROR
        mirror.put([BAD])
        mirror.forget([(1, 7)])


# --- workers ------------------------------------------------------------------------------------------------


def test_one_worker_of_an_embedded_log(home: Home) -> None:
    """An embedded log has one worker at a time."""
    with bootstrap.only_worker(home), pytest.raises(bootstrap.WorkerRuns), bootstrap.only_worker(home):
        pass
    with bootstrap.only_worker(home):
        pass


def test_many_workers_of_a_topic(tmp_path: Path) -> None:
    """With Kafka any number of workers may run on a home: the group shares the partitions."""
    home = Home(tmp_path, KAFKA)
    with bootstrap.only_worker(home), bootstrap.only_worker(home):
        assert list(tmp_path.iterdir()) == []


def test_what_a_worker_is_wired_to(home: Home) -> None:
    """A worker puts what it quarantines into the mirror before its position moves."""
    seen: list[tuple[Quarantined, int]] = []

    class Watching:
        def put(self, quarantined: Sequence[Quarantined]) -> None:
            seen.extend((one, len(store.applied())) for one in quarantined)

        def forget(self, positions: Sequence[tuple[int, int]]) -> None:
            raise AssertionError(positions)

    with bootstrap.opened_log(home) as log, bootstrap.opened_store(home) as store:
        (position,) = log.producer().append([b"no json"])
        with closing(bootstrap.make_worker(home, log, store, Watching())) as worker:
            assert worker.step(0.0) == 1
        ((event, applied),) = seen
        assert (event.partition, event.offset, event.reason, applied) == (*position, "not_json", 0)


def test_batches_for_dynamodb(home: Home) -> None:
    """A batch for DynamoDB is never larger than what it stores in a second or two."""
    with bootstrap.opened_log(home) as log:
        log.producer().append([purchase(f"t{number}").encode() for number in range(BATCH_EVENTS_MAX + 1)])
        worker = bootstrap.make_worker(Home(home.path, DYNAMODB), log, MemoryStore())
        with closing(worker):
            assert worker.step(0.0) == BATCH_EVENTS_MAX
            assert worker.step(0.0) == 1


def _fill(home: Home) -> int:
    """Append an event, trim it away before it is applied, and return its partition."""
    with bootstrap.opened_log(home) as log:
        assert isinstance(log, EmbeddedLog)
        (position,) = log.producer().append([purchase("t1").encode()])
        for partition, end in log.ends().items():
            log.append([purchase(f"u{partition}", user=_user_in(partition)).encode()])
            log.trim(partition, end + 1)
    return position.partition


def _user_in(partition: int) -> str:
    return next(user for user in map(str, range(99)) if partition_of(user.encode(), 4) == partition)


@contextmanager
def process(script: str) -> Generator[subprocess.Popen[str]]:
    """Run a script beside the test; it is stopped with SIGTERM, and has to end well."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    with subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        try:
            yield running
            running.send_signal(signal.SIGTERM)
            _, err = running.communicate(timeout=30)
            assert running.returncode == 0, err
        finally:
            running.kill()


def _lines(running: subprocess.Popen[str], until: str) -> list[dict[str, object]]:
    """Return the lines that a process writes, up to an event."""
    assert running.stderr is not None
    lines: list[dict[str, object]] = []
    while not lines or lines[-1]["event"] != until:
        line = running.stderr.readline()
        assert line, lines
        lines.append(json.loads(line))
    return lines


WORKER = "from pathlib import Path; from rung.bootstrap import worker_process; worker_process(Path({path!r}))"


def test_a_worker_that_cannot_go_on_stays(home: Home) -> None:
    """When the log has lost what comes next, the worker beside the API says so, and ends only when asked to."""
    _fill(home)
    with process(WORKER.format(path=str(home.path))) as running:
        *halted, last = _lines(running, "partition_halted")
        while "partition" in last:
            halted.append(last)
            (last,) = _lines(running, "partition_halted")
        assert {line["partition"] for line in halted} == {0, 1, 2, 3}
        assert "were trimmed away" in str(last["cause"])
        assert last["level"] == "error"
        assert running.poll() is None


def test_a_worker_of_another_log_stays(home: Home) -> None:
    """When the log is another one, the worker beside the API says so, and ends only when asked to."""
    with bootstrap.opened_store(home) as store:
        store.bind(BoundLog("another", 4))
    with process(WORKER.format(path=str(home.path))) as running:
        (line,) = _lines(running, "log_replaced")
        assert "refer to the log another of 4 partitions" in str(line["cause"])
        assert running.poll() is None


AWAY = """
from contextlib import contextmanager
from pathlib import Path
from rung import bootstrap
from rung.log.port import LogUnavailable
from rung.store.port import StoreBusy
errors = [StoreBusy("no store"), LogUnavailable("no log")]
open_log = bootstrap.opened_log
@contextmanager
def opened_log(home):
    if errors:
        raise errors.pop()
    with open_log(home) as log:
        yield log
bootstrap.opened_log = opened_log
bootstrap.worker_process(Path({path!r}))
"""


def test_a_worker_waits_for_servers(home: Home) -> None:
    """A worker beside the API waits for a log and a store that are away, says so, and works when they come."""
    with bootstrap.opened_log(home) as log:
        log.producer().append([purchase("t1").encode()])
    with process(AWAY.format(path=str(home.path))) as running:
        lines = [_lines(running, "worker_waits")[-1] for _ in range(2)]
        assert [line["cause"] for line in lines] == ["no log", "no store"]
        with bootstrap.opened_store(home, read_only=True) as store:
            while store.counters().events == 0:
                assert running.poll() is None


# --- the API ------------------------------------------------------------------------------------------------


@contextmanager
def api(home: Home, monkeypatch: pytest.MonkeyPatch) -> Generator[TestClient]:
    """Run the API of a home whose log is said to be on Kafka, and away."""

    def away(home: Home, *, read_only: bool = False) -> Log:
        raise LogUnavailable("no broker answers")

    monkeypatch.setenv("RUNG_LOG_KIND", "kafka")
    monkeypatch.setenv("RUNG_KAFKA_BOOTSTRAP_SERVERS", "localhost:9")
    monkeypatch.setattr("rung.api_home.log_of", away)
    monkeypatch.setattr("rung.structured.write_lines", always(None))
    put_key(home.path)
    made = bootstrap.api_application(home.path)
    with TestClient(made, base_url="http://127.0.0.1", headers=AUTHORIZED) as client:
        yield client


def test_the_api_without_its_log(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API starts and tells statuses while Kafka is away; only events and readiness wait for it."""
    with bootstrap.opened_store(home) as store:
        store.bind(BoundLog("one", 4))
    with api(home, monkeypatch) as client:
        document = client.get("/v1/users/ann/status?at=2021-08-04").json()
        assert document["as_of"]["partition"] == partition_of(b"ann", 4)
        assert [one["campaign"] for one in document["campaigns"]] == ["small"]
        assert client.get("/v1/campaigns").status_code == 200
        assert client.get("/metrics").status_code == 200
        headers = {"content-type": "application/json"}
        assert client.post("/v1/events", content=purchase("t1"), headers=headers).status_code == 503
        assert client.get("/readyz").status_code == 503


def test_the_api_of_a_store_that_saw_no_log(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a store is bound to a log, only the log knows its partitions: statuses wait for it."""
    with api(home, monkeypatch) as client:
        answer = client.get("/v1/users/ann/status")
        assert (answer.status_code, answer.json()["code"]) == (503, "log_unavailable")
        assert client.get("/healthz").status_code == 200


def _refused(error: Exception) -> object:
    def refuse(home: Home, *, read_only: bool = False) -> Store:
        raise error

    return refuse


@pytest.mark.parametrize(
    ("settings", "name", "error"),
    [
        (KAFKA, "log_of", LogError("there is no topic")),
        (DYNAMODB, "store_of", StoreBusy("it does not answer")),
    ],
)
def test_no_server_without_its_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, name: str, error: Exception
) -> None:
    """What no waiting mends, or what every answer needs, is told before any process is started."""
    monkeypatch.setattr(adapters, name, _refused(error))
    with pytest.raises(type(error), match=str(error)):
        bootstrap.serve(Home(tmp_path, settings), None, None, print)
