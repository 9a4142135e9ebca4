"""Measures the way from the log to the durable store: rates, sizes and phases of one worker."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from rung import bootstrap
from rung.bootstrap import Home, Log
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.speed.worker import Worker
from rung.store.port import Store
from rung.traffic import IdKind, generate

from bench.phases import as_profile, timed
from bench.report import Report, Target
from bench.scenario import (
    APPEND_EVENTS,
    CAMPAIGN,
    REPEATS,
    Scenario,
    completed_traffic,
    mixed_traffic,
    small_traffic,
)

_RATE_TARGET: Final = Target(100_000, at_least=True)
_RATIO_TARGET: Final = Target(0.7, at_least=True)
_BYTES_TARGET: Final = Target(128, at_least=False)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the worker until it has caught up."""

    events: int
    seconds: float
    processor_seconds: float
    append_seconds: float

    @property
    def rate(self) -> float:
        """Events per second, without the time that appending them took."""
        return self.events / self.seconds


class Ingest:
    """A home whose log and store are open, and its worker."""

    def __init__(self, home: Home, log: Log, store: Store, worker: Worker) -> None:
        self.home = home
        self.store = store
        self._log = log
        self._worker = worker

    @property
    def store_bytes(self) -> int:
        """The size of the store's file."""
        return (self.home.store_folder / "data.mdb").stat().st_size

    def run(self, payloads: Sequence[bytes]) -> Run:
        """Append events, and then apply them; the log lets go of what was applied, to save disk."""
        append_started = time.perf_counter()
        for start in range(0, len(payloads), APPEND_EVENTS):
            self._log.append(payloads[start : start + APPEND_EVENTS])
        append_seconds = time.perf_counter() - append_started
        count = len(payloads)
        del payloads
        before = self.store.counters()
        started, processor_started = time.perf_counter(), time.process_time()
        self._worker.run(threading.Event(), until_caught_up=True)
        seconds = time.perf_counter() - started
        processor_seconds = time.process_time() - processor_started
        after = self.store.counters()
        if after.events - before.events != count:
            raise RuntimeError(f"{after.events - before.events:,} of {count:,} events were applied")
        for partition, end in self._log.ends().items():
            self._log.trim(partition, end)
        return Run(count, seconds, processor_seconds, append_seconds)


@contextmanager
def ingesting(folder: Path) -> Generator[Ingest]:
    """Make a home in a folder, with the campaign, and open it."""
    bootstrap.initialise(folder)
    home = bootstrap.open_home(folder)
    with (
        bootstrap.only_worker(home),
        bootstrap.opened_log(home) as log,
        bootstrap.opened_store(home) as store,
    ):
        catalog = Catalog({}, ()).apply(load(CAMPAIGN, "bench"), {})
        store.put_catalog(store.catalog()[0], catalog.encode(), store.applied())
        worker = bootstrap.make_worker(home, log, store)
        try:
            yield Ingest(home, log, store, worker)
        finally:
            worker.close()


def measure(scenario: Scenario, folder: Path, report: Report, say: Say) -> Path:
    """Measure everything about ingestion, and return the home that holds the preloaded store."""
    empty = [_empty_rate(scenario, folder / f"empty-{number}", say) for number in range(REPEATS - 1)]
    home = folder / "home"
    with ingesting(home) as ingest:
        empty.append(_preload(scenario, ingest, report, say))
    _report_rates(report, empty)
    sizes = {
        "store, 26-character ids in order of time": (IdKind.ULID, False),
        "store, same, CREATED as an event of its own": (IdKind.ULID, True),
        "store, 26-character random ids": (IdKind.RANDOM, False),
    }
    for name, (id_kind, created_events) in sizes.items():
        say(f"{name}: {scenario.small_transactions:,} transactions")
        size = _small_size(scenario, folder / f"small-{len(report.figures)}", id_kind, created_events)
        note = f"{scenario.small_transactions:,} transactions, 10 per user"
        report.add(name, "bytes/transaction", [size], note=note)
    return home


