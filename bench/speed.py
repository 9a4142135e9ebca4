"""From the log to the durable store: how fast one worker is, and how large the store gets."""

from __future__ import annotations

import cProfile
import pstats
import shutil
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from bench.phases import as_profile, timed
from bench.report import Figure
from rung import bootstrap
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.log.port import Trimmable
from rung.traffic import IdKind, TrafficSettings, generate

SPEC = """
campaign: step
timezone: Asia/Tokyo
currency: JPY
attributes: {service: string, method: string}
versions:
  - version: 0
    counts_from: 2020-04
    measures:
      payments: {count: "amount >= 100"}
      total:    {sum: amount}
    reward:
      base_percent: "0.5"
      steps:
        - {name: fifty-payments, when: "payments >= 50",   add_percent: "0.5"}
        - {name: big-spender,    when: "total >= 100000",  add_percent: "0.5"}
"""
ATTRIBUTES = {"service": ("mall", "flea", "travel", "books", "daily"), "method": ("card", "balance")}
USERS = 1_000_000
TRANSACTIONS = 10_000_000
CHUNK_TRANSACTIONS = 500_000
REPEATS = 3
TRANSACTIONS_PER_SECOND = 10_000.0
_MICROSECONDS = 1_000_000


def month_start() -> int:
    """Return the first instant of this month in UTC, in microseconds since the epoch."""
    now = time.gmtime()
    return int(time.mktime((now.tm_year, now.tm_mon, 1, 0, 0, 0, 0, 0, 0)) - time.timezone) * _MICROSECONDS


class Traffic:
    """Two-step transactions, chunk after chunk, each later in time than the ones before."""

    def __init__(self, users: int, chunk_transactions: int, id_kind: IdKind = IdKind.ULID) -> None:
        self.settings = TrafficSettings(
            seed=1,
            transactions=chunk_transactions,
            users=users,
            starts_at=month_start(),
            transactions_per_second=TRANSACTIONS_PER_SECOND,
            id_kind=id_kind,
            attributes=ATTRIBUTES,
        )

    def chunk(self, **changes: object) -> list[bytes]:
        """Return the next chunk's events: CREATED and then, some seconds later, COMPLETED."""
        chosen = replace(self.settings, **changes)  # type: ignore[arg-type]
        lasts = int(chosen.transactions / chosen.transactions_per_second * _MICROSECONDS)
        self.settings = replace(self.settings, seed=chosen.seed + 1, starts_at=chosen.starts_at + lasts)
        return list(chain.from_iterable(generate(chosen)))


@dataclass(slots=True)
class _Spent:
    """What runs of one kind took, added up."""

    phases: Counter[str] = field(default_factory=Counter)
    events: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0


class Pipeline:
    """An open home: log, worker and store in this process."""

    def __init__(self, home: bootstrap.Home, log: bootstrap.Log, store: bootstrap.Store) -> None:
        self._home = home
        self._log = log
        self._store = store
        self._producer = log.producer()
        self._worker = bootstrap.make_worker(home, log, store)
        self._spent: dict[str, _Spent] = {}
        self.append_seconds = 0.0
        self.appended = 0

    def apply(self, events: list[bytes], kind: str = "preload") -> float:
        """Append events, then let the worker catch up, and return how many it applied a second.

        The time is added to what is known of this kind of run.

        Raises:
            RuntimeError: not all events were applied.
        """
        started = time.perf_counter()
        for first in range(0, len(events), 20_000):
            self._producer.append(events[first : first + 20_000])
        self.append_seconds += time.perf_counter() - started
        self.appended += len(events)
        applied_before = self._store.counters().events
        spent = self._spent.setdefault(kind, _Spent())
        with timed() as phases:
            started, processor_started = time.perf_counter(), time.process_time()
            self._worker.run(threading.Event(), until_caught_up=True)
            seconds = time.perf_counter() - started
            spent.processor_seconds += time.process_time() - processor_started
        spent.phases.update(phases)
        spent.seconds += seconds
        spent.events += len(events)
        applied = self._store.counters().events - applied_before
        if applied != len(events):
            raise RuntimeError(f"{applied:,} of {len(events):,} events were applied")
        return len(events) / seconds

    def profiles(self) -> dict[str, dict[str, str]]:
        """Return where the worker's time went, for each kind of run."""
        return {
            f"worker, {kind}": {
                **as_profile(dict(spent.phases), spent.seconds, spent.events),
                "of the time on a processor": f"{spent.processor_seconds / spent.seconds:16.1%}",
            }
            for kind, spent in self._spent.items()
        }

    def forget(self) -> None:
        """Trim what is applied, so that the log's size stays small."""
        assert isinstance(self._log, Trimmable)
        for partition, applied in self._store.applied().items():
            self._log.trim(partition, applied.offset + 1)

    def store_bytes(self) -> int:
        """Return the size of the store's file."""
        return (self._home.store_folder / "data.mdb").stat().st_size


