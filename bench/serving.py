"""The served product: status reads a second, and how soon an event shows while it is busy."""

from __future__ import annotations

import http.client
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.report import Figure
from bench.speed import USERS, Traffic

REPEATS = 3
CONNECTIONS = 64
READS_PER_SECOND = 10_000
EVENTS_PER_SECOND = 10_000
POST_EVENTS = 200
PROBES_PER_SECOND = 20
SCRIPT = Path(__file__).with_name("status.lua")


@dataclass(frozen=True, slots=True)
class Reads:
    """What wrk saw."""

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


@contextmanager
def serving(home: Path) -> Iterator[int]:
    """Run `rung serve` on a home, and give its port."""
    command = [sys.executable, "-c", "from rung.cli.main import main; main()"]
    with subprocess.Popen(
        [*command, "--home", str(home), "serve", "--port", "0"], stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stderr is not None
            for line in server.stderr:
                found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
                if found:
                    break
            else:
                raise SystemExit("error: rung serve ended before it listened")
            # Somebody has to read on, or the server would wait for room in the pipe.
            threading.Thread(target=server.stderr.read, daemon=True).start()
            yield int(found[1])
        finally:
            server.terminate()
            server.wait(20)


def read_statuses(port: int, users: int, seconds: int, connections: int, delay_ms: int) -> Reads:
    """Let wrk read statuses of random users."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("error: wrk is not installed. On Debian and Ubuntu: apt-get install wrk")
    seed = random.SystemRandom().randrange(2**31)
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}"]
    arguments = [str(users), str(delay_ms), str(seed)]
    printed = subprocess.run([wrk, *options, "--", *arguments], capture_output=True, text=True, check=True).stdout
    found = re.search(r"RESULT (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)", printed)
    if found is None:
        raise SystemExit(f"error: wrk printed no result:\n{printed}")
    requests, microseconds, p50, p99, errors = (float(text) for text in found.groups())
    return Reads(requests / microseconds * 1_000_000, p50 / 1_000, p99 / 1_000, int(errors))


def measure(home: Path, scale: float) -> Iterator[Figure]:
    """Measure on a home that has the users of `bench.speed`."""
    users = max(1_000, int(USERS * scale))
    seconds = 10 if scale >= 1 else 3
    with serving(home) as port:
        read_statuses(port, users, 1, CONNECTIONS, 0)
        peak = [read_statuses(port, users, seconds, CONNECTIONS, 0) for _ in range(REPEATS)]
        errors = sum(reads.errors for reads in peak)
        yield Figure(
            "status API",
            "requests/s",
            [reads.per_second for reads in peak],
            ">= 30000",
            f"wrk on the same cores, {CONNECTIONS} connections, {errors} errors",
        )
        yield Figure("status API, p99", "ms", [reads.p99_ms for reads in peak], "<= 10")
        yield from _mixed(port, users, seconds)


class _Poster(threading.Thread):
    """Posts events at a steady rate."""

    def __init__(self, port: int, users: int, seconds: float) -> None:
        super().__init__(name="poster")
        self._port = port
        self._seconds = seconds
        count = int(EVENTS_PER_SECOND * seconds)
        self._events = Traffic(users, max(1, count // 2)).chunk(seed=time.time_ns() % 1_000_000_007)
        self.posted = 0
        self.rate = 0.0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        started = time.perf_counter()
        for first in range(0, len(self._events), POST_EVENTS):
            due = started + first / EVENTS_PER_SECOND
            time.sleep(max(0.0, due - time.perf_counter()))
            body = b"\n".join(self._events[first : first + POST_EVENTS])
            connection.request("POST", "/v1/events", body, {"content-type": "application/x-ndjson"})
            response = connection.getresponse()
            response.read()
            if response.status != http.HTTPStatus.ACCEPTED:
                raise SystemExit(f"error: POST /v1/events answered {response.status}")
            self.posted += min(POST_EVENTS, len(self._events) - first)
        self.rate = self.posted / (time.perf_counter() - started)


class _Prober(threading.Thread):
    """Posts one event after the other, and looks when the status shows each."""

    def __init__(self, port: int, seconds: float) -> None:
        super().__init__(name="prober")
        self._port = port
        self._seconds = seconds
        self.after_sent_ms: list[float] = []
        self.after_accepted_ms: list[float] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        name = f"probe-{time.time_ns()}"
        started = time.perf_counter()
        for number in range(int(self._seconds * PROBES_PER_SECOND)):
            time.sleep(max(0.0, started + number / PROBES_PER_SECOND - time.perf_counter()))
            step = {"status": "COMPLETED", "at": datetime.now(UTC).isoformat(), "amount": 500}
            event = {"transaction_id": f"{name}-{number}", "user_id": name, "history": [step]}
            sent = time.perf_counter()
            connection.request("POST", "/v1/events", json.dumps(event), {"content-type": "application/json"})
            connection.getresponse().read()
            accepted = time.perf_counter()
            while self._payments(connection, name) <= number:
                time.sleep(0.002)
            seen = time.perf_counter()
            self.after_sent_ms.append((seen - sent) * 1_000)
            self.after_accepted_ms.append((seen - accepted) * 1_000)

    def _payments(self, connection: http.client.HTTPConnection, name: str) -> int:
        connection.request("GET", f"/v1/users/{name}/status")
        (campaign,) = json.loads(connection.getresponse().read())["campaigns"]
        return campaign["counting"]["measures"]["payments"]


def _mixed(port: int, users: int, seconds: int) -> Iterator[Figure]:
    """Read and ingest at steady rates, and watch how soon events show."""
    poster, prober = _Poster(port, users, seconds), _Prober(port, seconds)
    poster.start()
    prober.start()
    # Each connection waits 10 ms before a request, so a hundred of them come to 10,000 a second,
    # and some more make up for the time that an answer takes.
    reads = read_statuses(port, users, seconds, READS_PER_SECOND // 100 * 125 // 100, 10)
    poster.join()
    prober.join()
    yield Figure("mixed: reads", "requests/s", [reads.per_second], ">= 10000", f"{reads.errors} errors")
    yield Figure("mixed: reads, p99", "ms", [reads.p99_ms])
    yield Figure("mixed: events ingested", "events/s", [poster.rate], ">= 9900", f"in posts of {POST_EVENTS}")
    for name, samples, target in (
        ("mixed: event visible after 202, p99", prober.after_accepted_ms, "<= 250"),
        ("mixed: event visible after sending, p99", prober.after_sent_ms, "<= 250"),
        ("mixed: event visible after sending, p50", prober.after_sent_ms, ""),
    ):
        part = 99 if "p99" in name else 50
        yield Figure(name, "ms", [statistics.quantiles(samples, n=100)[part - 1]], target, f"{len(samples)} probes")
