"""The served product: status reads a second, and how soon an event shows while it is busy."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from bench.report import Figure
from bench.speed import USERS, Traffic
from bench.tokens import SETTINGS as TOKEN_SETTINGS
from bench.tokens import write_tokens

REPEATS = 3
CONNECTIONS = 64
READS_PER_SECOND = 10_000
EVENTS_PER_SECOND = 10_000
POST_EVENTS = 200
POSTERS = 4
PROBES_PER_SECOND = 20
# Enough of them that a slow one never holds up the next one's start.
PROBERS = 16
PROBE_SECONDS_MAX = 30.0
LOOK_EVERY_SECONDS = 0.003
TOKENS = 10_000
UNLIMITED = "1e9"
SETTINGS = {
    f"RUNG_API_{caller}_{limit}": UNLIMITED if limit == "REQUESTS_PER_SECOND" else "1000000000"
    for caller in ("USER", "KEY")
    for limit in ("REQUESTS_PER_SECOND", "BURST")
}
SCRIPT = Path(__file__).with_name("status.lua")


@dataclass(frozen=True, slots=True)
class Server:
    """A running `rung serve`."""

    process_id: int
    port: int
    home: Path
    key: str = ""


@dataclass(frozen=True, slots=True)
class Reads:
    """What wrk saw; `late` is the share of paced requests that were sent over 10 ms too late."""

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    late: float


@dataclass(frozen=True, slots=True)
class Mixed:
    """What one run of reads beside events showed."""

    reads: Reads
    events_per_second: float
    after_sent_ms: list[float]
    after_accepted_ms: list[float]


@contextmanager
def serving(home: Path, settings: Mapping[str, str] = MappingProxyType({})) -> Generator[Server]:
    """Run `rung serve` on a home, for a service with a key that may ask as often as it likes."""
    command = [sys.executable, "-c", "from rung.cli.main import main; main()", "--home", str(home)]
    scopes = ["--scope", "status:read", "--scope", "events:write"]
    # Each run has a service of its own: none of them takes another key's place.
    made = [*command, "keys", "create", f"bench-{time.time_ns()}", *scopes]
    key = subprocess.run(made, check=True, capture_output=True, text=True).stdout.strip()
    with subprocess.Popen(
        [*command, "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **SETTINGS, **settings},
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
            yield Server(server.pid, int(found[1]), home, key)
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def read_statuses(
    server: Server,
    users: int,
    seconds: int,
    per_second: int = 0,
    connections: int = CONNECTIONS,
    tokens: Path | None = None,
) -> Reads:
    """Let wrk read statuses of random users, as fast as it can or at a steady rate.

    A service with the server's key asks for them, or each user with a token of the file.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("error: wrk is not installed. On Debian and Ubuntu: apt-get install wrk")
    url = f"http://127.0.0.1:{server.port}"
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(SCRIPT), url]
    arguments = [str(users), str(per_second), str(random.randrange(2**31)), server.key]
    arguments += [] if tokens is None else [str(tokens)]
    ended = subprocess.run(
        [wrk, *options, "--", *arguments], capture_output=True, text=True, check=False, timeout=seconds + 30
    )
    found = re.search(r"RESULT (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+) ([\d.]+)", ended.stdout)
    if found is None:
        raise SystemExit(f"error: wrk printed no result:\n{ended.stdout}{ended.stderr}")
    requests, microseconds, p50, p99, errors, late = (float(text) for text in found.groups())
    return Reads(requests / microseconds * 1_000_000, p50 / 1_000, p99 / 1_000, int(errors), late)