@contextmanager
def opened(path: Path) -> Generator[Pipeline]:
    """Open a home, and make it with the campaign if there is none."""
    bootstrap.initialise(path)
    home = bootstrap.open_home(path)
    with bootstrap.opened_log(home) as log, bootstrap.opened_store(home) as store:
        revision, record = store.catalog()
        if record is None:
            catalog = Catalog.decode(record).apply(load(SPEC, "bench"), {})
            store.put_catalog(revision, catalog.encode(), store.reached())
        yield Pipeline(home, log, store)


def measure(folder: Path, scale: float, profiles: dict[str, dict[str, str]]) -> Iterator[Figure]:
    """Measure, and leave a home with all users in `folder / "full"`."""
    users = max(1_000, int(USERS * scale))
    transactions = max(2_000, int(TRANSACTIONS * scale))
    chunk = min(CHUNK_TRANSACTIONS, max(1_000, transactions // 4))
    traffic = Traffic(users, chunk)
    filling: list[float] = []
    with opened(folder / "full") as full:
        while full.appended < 2 * transactions:
            filling.append(full.apply(traffic.chunk()))
            full.forget()
            print(f"  {full.appended // 2:,} transactions stored, {filling[-1]:,.0f} events/s", flush=True)
        yield Figure(
            "store per two-step transaction",
            "bytes",
            [full.store_bytes() / (full.appended / 2)],
            "<= 128",
            f"{users:,} users, {full.appended // 2:,} transactions, ids in order of time",
        )
        yield Figure("log to store, filling", "events/s", filling, note="every chunk from the first on")
        rates: dict[str, list[float]] = {"full": [], "empty": [], "one": [], "mixed": []}
        for repeat in range(REPEATS):
            # The same events into both, one right after the other: the machine may change meanwhile.
            events = traffic.chunk()
            rates["full"].append(full.apply(events, "preloaded store"))
            with opened(folder / f"empty-{repeat}") as empty:
                rates["empty"].append(empty.apply(events, "empty store"))
                profiles |= empty.profiles()
            shutil.rmtree(folder / f"empty-{repeat}")
            rates["one"].append(full.apply(traffic.chunk(created_events=False), "one event per transaction"))
            rates["mixed"].append(
                full.apply(
                    traffic.chunk(
                        refund_share=0.05,
                        duplicate_share=0.05,
                        gap_share=0.05,
                        reorder_seconds=5.0,
                        refund_seconds_max=60,
                    ),
                    "with trouble",
                )
            )
            full.forget()
            print("  " + ", ".join(f"{name} {rates[name][-1]:,.0f}" for name in rates), flush=True)
        profiles |= full.profiles()
        appended = full.appended / full.append_seconds
    yield Figure(
        "log to durable store, one worker",
        "events/s",
        rates["full"],
        ">= 100000",
        f"{users:,} users, {transactions:,} stored transactions; CREATED and COMPLETED apart",
    )
    yield Figure("the same into an empty store", "events/s", rates["empty"])
    ratios = [one / other for one, other in zip(rates["full"], rates["empty"], strict=True)]
    yield Figure("full store against empty store", "ratio", ratios, ">= 0.7")
    yield Figure("one event per transaction", "events/s", rates["one"], ">= 100000", "both steps at once")
    trouble = "5% refunds, duplicates and gaps; 5 s out of order"
    yield Figure("with trouble", "events/s", rates["mixed"], note=trouble)
    yield Figure("append to the log", "events/s", [appended], note="batches of 20,000, fsync each")
    yield from _random_ids(folder, users, transactions, chunk)


def _random_ids(folder: Path, users: int, transactions: int, chunk: int) -> Iterator[Figure]:
    """Measure random ids at a tenth of the size, beside time-ordered ones at the same size."""
    for kind in (IdKind.ULID, IdKind.RANDOM):
        traffic = Traffic(max(1_000, users // 10), chunk, kind)
        rates: list[float] = []
        with opened(folder / kind.value) as pipeline:
            while pipeline.appended < 2 * transactions // 10:
                rates.append(pipeline.apply(traffic.chunk()))
                pipeline.forget()
            per_transaction = pipeline.store_bytes() / (pipeline.appended / 2)
        note = f"a tenth of the size, {kind.value} ids"
        yield Figure("store per two-step transaction", "bytes", [per_transaction], note=note)
        yield Figure("log to durable store", "events/s", rates[-REPEATS:], note=note)


def profile(folder: Path, scale: float) -> dict[str, str]:
    """Return the microseconds per event of each function that takes most of the worker's own time."""
    transactions = max(1_000, int(CHUNK_TRANSACTIONS * min(1.0, scale * 10)))
    traffic = Traffic(max(1_000, int(USERS * scale)), transactions)
    with opened(folder / "profile") as pipeline:
        pipeline.apply(traffic.chunk())
        events = traffic.chunk()
        profiler = cProfile.Profile()
        profiler.enable()
        pipeline.apply(events)
        profiler.disable()
    stats = pstats.Stats(profiler)
    rows: dict[str, float] = {}
    measured: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = vars(stats)["stats"]
    for (file, _line, name), (_calls, _primitive, own, _total, _callers) in measured.items():
        rows[f"{Path(file).name}:{name}"] = own / len(events) * _MICROSECONDS
    slowest = sorted(rows.items(), key=lambda row: -row[1])[:15]
    return {name: f"{microseconds:6.2f}" for name, microseconds in slowest}
