"""Applying events with a live line that shows how it goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rung.bootstrap import Home, Log, make_worker
from rung.cli.output import LiveLine
from rung.status.lag import LogState, lag_events
from rung.store.port import Counters, Store

_LOOK_EVERY_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Work:
    """What was applied, or put into quarantine, in a stretch of time; `lag` is what was left."""

    events: int
    duplicates: int
    quarantined: int
    seconds: float
    lag: int

    @property
    def events_per_second(self) -> int:
        """The rate, rounded."""
        return round((self.events + self.quarantined) / self.seconds) if self.seconds > 0 else 0


class Meter:
    """Measures what has been applied since it was made, by whatever process, and shows it."""

    def __init__(self, log: LogState, store: Store) -> None:
        self._log = log
        self._store = store
        self._before = store.counters()
        self._started = time.monotonic()
        self._line = LiveLine()

    def read(self) -> Work:
        """Return what has been applied so far."""
        counters = self._store.counters()
        return Work(
            counters.events - self._before.events,
            counters.duplicates - self._before.duplicates,
            _quarantined(counters) - _quarantined(self._before),
            time.monotonic() - self._started,
            lag_events(self._store, self._log),
        )

    def show(self) -> Work:
        """Show the live line, and return what it shows."""
        work = self.read()
        self._line.show(_text(work))
        return work

    def close(self) -> Work:
        """End the live line, and return what it shows."""
        work = self.read()
        self._line.close(_text(work))
        return work


def apply_events(
    home: Home,
    log: Log,
    store: Store,
    stop: threading.Event,
    *,
    until_caught_up: bool,
    beside: Callable[[Callable[[], object]], None] | None = None,
) -> Work:
    """Run a worker until it is stopped, or has caught up, and show a live line meanwhile.

    The worker runs in a thread of its own. `beside` runs here next to it, and before the worker may
    stop for having caught up; it is given what to call now and then to keep the line alive.

    Raises:
        Exception: what halted the worker, or `beside`.
    """
    meter = Meter(log, store)
    halted: list[Exception] = []
    ended = threading.Event()

    def run() -> None:
        try:
            worker = make_worker(home, log, store)
            worker.run(stop)
            worker.close()
        except Exception as error:
            halted.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=run, name="worker")
    thread.start()
    try:
        if beside is not None:
            beside(meter.show)
        while not ended.wait(_LOOK_EVERY_SECONDS):
            if meter.show().lag == 0 and until_caught_up:
                break
    finally:
        stop.set()
        thread.join()
    if halted:
        raise halted[0]
    return meter.close()


def _text(work: Work) -> str:
    done = work.events + work.quarantined
    return f"{done:,} events  {work.events_per_second:,} events/s  lag {work.lag:,}"


def _quarantined(counters: Counters) -> int:
    return sum(counters.quarantined.values())
