"""Status reads on DynamoDB: an API that reads many users in a call, beside some with a GetItem for each."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from bench.machine import PROJECT
from bench.report import Figure
from bench.serving import Reads, Server, read_statuses, serving
from servers.ports import free_port

CONNECTIONS = 256
ROUNDS = 7
READ_SECONDS = 4
WARM_ROUNDS_MIN, WARM_ROUNDS_MAX = 3, 8
STEADY_WITHIN = 0.1
START_SECONDS_MAX = 20.0
RUNG, AIODYNAMO, BOTO3 = "rung", "aiodynamo", "boto3"


def measure(home: Path, endpoint: str, table: str, users: int, scale: float) -> Iterator[Figure]:
    """Measure all in turns, once all are warm."""
    seconds = READ_SECONDS if scale >= 1 else 2
    with (
        serving(home) as rung,
        _plain(AIODYNAMO, endpoint, table, home) as aiodynamo,
        _plain(BOTO3, endpoint, table, home) as boto3,
    ):
        servers = {RUNG: rung, AIODYNAMO: aiodynamo, BOTO3: boto3}
        warm_rounds = _warm_up(servers, users, seconds, WARM_ROUNDS_MAX if scale >= 1 else WARM_ROUNDS_MIN)
        reads: dict[str, list[Reads]] = {name: [] for name in servers}
        for _ in range(ROUNDS if scale >= 1 else 3):
            for name, server in servers.items():
                reads[name].append(read_statuses(server, users, seconds, connections=CONNECTIONS))
            print(f"  {_rates(reads)}", flush=True)
    yield from _figures(reads, seconds, warm_rounds)


def _figures(reads: Mapping[str, list[Reads]], seconds: int, warm_rounds: int) -> Iterator[Figure]:
    rates = {name: [one.per_second for one in each] for name, each in reads.items()}
    p99 = {name: [one.p99_ms for one in each] for name, each in reads.items()}
    errors = {name: f"{sum(one.errors for one in each)} errors" for name, each in reads.items()}
    note = (
        f"wrk, {CONNECTIONS} connections, {seconds} s in turns after {warm_rounds} rounds to warm up, "
        f"{errors[RUNG]}; API, emulator and wrk on the same cores"
    )
    yield Figure("status API on DynamoDB Local", "requests/s", rates[RUNG], note=note)
    yield Figure("status API on DynamoDB Local, p99", "ms", p99[RUNG])
    for name in (AIODYNAMO, BOTO3):
        what = f"plain API, one GetItem per request, {name}"
        note = f"the same server, users and connections, nothing evaluated, {errors[name]}"
        yield Figure(what, "requests/s", rates[name], note=note)
        yield Figure(f"{what}, p99", "ms", p99[name])
    for name, target in ((AIODYNAMO, ""), (BOTO3, ">= 5")):
        ratios = [one / other for one, other in zip(rates[RUNG], rates[name], strict=True)]
        yield Figure(f"status API against one GetItem per request, {name}", "ratio", ratios, target)


def _warm_up(servers: Mapping[str, Server], users: int, seconds: int, rounds_max: int) -> int:
    """Read from all in turns until two rounds give the same rates, and return how many rounds that took.

    The emulator's JVM compiles what is busy; what is measured before that says little about either.
    """
    before: dict[str, float] = {}
    for number in range(1, rounds_max + 1):
        rates = {
            name: read_statuses(server, users, seconds, connections=CONNECTIONS).per_second
            for name, server in servers.items()
        }
        if number >= WARM_ROUNDS_MIN and all(
            abs(rate / before[name] - 1) < STEADY_WITHIN for name, rate in rates.items()
        ):
            return number
        before = rates
    return rounds_max


def _rates(reads: Mapping[str, list[Reads]]) -> str:
    return ", ".join(f"{name} {each[-1].per_second:,.0f}" for name, each in reads.items())


@contextmanager
def _plain(client: str, endpoint: str, table: str, home: Path) -> Generator[Server]:
    """Run a plain API."""
    port = free_port()
    command = [sys.executable, "-m", "bench.rivals.plain_reader", client, str(port), endpoint, table]
    with subprocess.Popen(command, cwd=PROJECT) as process:
        try:
            _wait_until_it_answers(process, port)
            yield Server(process.pid, port, home)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.perf_counter() + START_SECONDS_MAX
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=START_SECONDS_MAX)
        try:
            connection.request("GET", "/v1/users/u00000000/status")
            connection.getresponse().read()
        except OSError:
            if process.poll() is not None or time.perf_counter() > deadline:
                raise SystemExit("error: a plain API does not answer") from None
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
