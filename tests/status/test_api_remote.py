"""The API over a store and a log that are elsewhere: what it says while one of them does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from callers import AUTHORIZED, KEYS
from cli.command import SPEC, purchase
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.log.embedded import EmbeddedLog
from rung.log.port import LogError, LogIdentity, LogUnavailable, Position
from rung.speed.worker import Worker, WorkerSettings
from rung.status.api import Limits, Services, application
from rung.status.gate import Gate
from rung.status.lag import Stuck
from rung.store.memory import MemoryStore
from rung.store.port import Standing, StoreBusy
from status.api_rig import FragileStore, unexplained

ANN = "/v1/users/ann/status?at=2021-08-04"
JSON = {"content-type": "application/json"}
EVENT = purchase("t1").encode()


class RemoteStore(FragileStore):
    """A store that can be busy; it knows which threads asked it."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[threading.Thread] = set()

    def _check(self) -> None:
        self.threads.add(threading.current_thread())
        super()._check()


class RemoteLog:
    """A log that can be out of reach, and can be another one all of a sudden."""

    def __init__(self, log: EmbeddedLog) -> None:
        self.log = log
        self.away = False
        self.error: LogError = LogUnavailable("secret of the log")
        self.name = ""
        self.threads: set[threading.Thread] = set()

    def _reached(self) -> EmbeddedLog:
        self.threads.add(threading.current_thread())
        if self.away:
            raise self.error
        return self.log

    def identity(self) -> LogIdentity:
        found = self._reached().identity()
        return LogIdentity(self.name or found.name, found.partitions)

    def starts(self) -> Mapping[int, int]:
        return self._reached().starts()

    def ends(self) -> Mapping[int, int]:
        return self._reached().ends()

    def appended_at(self, position: Position) -> int:
        return self._reached().appended_at(position)

    def append(self, payloads: Sequence[bytes]) -> Sequence[Position]:
        return self._reached().append(payloads)

    def close(self) -> None:
        """Leave the log to the test."""