def measure(home: Path, scale: float, profiles: dict[str, dict[str, str]]) -> Iterator[Figure]:
    """Measure on a home that has the users of `bench.speed`."""
    users = max(1_000, int(USERS * scale))
    seconds = 10 if scale >= 1 else 3
    tokens = write_tokens(home, min(TOKENS, users))
    # As many processes as there are cores: wrk and the server share them all.
    with serving(home, {**TOKEN_SETTINGS, "RUNG_API_WORKERS": str(os.cpu_count())}) as server:
        read_statuses(server, users, 2)
        with _processor_shares(server, profiles, "status API, processor time"):
            peak = [read_statuses(server, users, seconds) for _ in range(REPEATS)]
        yield Figure(
            "status API",
            "requests/s",
            [reads.per_second for reads in peak],
            ">= 30000",
            f"a service's key, wrk on the same cores, {CONNECTIONS} connections, {_errors(peak)}",
        )
        yield Figure("status API, p99", "ms", [reads.p99_ms for reads in peak], "< 10")
        # Each process looks into each token once, and knows it from then on.
        read_statuses(server, users, 10, tokens=tokens)
        own = [read_statuses(server, users, seconds, tokens=tokens) for _ in range(REPEATS)]
        note = f"each user's own token, {min(TOKENS, users):,} of them, {_errors(own)}"
        yield Figure(
            "status API, users' tokens", "requests/s", [reads.per_second for reads in own], ">= 25000", note
        )
    with serving(home) as server:
        print("Reads beside events ...", flush=True)
        read_statuses(server, users, 2)
        with _processor_shares(server, profiles, "reads beside events, processor time"):
            runs = [_mixed(server, users, 2 * seconds) for _ in range(REPEATS)]
    yield from _mixed_figures(runs)


def _errors(reads: list[Reads]) -> str:
    return f"{sum(one.errors for one in reads)} errors"


def _mixed_figures(runs: list[Mixed]) -> Iterator[Figure]:
    reads = [run.reads for run in runs]
    late = max(one.late for one in reads)
    note = f"paced, {late:.1%} over 10 ms late, {_errors(reads)}"
    # Rates that are offered exactly: a hundredth is for the ends of a run.
    yield Figure("mixed: reads", "requests/s", [one.per_second for one in reads], ">= 9900", note)
    yield Figure("mixed: reads, p99", "ms", [one.p99_ms for one in reads], note="from sending")
    yield Figure(
        "mixed: events ingested",
        "events/s",
        [run.events_per_second for run in runs],
        ">= 9900",
        f"posted, in batches of {POST_EVENTS}",
    )
    probes = f"{len(runs[0].after_sent_ms)} probes a sample"
    for name, target, part in (("p50", "", 50), ("p99", "<= 250", 99)):
        for since, samples in (
            ("202", [run.after_accepted_ms for run in runs]),
            ("sending", [run.after_sent_ms for run in runs]),
        ):
            values = [statistics.quantiles(one, n=100, method="inclusive")[part - 1] for one in samples]
            yield Figure(f"mixed: event visible after {since}, {name}", "ms", values, target, probes)


def _mixed(server: Server, users: int, seconds: int) -> Mixed:
    """Read and ingest at steady rates, and watch how soon events show."""
    events = Traffic(users, EVENTS_PER_SECOND * seconds // 2).chunk(
        seed=time.time_ns() % 1_000_000_007, starts_at=time.time_ns() // 1_000
    )
    events = events[: EVENTS_PER_SECOND * seconds]
    with ThreadPoolExecutor(POSTERS + PROBERS) as pool:
        started = time.perf_counter()
        posters = [pool.submit(_post, server, events, started, number) for number in range(POSTERS)]
        probers = [pool.submit(_probe, server, started, seconds, number) for number in range(PROBERS)]
        reads = read_statuses(server, users, seconds, READS_PER_SECOND)
        ended = max(poster.result() for poster in posters)
        probes = [probe for prober in probers for probe in prober.result()]
    return Mixed(
        reads,
        len(events) / (ended - started),
        [seen - sent for sent, _, seen in probes],
        [seen - accepted for _, accepted, seen in probes],
    )


