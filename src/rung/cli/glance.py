"""What `rung top` sees: the state of a home at one moment, and what has changed since the moment before."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Final, TypeVar

import msgspec

from rung import bootstrap, servers
from rung.batch.lease import running_job
from rung.batch.proof.report import Report, Reports, ReportUnreadable
from rung.bootstrap import Home, Log
from rung.cli.api_glance import ApiGlance, ApiWatch
from rung.cli.output import time_text
from rung.exclusive import holder
from rung.log.port import LogError
from rung.status.lag import Lag, measure_lag
from rung.store.port import Counters, Store, StoreBusy, StoreError
from rung.store.survey import Counted, RecordCounts

_T = TypeVar("_T")
LOOKS_KEPT: Final = 300
_SLOW_EVERY_SECONDS: Final = 10.0
"""What is read record by record, or from a server's description, need not be read at each look."""
QUARANTINE_READ_MAX: Final = 1_000


class PartitionGlance(msgspec.Struct, frozen=True):
    """How far a partition is applied: the last offset applied (-1: none), and what waits behind it."""

    partition: int
    end: int
    applied: int
    lag_events: int
    state: str


class Freshness(msgspec.Struct, frozen=True):
    """How long the oldest event that was not applied had waited, now and at the looks so far, in seconds."""

    seconds: float
    p50_seconds: float
    p99_seconds: float
    looks: int


class Quarantine(msgspec.Struct, frozen=True):
    """The events that wait in quarantine, by reason; `more` tells that there are more than were counted."""

    events: int
    more: bool
    reasons: dict[str, int]


class Verified(msgspec.Struct, frozen=True):
    """The last verification."""

    report: str
    ended_at: str
    clean: bool
    users: int
    causes: dict[str, int]


class Glance(msgspec.Struct, frozen=True):
    """A home at one moment; what could not be asked yet is None, and `problems` say why.

    Attributes:
        at: When, in RFC 3339.
        home: The home.
        events, duplicates, quarantined: What was ever applied, without effect, or put into quarantine.
        events_per_second: What was applied or quarantined since the look before; None at the first one.
        rates: That figure at the looks so far, the newest last.
        last_batch_events, last_batch_at: The last micro-batch; None if there was none.
        lag_events: How many events are in the log, and not yet applied.
        freshness: How long events wait.
        partitions: Each partition of the log.
        quarantine: What waits there, read every ten seconds.
        users, transactions: How many the store has; a store on servers tells it with some delay.
        worker: The process that applies the events of an embedded log; None if none runs.
        api: The status API.
        verified: The last verification; None if there was none.
        job: The batch job that runs; None if none does.
        problems: What cannot be asked now, and why. What it told before is shown as it was.
    """

    at: str
    home: str
    events: int
    duplicates: int
    quarantined: int
    events_per_second: float | None
    rates: list[float]
    last_batch_events: int
    last_batch_at: str | None
    lag_events: int | None
    freshness: Freshness | None
    partitions: list[PartitionGlance]
    quarantine: Quarantine | None
    users: int | None
    transactions: int | None
    worker: str | None
    api: ApiGlance
    verified: Verified | None
    job: str | None
    problems: list[str]


