"""The composition root: the only place where adapters are chosen and wired.

What a single kind of process needs (the engine, the web server) is imported where it is wired, so
that a command which only reads starts fast.

A home is a folder: HOME/rung.toml, HOME/log/, HOME/store/ and HOME/worker.lock. LMDB allows a
process to open a folder once, so a command opens the log and the store here, once, and hands
them on.
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rung import settings as settings_module
from rung.log.embedded import EmbeddedLog
from rung.settings import FILE_NAME, Settings
from rung.store.lmdb import LmdbStore
from rung.store.port import Store

if TYPE_CHECKING:
    from rung.speed.worker import Worker
    from rung.status.api import Application

Log: TypeAlias = EmbeddedLog
"""The log that commands get: producers, consumers and the state of the partitions."""


class NotInitialised(Exception):
    """There is no home in the folder."""


class WorkerRuns(Exception):
    """Another process applies the events of this home."""


@dataclass(frozen=True, slots=True)
class Home:
    """A data directory and its settings."""

    path: Path
    settings: Settings

    @property
    def log_folder(self) -> Path:
        """The folder of the embedded log."""
        return self.path / "log"

    @property
    def store_folder(self) -> Path:
        """The folder of the embedded store."""
        return self.path / "store"


def clock() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1_000


def initialise(path: Path) -> bool:
    """Make a home, and return whether there was none before. What is there stays as it is.

    Raises:
        SettingsError: a RUNG_* variable, or the rung.toml that is there, is wrong.
    """
    made = not (path / FILE_NAME).exists()
    path.mkdir(parents=True, exist_ok=True)
    if made:
        (path / FILE_NAME).write_text(settings_module.template(), encoding="utf-8")
    home = open_home(path)
    with opened_log(home), opened_store(home):
        pass
    return made


def open_home(path: Path) -> Home:
    """Return the home in a folder.

    Raises:
        NotInitialised: there is none.
        SettingsError: a setting is wrong.
    """
    if not (path / FILE_NAME).exists():
        raise NotInitialised(f"no Rung home in {path}: make one with `rung --home {path} init`")
    return Home(path, settings_module.load(path, os.environ))


@contextmanager
def opened_log(home: Home, *, read_only: bool = False) -> Generator[Log]:
    """Open the log, to append and to read, or only to read."""
    chosen = home.settings.log
    if read_only:
        log = EmbeddedLog.open_to_read(home.log_folder, chosen.map_bytes)
    else:
        log = EmbeddedLog.open(home.log_folder, chosen.partitions, clock, chosen.map_bytes)
    try:
        yield log
    finally:
        log.close()


@contextmanager
def opened_store(home: Home, *, read_only: bool = False) -> Generator[Store]:
    """Open the store, to read and to write, or only to read."""
    store = LmdbStore(home.store_folder, read_only=read_only, map_bytes=home.settings.store.map_bytes)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def only_worker(home: Home) -> Generator[None]:
    """Hold the right to apply events; the operating system takes it back when the process ends.

    Raises:
        WorkerRuns: another process has it; the text names its process id.
    """
    with (home.path / "worker.lock").open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise WorkerRuns(
                f"a worker already applies the events of {home.path} (process {holder}):"
                " one per home is enough; stop that one first"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def make_worker(home: Home, log: Log, store: Store) -> Worker:
    """Return a worker that applies the events of an open log to an open store."""
    from rung.speed.worker import Worker, WorkerSettings

    chosen = home.settings.worker
    return Worker(
        log.consumer(),
        store,
        WorkerSettings(
            batch_events_max=chosen.batch_events_max,
            batch_bytes_max=chosen.batch_bytes_max,
            idle_wait_seconds=chosen.idle_wait_seconds,
        ),
        clock,
    )


def worker_process(path: Path) -> None:
    """Apply events until SIGTERM or SIGINT: the body of a spawned worker process.

    Raises:
        WorkerRuns: another process has the home's worker lock.
    """
    home = open_home(path)
    with (
        stop_on_signals() as stop,
        only_worker(home),
        opened_log(home) as log,
        opened_store(home) as store,
    ):
        make_worker(home, log, store).run(stop)


def api_application(path: Path) -> Application:
    """Return the API of a home: made in each spawned API process, which keeps log and store open."""
    from rung.status.api import Limits, Services, application

    home = open_home(path)
    opened = ExitStack()
    log = opened.enter_context(opened_log(home))
    store = opened.enter_context(opened_store(home, read_only=True))
    return application(
        Services(
            store=store,
            log=log,
            producer=log.producer(),
            clock=clock,
            close=opened.close,
            limits=Limits(lag_events_max=home.settings.worker.lag_events_max),
        )
    )


def serve(home: Home, host: str | None, port: int | None, started: Callable[[str], None]) -> None:
    """Serve the API, the page and the worker of a home until SIGTERM or SIGINT.

    Args:
        home: The home, which is open in no way in this process.
        host: Instead of the setting `api.host`.
        port: Instead of the setting `api.port`.
        started: Called with the base URL when the port answers.

    Raises:
        ServeError: the address cannot be used, or a process ended by itself.
        WorkerRuns: another process applies the events of this home.
    """
    from rung.status.serve import serve as serve_processes

    with only_worker(home):
        # Only a look: the worker process takes the lock itself.
        pass
    chosen = home.settings.api
    serve_processes(
        worker=partial(worker_process, home.path),
        application=partial(api_application, home.path),
        host=chosen.host if host is None else host,
        port=chosen.port if port is None else port,
        workers=chosen.workers,
        started=started,
    )


@contextmanager
def stop_on_signals() -> Generator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set, so that work ends after its micro-batch."""
    stop = threading.Event()

    def ask_to_stop(number: int, frame: object) -> None:
        stop.set()

    before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