def _post(server: Server, events: list[bytes], started: float, poster: int) -> float:
    """Post this poster's part of the events, each batch when it is due, and return when it ended."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for first in range(poster * POST_EVENTS, len(events), POSTERS * POST_EVENTS):
        batch = events[first : first + POST_EVENTS]
        # A batch is due when its last event would have happened.
        _sleep_until(started + (first + len(batch)) / EVENTS_PER_SECOND)
        headers = {"content-type": "application/x-ndjson", **_authorized(server)}
        connection.request("POST", "/v1/events", b"\n".join(batch), headers)
        _accepted(connection.getresponse())
    return time.perf_counter()


def _probe(server: Server, started: float, seconds: int, prober: int) -> list[tuple[float, float, float]]:
    """Post events of a user of its own, and return in milliseconds when each was sent, accepted and seen."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    user = f"probe-{time.time_ns()}-{prober}"
    times: list[tuple[float, float, float]] = []
    for number in range(prober, seconds * PROBES_PER_SECOND, PROBERS):
        _sleep_until(started + number / PROBES_PER_SECOND)
        step = {"status": "COMPLETED", "at": datetime.now(UTC).isoformat(), "amount": 500}
        event = {"transaction_id": f"{user}-{number}", "user_id": user, "history": [step]}
        sent = time.perf_counter()
        headers = {"content-type": "application/json", **_authorized(server)}
        connection.request("POST", "/v1/events", json.dumps(event), headers)
        _accepted(connection.getresponse())
        accepted = time.perf_counter()
        while _payments(server, connection, user) <= len(times):
            if time.perf_counter() - sent > PROBE_SECONDS_MAX:
                raise RuntimeError(f"an event did not show within {PROBE_SECONDS_MAX:.0f} s")
            time.sleep(LOOK_EVERY_SECONDS)
        seen = time.perf_counter()
        times.append((sent * 1_000, accepted * 1_000, seen * 1_000))
    return times


def _accepted(response: http.client.HTTPResponse) -> None:
    body = response.read()
    if response.status != http.HTTPStatus.ACCEPTED:
        raise RuntimeError(f"POST /v1/events answered {response.status}: {body[:200]!r}")


def _authorized(server: Server) -> dict[str, str]:
    return {"authorization": f"Bearer {server.key}"}


def _payments(server: Server, connection: http.client.HTTPConnection, user: str) -> int:
    connection.request("GET", f"/v1/users/{user}/status", headers=_authorized(server))
    (campaign,) = json.loads(connection.getresponse().read())["campaigns"]
    return campaign["counting"]["measures"]["payments"]


def _sleep_until(at: float) -> None:
    time.sleep(max(0.0, at - time.perf_counter()))


@contextmanager
def _processor_shares(server: Server, profiles: dict[str, dict[str, str]], name: str) -> Generator[None]:
    """Note how much of one core each process uses within."""
    started = time.perf_counter()
    before, own_before = _processor_seconds(server), _own_seconds()
    yield
    seconds = time.perf_counter() - started
    after = _processor_seconds(server)
    shares = {part: spent - before.get(part, 0.0) for part, spent in after.items()}
    for part, own_then, own_at_first in zip(("bench", "wrk"), _own_seconds(), own_before, strict=True):
        shares[part] = own_then - own_at_first
    profiles[name] = {part: f"{spent / seconds:6.0%} of a core" for part, spent in shares.items()}


def _own_seconds() -> tuple[float, float]:
    """Return the processor seconds of this process, and of the children that have ended."""
    spent = os.times()
    return spent.user + spent.system, spent.children_user + spent.children_system


def _processor_seconds(server: Server) -> dict[str, float]:
    """Return the processor seconds of the server's processes, by what they do."""
    lock = (server.home / "worker.lock").read_text(encoding="ascii").strip()
    spent: dict[str, float] = {}
    waiting = [server.process_id]
    while waiting:
        process = waiting.pop()
        for task in Path(f"/proc/{process}/task").iterdir():
            waiting += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        if str(process) == lock:
            name = "speed worker"
        elif process == server.process_id:
            name = "supervisor"
        else:
            name = "API"
        spent[name] = spent.get(name, 0.0) + ticks / os.sysconf("SC_CLK_TCK")
    return spent