class Watch:
    """Looks at a home again and again; log and store are opened when they can be, and closed at the end."""

    def __init__(self, home: Home, key: str | None) -> None:
        """Open nothing yet; `key` may read the API's metrics."""
        self._home = home
        self._opened = ExitStack()
        api = home.settings.api
        self._api = self._opened.enter_context(closing(ApiWatch(api.host, api.port, key)))
        self._store: Store | None = None
        self._log: Log | None = None
        self._counters: Counters | None = None
        self._counted_at = 0.0
        self._lag: Lag | None = None
        self._waits: deque[float] = deque(maxlen=LOOKS_KEPT)
        self._rates: deque[float] = deque(maxlen=LOOKS_KEPT)
        self._slow_at = float("-inf")
        self._quarantine: Quarantine | None = None
        self._records: RecordCounts | None = None
        self._report: Report | None = None
        self._problems: dict[str, None] = {}

    def close(self) -> None:
        """Close what is open."""
        self._opened.close()

    def look(self) -> Glance:
        """Return the state now."""
        self._problems = {}
        self._count()
        if (lag := self._asked(self._measured, None)) is not None:
            self._lag = lag
            self._waits.append(lag.seconds)
        if time.monotonic() >= self._slow_at + _SLOW_EVERY_SECONDS:
            self._slow_at = time.monotonic()
            self._quarantine = self._asked(self._waiting, self._quarantine)
            self._records = self._asked(self._recorded, self._records)
        self._report = self._asked(self._verified, self._report)
        return self._glance(self._counters or Counters(), self._lag)

    def _count(self) -> None:
        """Count what was applied, and how fast since the look before."""
        before, at = self._counters, self._counted_at
        counted = self._asked(lambda: self._opened_store().counters(), None)
        if counted is None:
            return
        self._counters, self._counted_at = counted, time.monotonic()
        if before is not None and self._counted_at > at:
            # A replay begins to count anew.
            done = max(0, _done(counted) - _done(before))
            self._rates.append(round(done / (self._counted_at - at), 1))

    def _glance(self, counted: Counters, lag: Lag | None) -> Glance:
        report = self._report
        return Glance(
            at=time_text(bootstrap.clock()),
            home=str(self._home.path),
            events=counted.events,
            duplicates=counted.duplicates,
            quarantined=sum(counted.quarantined.values()),
            events_per_second=self._rates[-1] if self._rates else None,
            rates=list(self._rates),
            last_batch_events=counted.last_batch_events,
            last_batch_at=time_text(counted.last_batch_at) if counted.batches else None,
            lag_events=None if lag is None else sum(lag.events.values()),
            freshness=_freshness(self._waits),
            partitions=[] if lag is None else _partitions(lag),
            quarantine=self._quarantine,
            users=None if self._records is None else self._records.users,
            transactions=None if self._records is None else self._records.transactions,
            worker=None if self._home.has_kafka else holder(self._home.path / "worker.lock"),
            api=self._api.look(),
            verified=None
            if report is None
            else Verified(
                report.id, time_text(report.ended_at), report.is_clean, report.users, report.causes
            ),
            job=running_job(self._home.batch_folder),
            problems=list(self._problems),
        )

    def _opened_store(self) -> Store:
        if self._store is None:
            self._store = self._opened.enter_context(bootstrap.opened_store(self._home, read_only=True))
        return self._store

    def _measured(self) -> Lag:
        if self._log is None:
            self._log = self._opened.enter_context(bootstrap.opened_log(self._home, read_only=True))
        return measure_lag(self._opened_store(), self._log, bootstrap.clock)

    def _waiting(self) -> Quarantine:
        found = self._opened_store().quarantine(None, QUARANTINE_READ_MAX + 1)
        reasons = Counter(event.reason for event in found[:QUARANTINE_READ_MAX])
        return Quarantine(reasons.total(), len(found) > QUARANTINE_READ_MAX, dict(reasons.most_common()))

    def _recorded(self) -> RecordCounts | None:
        store = self._opened_store()
        if isinstance(store, Counted):
            return store.record_counts()
        if not self._home.has_dynamodb:
            return None
        users, transactions, _ = servers.describe_tables(self._home)
        return RecordCounts(users.items, transactions.items)

    def _verified(self) -> Report | None:
        reports = Reports(self._home.batch_folder)
        ids = reports.ids()
        if self._report is not None and ids and ids[-1] == self._report.id:
            return self._report
        return reports.read(ids[-1]) if ids else None

    def _asked(self, ask: Callable[[], _T], before: _T) -> _T:
        """Return what is asked for, or what it was before, if it cannot be told now."""
        try:
            return ask()
        except (LogError, StoreError, StoreBusy, ReportUnreadable) as error:
            self._problems[str(error)] = None
            return before


def _done(counted: Counters) -> int:
    return counted.events + sum(counted.quarantined.values())


def _freshness(waits: Sequence[float]) -> Freshness | None:
    if not waits:
        return None
    ordered = sorted(waits)
    middle, high = (ordered[min(len(ordered) - 1, len(ordered) * part // 100)] for part in (50, 99))
    return Freshness(round(waits[-1], 3), round(middle, 3), round(high, 3), len(waits))


def _partitions(lag: Lag) -> list[PartitionGlance]:
    return [
        PartitionGlance(
            partition,
            end,
            lag.applied[partition],
            lag.events[partition],
            lag.stuck[partition].value if partition in lag.stuck else "ok",
        )
        for partition, end in lag.ends.items()
    ]
