"""The batch layer: how long it takes to aggregate everything again, beside what one would write by hand."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.lake_traffic import PARTITIONS, LakeTraffic
from bench.machine import PROJECT
from bench.plot import growth_chart
from bench.report import Figure
from bench.speed import SPEC, Traffic
from rung import bootstrap
from rung.batch.proof.report import Report
from rung.batch.proof.verify import verify
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.lake.delta import DeltaLake
from rung.log.port import LogIdentity

EVENTS = 100_000_000
REPEATS = 3
VERIFIED_USERS = 1_000_000
VERIFIED_CHUNKS = 4
"""Chunks of 500,000 transactions: 1 million users have 2 million of them."""
MEMORY_GIB_MAX = 8


def measure(folder: Path, scale: float) -> Iterator[Figure]:
    """Measure the lake's figures at three sizes, and verification."""
    yield from _aggregation(folder / "lake-bench", scale)
    yield from _verification(folder / "verified", scale)


def _aggregation(place: Path, scale: float) -> Iterator[Figure]:
    lake = DeltaLake.create(str(place / "lake"), LogIdentity("bench", PARTITIONS), {})
    transactions = int(EVENTS * scale / 1.05)
    traffic = LakeTraffic(transactions, min(1_000_000, max(1_000, transactions // 10)))
    grown: list[tuple[int, float, float]] = []
    written = 0
    # The last size is all but the last day, which the incremental run gets.
    for share in (0.01, 0.1, 29 / 30):
        end = int(transactions * share)
        traffic.write(lake, written, end)
        written = end
        lake.compact(0)
        repeats = REPEATS if share < 1 else 1
        pairs = [(_job("full", place), _job("by_hand", place)) for _ in range(repeats)]
        for ours, theirs in pairs:
            _agree(ours, theirs)
        events = int(pairs[0][0]["events"])
        seconds = [ours["seconds"] for ours, _ in pairs]
        grown.append((events, min(seconds), min(theirs["seconds"] for _, theirs in pairs)))
        ratios = [ours["seconds"] / theirs["seconds"] for ours, theirs in pairs]
        name = f"{events / 1e6:,.1f} M events"
        yield Figure(f"{name}: aggregated in full", "s", seconds)
        yield Figure(f"{name}: by hand in DuckDB", "s", [theirs["seconds"] for _, theirs in pairs])
        yield Figure(f"{name}: against by hand", "times as long", ratios, "<= 1.3")
        peaks = [ours["peak_gib"] for ours, _ in pairs]
        yield Figure(f"{name}: peak memory", "GiB", peaks, f"<= {MEMORY_GIB_MAX}")
        if share == 0.1:
            yield from _spark(place, min(seconds), name)
    full = grown[-1][1]
    traffic.write(lake, written, transactions)
    day = _job("incremental", place)
    yield Figure("the incremental day", "s", [day["seconds"]], note=f"{int(day['events']):,} events")
    yield Figure("the incremental day against the full run", "of its time", [day["seconds"] / full], "<= 0.1")
    charts = PROJECT / "bench" / "results"
    charts.mkdir(parents=True, exist_ok=True)
    print(f"  {growth_chart(charts / 'batch-growth.svg', grown)}", flush=True)


def _spark(place: Path, ours: float, name: str) -> Iterator[Figure]:
    seconds = [_job("spark", place)["seconds"]]
    yield Figure(f"{name}: Spark local[2] on the same files", "s", seconds)
    yield Figure(f"{name}: Spark against DuckDB", "times as long", [one / ours for one in seconds])


def _job(job: str, place: Path) -> dict[str, float]:
    """Run one job in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "bench.batch_job", job, str(place)],
        cwd=PROJECT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(ended.stdout.splitlines()[-1])


def _agree(ours: dict[str, float], theirs: dict[str, float]) -> None:
    for name in ("events", "users", "sum"):
        if ours[name] != theirs[name]:
            raise RuntimeError(f"the two do not agree: {ours} and {theirs}")


def _verification(folder: Path, scale: float) -> Iterator[Figure]:
    """Verify a store of 1 million users, and again when nothing has changed."""
    users, chunk = max(1_000, int(VERIFIED_USERS * scale)), max(1_000, int(500_000 * scale))
    bootstrap.initialise(folder)
    home = bootstrap.open_home(folder)
    traffic = Traffic(users, chunk)
    with bootstrap.opened_log(home) as log, bootstrap.opened_store(home) as store:
        store.put_catalog(0, Catalog().apply(load(SPEC, "bench"), {}).encode(), {})
        producer = log.producer()
        worker = bootstrap.make_worker(home, log, store)
        for _ in range(VERIFIED_CHUNKS):
            events = traffic.chunk()
            for first in range(0, len(events), 20_000):
                producer.append(events[first : first + 20_000])
            worker.run(threading.Event(), until_caught_up=True)
        worker.close()
        producer.close()
    with bootstrap.opened_archiver(home) as archiver:
        archiver.run(threading.Event(), until_caught_up=True)
    with bootstrap.opened_workshop(home, "bench") as workshop:
        first, report = _verified(lambda: verify(workshop, "first", lambda _: None))
        again = [_verified(lambda: verify(workshop, "again", lambda _: None))[0] for _ in range(REPEATS)]
    note = f"{report.users:,} users, {report.figures:,} figures, {report.transactions:,} transactions"
    yield Figure("verify, aggregating everything first", "s", [first], note=note)
    yield Figure("verify with a snapshot of the same positions", "s", again, note=note)
    yield Figure("users verified", "users/s", [report.users / seconds for seconds in again])


def _verified(work: object) -> tuple[float, Report]:
    started = time.perf_counter()
    report = work()  # type: ignore[operator]
    if not report.is_clean:
        raise RuntimeError(f"verification found differences: {report.causes}")
    return time.perf_counter() - started, report