def _empty_rate(scenario: Scenario, folder: Path, say: Say) -> Run:
    with ingesting(folder) as ingest:
        first = next(generate(completed_traffic(scenario, scenario.chunk_events)))
        run = ingest.run(first)
    shutil.rmtree(folder)
    say(f"empty store: {run.rate:,.0f} events/s")
    return run


def _preload(scenario: Scenario, ingest: Ingest, report: Report, say: Say) -> Run:
    transactions = scenario.preloaded_transactions + REPEATS * scenario.chunk_events
    chunks = generate(completed_traffic(scenario, transactions))
    started = time.perf_counter()
    loaded, runs = 0, list[Run]()
    while loaded < scenario.preloaded_transactions:
        runs.append(ingest.run(next(chunks)))
        loaded += runs[-1].events
        say(f"preload: {loaded:,} transactions, {runs[-1].rate:,.0f} events/s")
    report.profiles["preload, events/s of each chunk"] = {
        f"after {number * scenario.chunk_events:,}": f"{run.rate:,.0f}" for number, run in enumerate(runs)
    }
    report.add(
        "store after the preload",
        "bytes/transaction",
        [ingest.store_bytes / loaded],
        _BYTES_TARGET,
        f"{loaded:,} transactions, {scenario.users:,} users, ids in order of time; {_gib(ingest.store_bytes)}",
    )
    say(f"preload took {time.perf_counter() - started:.0f} s")
    with timed() as phases:
        full = [ingest.run(chunk) for chunk in islice(chunks, REPEATS)]
    _report_full(scenario, report, full, phases, loaded)
    for run in full:
        say(f"full store: {run.rate:,.0f} events/s")
    mixed, phases = list[Run](), {}
    for number in range(REPEATS):
        settings = mixed_traffic(scenario, scenario.chunk_events // 2, seed=number)
        with timed() as spent:
            mixed.append(ingest.run(next(generate(settings))))
        phases = Counter(phases) + Counter(spent)
        say(f"mixed traffic: {mixed[-1].rate:,.0f} events/s")
    report.add(
        "worker, shuffled CREATED and COMPLETED",
        "events/s",
        [run.rate for run in mixed],
        note=f"{mixed[0].events:,} events a sample; 5% refunded, 5% sent twice",
    )
    report.profiles["worker, shuffled CREATED and COMPLETED"] = as_profile(
        dict(phases), sum(run.seconds for run in mixed), sum(run.events for run in mixed)
    )
    every = [*runs, *full, *mixed]
    report.add("append to the log", "events/s", [run.events / run.append_seconds for run in every])
    return runs[0]


def _report_full(
    scenario: Scenario, report: Report, full: Sequence[Run], phases: dict[str, float], loaded: int
) -> None:
    report.add(
        "worker, preloaded store",
        "events/s",
        [run.rate for run in full],
        _RATE_TARGET,
        f"{scenario.chunk_events:,} events a sample, {loaded:,} transactions stored",
    )
    seconds, events = sum(run.seconds for run in full), sum(run.events for run in full)
    report.profiles["worker, preloaded store"] = {
        **as_profile(phases, seconds, events),
        "processor time": f"{sum(run.processor_seconds for run in full) / seconds:.0%} of the time",
    }


def _report_rates(report: Report, empty: Sequence[Run]) -> None:
    full = next(figure for figure in report.figures if figure.name == "worker, preloaded store")
    rates = [run.rate for run in empty]
    report.add("worker, empty store", "events/s", rates, note=f"{empty[0].events:,} events a sample")
    middle = sorted(rates)[len(rates) // 2]
    report.add(
        "preloaded store against empty",
        "ratio",
        [rate / middle for rate in full.samples],
        _RATIO_TARGET,
        "each sample against the median of the empty store",
    )


def _small_size(scenario: Scenario, folder: Path, id_kind: IdKind, created_events: bool) -> float:
    settings = small_traffic(scenario, id_kind, created_events=created_events)
    with ingesting(folder) as ingest:
        for chunk in generate(settings):
            ingest.run(chunk)
        size = ingest.store_bytes / settings.transactions
    shutil.rmtree(folder)
    return size


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
