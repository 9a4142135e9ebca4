"""A running API for tests, over a store in memory and a real log."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from callers import AUTHORIZED, KEYS
from cli.command import SPEC
from rung.access.subjects import AuthorisedUser
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.log.embedded import EmbeddedLog
from rung.speed.worker import Worker, WorkerSettings
from rung.status.api import Limits, Services, application
from rung.status.explanation import Explanation
from rung.status.gate import Gate
from rung.status.parameters import ExplainQuery
from rung.store.memory import MemoryStore
from rung.store.port import Counters, Standing
from rung.transaction.times import parse_time

PARTITIONS = 4
ANN = "/v1/users/ann/status"
NDJSON = {"content-type": "application/x-ndjson"}


@dataclass
class Clock:
    """A clock that stands still until a test moves it: 2021-08-04T12:00:00Z."""

    now: int = parse_time("2021-08-04T12:00:00Z") or 0

    def __call__(self) -> int:
        return self.now


class FragileStore(MemoryStore):
    """A store in memory that fails at every read once it is given an error."""

    error: Exception | None = None

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def standings(self, users: Sequence[tuple[bytes, int]]) -> Sequence[Standing]:
        self._check()
        return super().standings(users)

    def catalog(self) -> tuple[int, bytes | None]:
        self._check()
        return super().catalog()

    def applied(self) -> Any:
        self._check()
        return super().applied()

    def counters(self) -> Counters:
        self._check()
        return super().counters()


@dataclass
class Rig:
    """A running API, and what it stands on."""

    client: TestClient
    store: FragileStore
    log: EmbeddedLog
    clock: Clock
    closed: list[bool] = field(default_factory=list[bool])

    def apply(self, spec: str) -> None:
        """Apply a campaign, as `rung campaign apply` does."""
        revision, record = self.store.catalog()
        starts = self.store.reached()
        catalog = Catalog.decode(record).apply(load(spec, "spec"), starts)
        self.store.put_catalog(revision, catalog.encode(), starts)

    def work(self) -> None:
        """Apply all that is in the log."""
        worker = Worker(self.log.consumer(), self.store, WorkerSettings(), self.clock)
        try:
            while worker.step(0.0):
                pass
        finally:
            worker.close()

    def post(self, *events: str | bytes, expected: int = 202) -> Any:
        """Post a batch, and return the answer's document."""
        lines = [event.encode() if isinstance(event, str) else event for event in events]
        answer = self.client.post("/v1/events", content=b"\n".join(lines), headers=NDJSON)
        assert answer.status_code == expected, answer.text
        return answer.json()

    def counting(self, path: str = ANN) -> Any:
        """Return what counts for ann now, in the first campaign."""
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()["campaigns"][0]["counting"]

    def problem(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Return the problem that a request is answered with, after checking its form."""
        answer = self.client.request(method, path, **more)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        document = answer.json()
        assert document["status"] == answer.status_code
        assert document["type"] == f"urn:rung:problem:{document['code']}"
        assert document["title"]
        return document

    def samples(self) -> dict[tuple[str, ...], float]:
        """Return every metric: (name, label values...) -> value."""
        answer = self.client.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return {
            (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }


def unexplained(user: AuthorisedUser, query: ExplainQuery) -> Explanation:
    """Explain nothing."""
    raise AssertionError((user, query))


def open_gate(clock: Clock) -> Gate:
    """Return a gate that lets `KEY` do everything."""
    return Gate(lambda: KEYS, None, clock)


@contextmanager
def running(
    folder: Path,
    limits: Limits | None = None,
    gate_of: Callable[[Clock], Gate] = open_gate,
    explain: Callable[[AuthorisedUser, ExplainQuery], Explanation] = unexplained,
    allowed_origins: tuple[str, ...] = (),
) -> Generator[Rig]:
    """Run an API with the small campaign; its client has `KEY`."""
    clock, store = Clock(), FragileStore()
    log = EmbeddedLog.open(folder / "log", PARTITIONS, clock)
    closed: list[bool] = []
    try:
        services = Services(
            store,
            log,
            log.producer(),
            clock,
            lambda: closed.append(True),
            gate_of(clock),
            explain,
            limits or Limits(),
            allowed_origins=allowed_origins,
        )
        with TestClient(
            application(services),
            base_url="http://127.0.0.1",
            raise_server_exceptions=False,
            headers=AUTHORIZED,
        ) as client:
            rig = Rig(client, store, log, clock, closed)
            rig.apply(SPEC)
            yield rig
            store.error = None
        assert closed == [True]
    finally:
        log.close()
