"""kill -9 of `rung serve` under load: what was acknowledged stays, and every figure is right afterwards."""

from __future__ import annotations

import http.client
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import msgspec
import pytest

from callers import AUTHORIZED, put_key
from campaign_pairs import FIRST_VERSION, NULLS, REFUNDS_IN_TOKYO
from cli.command import program, start
from harness import stored_figures
from oracle import Oracle
from rung.log.embedded import EmbeddedLog
from rung.store.lmdb import LmdbStore
from rung.traffic import TrafficSettings, generate
from strategies import ATTRIBUTE_VALUES, USER_ATTRIBUTE_VALUES

KILLS = 20
CLIENTS = 2
PAIRS = (FIRST_VERSION, REFUNDS_IN_TOKYO, NULLS)
TRAFFIC = TrafficSettings(
    seed=23,
    transactions=1_000_000,
    users=400,
    starts_at=1_304_208_000_000_000,
    transactions_per_second=0.05,
    refund_share=0.2,
    refund_seconds_max=100_000,
    failure_share=0.05,
    cancel_share=0.05,
    duplicate_share=0.2,
    reorder_seconds=3_600,
    gap_share=0.2,
    poison_share=0.02,
    user_attribute_share=0.1,
    attributes=ATTRIBUTE_VALUES,
    user_attributes=USER_ATTRIBUTE_VALUES,
    chunk_events=40,
)
"""Without conflicts: which of two comes first is open when a batch is sent again."""


class LogPosition(msgspec.Struct):
    """Where an event stands, as the API says it."""

    partition: int
    offset: int


class Accepted(msgspec.Struct):
    """The answer to a batch: how many events, and where the last one stands."""

    accepted: int
    position: LogPosition


@dataclass
class Client:
    """Sends batches, one after the other, and again whenever the outcome is unknown."""

    batches: Iterator[list[bytes]]
    lock: threading.Lock
    acknowledged: list[tuple[list[bytes], LogPosition]] = field(
        default_factory=list[tuple[list[bytes], LogPosition]]
    )
    sent: Counter[bytes] = field(default_factory=Counter[bytes])
    unknown: int = 0
    pending: list[bytes] | None = None

    def run(self, port: int) -> None:
        """Send until the server is gone."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            while True:
                if self.pending is None:
                    with self.lock:
                        self.pending = next(self.batches)
                self.sent.update(self.pending)
                headers = {"content-type": "application/x-ndjson", **AUTHORIZED}
                connection.request("POST", "/v1/events", b"\n".join(self.pending), headers)
                answer = connection.getresponse()
                body = answer.read()
                assert answer.status == 202, body
                accepted = msgspec.json.decode(body, type=Accepted)
                assert accepted.accepted == len(self.pending)
                self.acknowledged.append((self.pending, accepted.position))
                self.pending = None
        except (OSError, http.client.HTTPException):
            self.unknown += self.pending is not None
        finally:
            connection.close()


@contextmanager
def serving(home: Path) -> Generator[tuple[subprocess.Popen[str], int]]:
    """Serve a home to whoever has the key, and give the process and the port once it answers."""
    put_key(home)
    with start("--home", home, "serve", "--port", "0") as process:
        try:
            assert process.stderr is not None
            line = ""
            while "Status page: " not in line:
                line = process.stderr.readline()
                assert line, process.wait()
            yield process, int(line.rpartition(":")[2].strip().strip("/"))
        finally:
            process.kill()


def children_of(process: int) -> list[int]:
    """Return the API process and the worker of a server, without Python's own resource tracker."""
    while True:
        tasks = Path(f"/proc/{process}/task").iterdir()
        # A thread that ends meanwhile leaves its children to another one, which may have been asked before.
        with suppress(FileNotFoundError):
            found = [int(child) for task in tasks for child in (task / "children").read_text("ascii").split()]
            break
    return [
        child for child in found if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def wait_until_gone(processes: list[int]) -> None:
    """Wait until processes have ended: those whose parent was killed notice it by themselves."""
    deadline = time.monotonic() + 10
    while any(alive(process) for process in processes):
        assert time.monotonic() < deadline, "a process outlives the one that was killed"
        time.sleep(0.01)


def alive(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.timeout(900)
def test_kill_minus_nine_loses_nothing(tmp_path: Path) -> None:
    """Twenty kills at seeded moments: each 202 is kept, nothing is made up, every user equals the oracle."""
    home, moments = tmp_path / "home", random.Random(20)
    assert program("--home", home, "init").code == 0
    for number, pair in enumerate(PAIRS):
        spec = tmp_path / f"{number}.yaml"
        spec.write_text(pair.spec, encoding="utf-8")
        assert program("--home", home, "campaign", "apply", spec).code == 0

    batches, lock = generate(TRAFFIC), threading.Lock()
    clients = [Client(batches, lock) for _ in range(CLIENTS)]
    busy_rounds = 0
    for _ in range(KILLS):
        before = sum(len(client.acknowledged) for client in clients)
        with serving(home) as (process, port):
            threads = [threading.Thread(target=client.run, args=(port,)) for client in clients]
            for thread in threads:
                thread.start()
            family = children_of(process.pid)
            assert len(family) == 2
            time.sleep(moments.uniform(0.02, 0.8))
            # The whole family at once, as when a machine fails, or its head alone, or any one of them.
            victims = moments.choice(
                [[process.pid, *family]] * 3 + [[process.pid]] * 3 + [[one] for one in family]
            )
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            process.wait(timeout=20)
            wait_until_gone(family)
            for thread in threads:
                thread.join(timeout=40)
                assert not thread.is_alive()
        busy_rounds += sum(len(client.acknowledged) for client in clients) > before
    assert busy_rounds >= KILLS * 3 // 4
    assert sum(client.unknown for client in clients) >= KILLS // 2

    ended = program("--home", home, "worker", "--until-caught-up")
    assert ended.code == 0, ended.err
    check(home, clients)


def check(home: Path, clients: list[Client]) -> None:
    """Compare the log with what was sent and acknowledged, and the store with the log."""
    log = EmbeddedLog.open_to_read(home / "log")
    try:
        ends = log.ends()
        partitions = [
            list(chain.from_iterable(part.payloads for part in log.scan(partition, 0, end)))
            for partition, end in ends.items()
        ]
    finally:
        log.close()
    logged = Counter(chain.from_iterable(partitions))
    acknowledged = Counter[bytes]()
    for client in clients:
        for batch, position in client.acknowledged:
            acknowledged.update(batch)
            assert partitions[position.partition][position.offset] == batch[-1]
    sent = sum((client.sent for client in clients), Counter[bytes]())
    assert acknowledged.total() > KILLS * 40
    assert acknowledged - logged == Counter()
    assert logged - sent == Counter()

    oracle = Oracle([pair.oracle for pair in PAIRS]).apply_all(chain.from_iterable(partitions))
    store = LmdbStore(home / "store", read_only=True)
    try:
        assert {partition: state.offset + 1 for partition, state in store.applied().items()} == dict(ends)
        assert stored_figures(store) == oracle.figures()
        counters = store.counters()
        assert counters.events == oracle.events - len(oracle.quarantined)
        assert counters.quarantined == Counter(reason for _, reason in oracle.quarantined)
    finally:
        store.close()
