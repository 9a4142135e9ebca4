"""Applying events with a live line that shows how it goes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from rung.bootstrap import Home, Log, Mirror, make_worker, opened_mirror, when_reachable
from rung.cli.output import LiveLine
from rung.log.port import LogUnavailable
from rung.status.lag import LogState, lag_events
from rung.store.port import Counters, Store, StoreBusy

if TYPE_CHECKING:
    from rung.speed.worker import Progress, Worker

_LOOK_EVERY_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Work:
    """What was applied, or put into quarantine, in a stretch of time.

    `lag` is what was left, None if the log could not tell.
    """

    events: int
    duplicates: int
    quarantined: int
    seconds: float
    lag: int | None

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
        self._counted = self._before
        self._started = time.monotonic()
        self._line = LiveLine()
        self._text = ""

    def read(self) -> Work:
        """Return what has been applied so far; what cannot be asked now is as it was."""
        lag: int | None = None
        cause = ""
        try:
            self._counted = self._store.counters()
            lag = lag_events(self._store, self._log)
        except (StoreBusy, LogUnavailable) as error:
            cause = str(error)
        counted, before = self._counted, self._before
        work = Work(
            counted.events - before.events,
            counted.duplicates - before.duplicates,
            _quarantined(counted) - _quarantined(before),
            time.monotonic() - self._started,
            lag,
        )
        self._text = _text(work, cause)
        return work

    def show(self) -> Work:
        """Show the live line, and return what it shows."""
        work = self.read()
        self._line.show(self._text)
        return work

    def say(self, text: str) -> None:
        """Print a line above the live one."""
        self._line.say(text)

    def close(self) -> Work:
        """End the live line, and return what it shows."""
        work = self.read()
        self._line.close(self._text)
        return work


def apply_events(
    home: Home,
    log: Log,
    store: Store,
    stop: threading.Event,
    *,
    until_caught_up: bool,
    beside: Callable[[Callable[[], object]], None] | None = None,
    say_progress: bool = False,
) -> Work:
    """Run a worker until it is stopped, or has caught up, and show a live line meanwhile.

    The worker runs in a thread of its own, and waits while log or store cannot be reached. `beside` runs
    here next to it, and before the worker may stop for having caught up; it is given what to call now and
    then to keep the line alive. With `say_progress` a line tells the partitions whenever they change, and
    why one is halted.

    Raises:
        Exception: what halted the worker, or `beside`.
    """
    meter = Meter(log, store)
    halted: list[Exception] = []
    told: queue.SimpleQueue[Progress] = queue.SimpleQueue()
    ended = threading.Event()
    beside_ended = threading.Event()

    def run() -> None:
        try:
            with opened_mirror(home) as mirror, ExitStack() as opened:
                opening = partial(_opened_worker, home, log, store, mirror)
                worker = when_reachable(opening, stop, opened, "worker_waits")
                if worker is None:
                    return
                if beside is not None:
                    worker.run(beside_ended, on_progress=told.put)
                worker.run(stop, until_caught_up=until_caught_up, on_progress=told.put)
        except Exception as error:
            halted.append(error)
        finally:
            ended.set()

    def show() -> None:
        while say_progress and not told.empty():
            for line in progress_lines(told.get()):
                meter.say(line)
        meter.show()

    thread = threading.Thread(target=run, name="worker")
    thread.start()
    try:
        try:
            if beside is not None:
                beside(show)
        finally:
            beside_ended.set()
        while not ended.wait(_LOOK_EVERY_SECONDS):
            show()
    except BaseException:
        stop.set()
        raise
    finally:
        thread.join()
    show()
    if halted:
        raise halted[0]
    return meter.close()


def _opened_worker(home: Home, log: Log, store: Store, mirror: Mirror) -> AbstractContextManager[Worker]:
    return closing(make_worker(home, log, store, mirror))


def progress_lines(progress: Progress) -> list[str]:
    """Return what a worker does now, in a line or more."""
    assigned = ", ".join(map(str, sorted(progress.assigned))) or "none"
    halted = [f"Halted partition {partition}: {reason}" for partition, reason in progress.halted.items()]
    return [f"Partitions: {assigned}", *halted]


def _text(work: Work, cause: str) -> str:
    done = work.events + work.quarantined
    lag = f"lag {work.lag:,}" if work.lag is not None else f"lag unknown: {cause}"
    return f"{done:,} events  {work.events_per_second:,} events/s  {lag}"


def _quarantined(counters: Counters) -> int:
    return sum(counters.quarantined.values())
