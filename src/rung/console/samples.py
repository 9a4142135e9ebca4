"""How lag and rate have been lately: looked at now and then, and kept in this process for an hour."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rung.log.port import LogError
from rung.status.lag import Lag, LogState, measure_lag
from rung.store.port import Counters, Store, StoreBusy, StoreError

EVERY_SECONDS: Final = 5.0
KEPT: Final = 720
_MICROSECONDS: Final = 1_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look; `at` in microseconds since the epoch. What could not be told is None, and `trouble` says why.

    `rate` is how many events were applied or put into quarantine a second since the look before.
    """

    at: int
    lag: Lag | None
    counters: Counters | None
    rate: float | None
    trouble: str = ""

    @property
    def lag_events(self) -> int | None:
        """How many events wait."""
        return None if self.lag is None else sum(self.lag.events.values())

    @property
    def lag_seconds(self) -> float | None:
        """How long the oldest of them has waited."""
        return None if self.lag is None else self.lag.seconds


@dataclass(frozen=True, slots=True)
class Freshness:
    """How long the oldest waiting event had waited, over some samples, in seconds."""

    p50: float
    p99: float
    samples: int
    seconds: float


class Samples:
    """Looks at the store and the log, and keeps what it saw. Safe to use from several threads."""

    def __init__(self, store: Store, log: LogState, clock: Callable[[], int]) -> None:
        """Look at these when told to."""
        self._store = store
        self._log = log
        self._clock = clock
        self._kept: deque[Sample] = deque(maxlen=KEPT)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look every `EVERY_SECONDS`, from now on, in a thread."""
        self._thread = threading.Thread(target=self._run, name="samples", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> Sample:
        """Take a sample, keep and return it."""
        lag: Lag | None = None
        counters: Counters | None = None
        trouble = ""
        try:
            counters = self._store.counters()
            lag = measure_lag(self._store, self._log, self._clock)
        except (StoreError, StoreBusy, LogError) as error:
            trouble = str(error)
        found = Sample(self._clock(), lag, counters, None, trouble)
        before = self._kept[-1] if self._kept else None
        found = Sample(found.at, lag, counters, _rate(before, found), trouble)
        self._kept.append(found)
        return found

    def last(self) -> Sample:
        """Return the latest sample; the first one is taken now."""
        return self._kept[-1] if self._kept else self.look()

    def kept(self) -> Sequence[Sample]:
        """Return all that are kept, the oldest first."""
        return tuple(self._kept)

    def freshness(self) -> Freshness | None:
        """Return how fresh figures have been; None if that was never told."""
        kept = self.kept()
        seconds = sorted(one.lag.seconds for one in kept if one.lag is not None)
        if not seconds:
            return None
        last = len(seconds) - 1
        return Freshness(
            seconds[round(last * 0.50)],
            seconds[round(last * 0.99)],
            len(seconds),
            (kept[-1].at - kept[0].at) / _MICROSECONDS,
        )

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception:
                # The chart has a gap then; the pages tell the error by themselves.
                _log.exception("sample_failed")
            self._stop.wait(EVERY_SECONDS)


def _rate(before: Sample | None, now: Sample) -> float | None:
    if before is None or before.counters is None or now.counters is None or now.at <= before.at:
        return None
    done = _done(now.counters) - _done(before.counters)
    # A replay starts the counters anew.
    return None if done < 0 else done * _MICROSECONDS / (now.at - before.at)


def _done(counters: Counters) -> int:
    return counters.events + sum(counters.quarantined.values())