@dataclass
class Rig:
    """A running API, and what it stands on."""

    client: TestClient
    store: RemoteStore
    log: RemoteLog
    in_loop: InLoop | None = None

    def work(self) -> None:
        """Apply all that is in the log."""
        worker = Worker(self.log.log.consumer(), self.store, WorkerSettings(), lambda: 0)
        while worker.step(0.0):
            pass
        worker.close()

    def refused(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Return the problem that a request is answered with, 503; nothing of the cause is told."""
        answer = self.client.request(method, path, **more)
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert "secret" not in answer.text
        document = answer.json()
        if document["code"] != "not_ready":
            assert answer.headers["retry-after"] == "2"
        return document

    def metrics(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Return the samples of each metric."""
        answer = self.client.get("/metrics")
        assert answer.status_code == 200
        return {
            family.name: [(dict(sample.labels), sample.value) for sample in family.samples]
            for family in text_string_to_metric_families(answer.text)
        }


@contextmanager
def running(
    folder: Path, *, partitions: int | None = 4, in_loop: Callable[[MemoryStore], InLoop] | None = None
) -> Generator[Rig]:
    store = RemoteStore()
    standings = None if in_loop is None else in_loop(store)
    embedded = EmbeddedLog.open(folder / "log", 4, lambda: 0)
    log = RemoteLog(embedded)
    revision, record = store.catalog()
    catalog = Catalog.decode(record).apply(load(SPEC, "spec"), {})
    store.put_catalog(revision, catalog.encode(), {})
    store.threads.clear()
    services = Services(
        store,
        log,
        log,
        lambda: 0,
        lambda: None,
        Gate(lambda: KEYS, None, lambda: 0),
        unexplained,
        Limits(event_bytes_max=1_000),
        partitions=None if partitions is None else lambda: partitions,
        standings=standings,
        store_is_remote=True,
        log_is_remote=True,
    )
    try:
        with TestClient(
            application(services),
            base_url="http://127.0.0.1",
            raise_server_exceptions=False,
            headers=AUTHORIZED,
        ) as client:
            yield Rig(client, store, log, standings)
    finally:
        embedded.close()


@pytest.fixture
def rig(tmp_path: Path) -> Generator[Rig]:
    """Return an API with the small campaign."""
    with running(tmp_path) as made:
        yield made


def test_all_routes_answer(rig: Rig) -> None:
    """With everything in reach the routes answer as they do over an embedded store."""
    assert rig.client.post("/v1/events", content=EVENT, headers=JSON).status_code == 202
    rig.work()
    counting = rig.client.get(ANN).json()["campaigns"][0]["counting"]
    assert counting["measures"] == {"payments": 1, "total": 1_000}
    assert [one["campaign"] for one in rig.client.get("/v1/campaigns").json()["campaigns"]] == ["small"]
    assert rig.client.get("/readyz").status_code == 200
    assert sum(value for _labels, value in rig.metrics()["rung_lag_events"]) == 0


def test_the_loop_asks_nothing_itself(rig: Rig) -> None:
    """No route asks a remote store or log in the thread of the event loop."""
    loops: list[threading.Thread] = []
    assert rig.client.portal is not None
    rig.client.portal.call(lambda: loops.append(threading.current_thread()))
    for path in (ANN, "/v1/campaigns", "/readyz", "/metrics"):
        assert rig.client.get(path).status_code == 200
    assert rig.client.post("/v1/events", content=EVENT, headers=JSON).status_code == 202
    assert rig.store.threads
    assert rig.log.threads
    assert not {*loops, threading.current_thread()} & (rig.store.threads | rig.log.threads)


class InLoop:
    """Reads a store in the event loop, and knows in which thread that was."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.threads: set[threading.Thread] = set()
        self.is_closed = False

    async def read(self, users: Sequence[tuple[bytes, int]]) -> Sequence[Standing]:
        self.threads.add(threading.current_thread())
        return MemoryStore.standings(self.store, users)

    async def close(self) -> None:
        self.is_closed = True


def test_statuses_are_read_in_the_loop(tmp_path: Path) -> None:
    """A store that can be read in the event loop is, for statuses, until the server stops."""
    loops: set[threading.Thread] = set()
    with running(tmp_path, in_loop=InLoop) as rig:
        assert rig.in_loop is not None
        assert rig.client.portal is not None
        rig.client.portal.call(lambda: loops.add(threading.current_thread()))
        assert rig.client.get(ANN).status_code == 200
        assert rig.in_loop.threads == loops
        assert not rig.in_loop.is_closed
    assert rig.in_loop.is_closed


def test_without_the_log(rig: Rig) -> None:
    """While the log does not answer statuses are told; events are refused, and it is not ready."""
    rig.log.away = True
    assert rig.client.get(ANN).status_code == 200
    assert rig.client.get("/v1/campaigns").status_code == 200
    problem = rig.refused("POST", "/v1/events", content=EVENT, headers=JSON)
    assert problem["code"] == "log_unavailable"
    assert problem["detail"] == "The log does not answer now; ask again after 2 seconds."
    assert rig.refused("GET", "/readyz")["code"] == "not_ready"
    metrics = rig.metrics()
    assert metrics["rung_events_applied"]
    assert "rung_lag_events" not in metrics
    assert "rung_partition_stuck" not in metrics
    assert rig.client.get("/healthz").status_code == 200
    rig.log.away = False
    assert rig.client.get("/readyz").status_code == 200


def test_a_log_that_cannot_be_used(caplog: pytest.LogCaptureFixture, rig: Rig) -> None:
    """A log that is broken for good takes nothing else with it, and its error is in the server's log."""
    rig.log.away, rig.log.error = True, LogError("secret: no such topic")
    assert rig.client.get(ANN).status_code == 200
    problem = rig.refused("POST", "/v1/events", content=EVENT, headers=JSON)
    assert (problem["code"], "server's log says why" in problem["detail"]) == ("log_unavailable", True)
    assert rig.metrics()["rung_events_applied"]
    told = [record for record in caplog.records if record.name.startswith("rung.")]
    assert {vars(record)["cause"] for record in told} == {"secret: no such topic"}
    assert {record.getMessage() for record in told} >= {"log_unavailable", "metrics_incomplete"}


def test_an_append_that_was_not_confirmed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An append whose outcome is unknown says that sending the events again is safe."""

    def lose(payloads: Sequence[bytes]) -> Sequence[Position]:
        raise LogUnavailable("secret of the log")

    monkeypatch.setattr(rig.log, "append", lose)
    problem = rig.refused("POST", "/v1/events", content=EVENT, headers=JSON)
    assert problem["code"] == "log_unavailable"
    assert problem["detail"] == (
        "The log did not confirm the events; sending them again is safe, and due after 2 seconds."
    )


def test_a_log_never_seen(tmp_path: Path) -> None:
    """Before the number of partitions is known a status is refused; it is told as soon as the log answers."""
    with running(tmp_path, partitions=None) as rig:
        rig.log.away = True
        assert rig.refused("GET", ANN)["code"] == "log_unavailable"
        rig.log.away = False
        assert rig.client.get(ANN).status_code == 200
        rig.log.away = True
        assert rig.client.get(ANN).status_code == 200


def test_a_busy_store(rig: Rig) -> None:
    """While the store takes no more, every answer that needs it says when to ask again, and not why."""
    rig.store.error = StoreBusy("secret of the store")
    for method, path, more in (
        ("GET", ANN, {}),
        ("GET", "/v1/users/ann/campaigns/small", {}),
        ("GET", "/v1/campaigns", {}),
        ("POST", "/v1/events", {"content": EVENT, "headers": JSON}),
    ):
        problem = rig.refused(method, path, **more)
        assert problem["code"] == "store_busy"
        assert problem["detail"] == (
            "The store does not answer, or takes no more now; ask again after 2 seconds."
        )
    assert rig.refused("GET", "/readyz")["code"] == "not_ready"
    metrics = rig.metrics()
    assert "rung_events_applied" not in metrics
    assert metrics["rung_http_requests"]
    rig.store.error = None
    assert rig.client.get(ANN).status_code == 200


def test_stuck_partitions(rig: Rig) -> None:
    """Partitions that cannot go on make it not ready and show in the metrics; statuses stay as they were."""
    rig.client.post("/v1/events", content=EVENT, headers=JSON)
    rig.work()
    before = rig.client.get(ANN).json()["campaigns"]
    rig.log.name = "another"
    problem = rig.refused("GET", "/readyz")
    assert problem["detail"] == (
        "Partitions that cannot go on: 0 (log_replaced), 1 (log_replaced), 2 (log_replaced), 3 (log_replaced). "
        "Their statuses stay as of the last event applied."
    )
    stuck = rig.metrics()["rung_partition_stuck"]
    assert len(stuck) == 4 * len(Stuck)
    assert {labels["reason"] for labels, value in stuck if value == 1} == {"log_replaced"}
    assert sum(value for _labels, value in stuck) == 4
    assert rig.client.get(ANN).json()["campaigns"] == before


def test_an_event_that_the_log_does_not_take(rig: Rig) -> None:
    """An event larger than the log takes is refused alone, and takes no other one down."""
    large = purchase("t2", user="u" * 1_000).encode()
    answer = rig.client.post("/v1/events", content=large, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert answer.json()["detail"] == f"body: an event has {len(large):,} bytes; the log takes 1,000."
