"""The composition root: the only place where what works together is wired.

What a single kind of process needs (the engine, the web server) is imported where it is wired, so
that a command which only reads starts fast. Which log and which store a home has is for
`rung.adapters` to choose; commands get both from here.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rung import settings as settings_module
from rung.adapters import (
    NO_MIRROR,
    Home,
    Mirror,
    NotInitialised,
    batch_events_max,
    clock,
    keys_path,
    log_of,
    open_home,
    opened_lake,
    opened_log,
    opened_mirror,
    opened_store,
    opened_whole_log,
    partitions_of,
    upgrade_lake,
    when_reachable,
)
from rung.exclusive import Held, exclusive
from rung.log.port import Log, LogError, LogReplaced, LogUnavailable, PositionOutOfRange
from rung.settings import FILE_NAME
from rung.store.port import Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from rung.access.subjects import AuthorisedUser
    from rung.batch.archive import Archiver
    from rung.batch.workshop import Workshop
    from rung.speed.worker import Worker
    from rung.status.api import Application
    from rung.status.explanation import Explanation
    from rung.status.parameters import ExplainQuery

__all__ = [
    "Home",
    "Log",
    "Mirror",
    "NotInitialised",
    "WorkerRuns",
    "api_application",
    "archiver_when_reachable",
    "clock",
    "initialise",
    "keys_path",
    "make_worker",
    "only_worker",
    "open_home",
    "opened_archiver",
    "opened_lake",
    "opened_log",
    "opened_mirror",
    "opened_spark",
    "opened_store",
    "opened_whole_log",
    "opened_workshop",
    "partitions_of",
    "serve",
    "stop_on_signals",
    "upgrade_lake",
    "when_reachable",
    "worker_process",
]

_log = logging.getLogger(__name__)


class WorkerRuns(Exception):
    """Another process applies the events of this home."""


def initialise(path: Path) -> bool:
    """Make a home, and return whether there was none before. What is there stays as it is.

    A log or store on servers is not asked for anything.

    Raises:
        SettingsError: a RUNG_* variable, or the rung.toml that is there, is wrong; nothing was made.
    """
    settings_module.load(path, os.environ)
    made = not (path / FILE_NAME).exists()
    path.mkdir(parents=True, exist_ok=True)
    if made:
        (path / FILE_NAME).write_text(settings_module.template(), encoding="utf-8")
    home = open_home(path)
    with ExitStack() as opened:
        if not home.has_kafka:
            opened.enter_context(opened_log(home))
        if not home.has_dynamodb:
            opened.enter_context(opened_store(home))
    return made


@contextmanager
def only_worker(home: Home) -> Generator[None]:
    """Hold the right to apply events; the operating system takes it back when the process ends.

    With Kafka there are as many workers as one likes: the group shares the partitions among them, and
    the store refuses what one of them decided on an old state.

    Raises:
        WorkerRuns: another process has it; the text names its process id.
    """
    if home.has_kafka:
        yield
        return
    with ExitStack() as held:
        try:
            held.enter_context(exclusive(home.path / "worker.lock", str(os.getpid())))
        except Held as error:
            raise WorkerRuns(
                f"a worker already applies the events of {home.path} (process {error}):"
                " one per home is enough; stop that one first"
            ) from error
        yield


def make_worker(home: Home, log: Log, store: Store, mirror: Mirror = NO_MIRROR) -> Worker:
    """Return a worker that applies the events of an open log to an open store."""
    from rung.speed.worker import Worker, WorkerSettings

    chosen = home.settings.worker
    return Worker(
        log.consumer(),
        store,
        WorkerSettings(
            batch_events_max=batch_events_max(home),
            batch_bytes_max=chosen.batch_bytes_max,
            idle_wait_seconds=chosen.idle_wait_seconds,
        ),
        clock,
        mirror.put,
    )


@contextmanager
def opened_archiver(home: Home) -> Generator[Archiver]:
    """Open an archiver, which shares the partitions with others of its group, and what it needs.

    Raises:
        LogError: the log cannot be used.
        LakeError: the lake belongs to another log, or cannot be used.
    """
    from rung.batch.archive import Archiver, ArchiveSettings

    chosen = home.settings.lake
    with (
        closing(log_of(home, group="-archive")) as log,
        opened_lake(home, log.identity()) as lake,
        closing(log.consumer()) as consumer,
    ):
        yield Archiver(
            consumer,
            lake,
            ArchiveSettings(
                events_max=chosen.archive_events_max,
                bytes_max=home.settings.worker.batch_bytes_max,
                wait_seconds=chosen.archive_wait_seconds,
            ),
        )


@contextmanager
def opened_workshop(home: Home, job: str) -> Generator[Workshop]:
    """Open what a batch job works with, and hold the lease as long as it does.

    Raises:
        BatchRuns: another batch job of this home is under way.
        LogError: the log cannot be used.
        LakeError: the lake belongs to another log, or cannot be used.
        StoreError: there is no store.
    """
    from rung.batch.duck import DuckEngine, EngineSettings
    from rung.batch.lease import only_job
    from rung.batch.snapshots import Snapshots
    from rung.batch.workshop import Workshop

    chosen, folder = home.settings.batch, home.batch_folder
    engine_settings = EngineSettings(f"{chosen.memory_mib}MiB", chosen.threads, folder / "spill")
    with (
        only_job(folder, job),
        opened_log(home) as log,
        opened_store(home) as store,
        opened_lake(home, log.identity()) as lake,
        DuckEngine.open(engine_settings) as engine,
    ):
        yield Workshop(log, store, lake, engine, Snapshots(folder), folder, clock)


@contextmanager
def opened_spark(home: Home, folder: Path) -> Generator[SparkSession]:
    """Start Spark, which writes to a folder of its own meanwhile, and stop it at the end.

    Raises:
        SparkMissing: pyspark is not installed.
        JavaMissing: there is no Java for it.
        SparkFailed: it did not start.
    """
    from rung.batch.spark.session import SparkSettings, spark_session

    chosen = home.settings.batch
    with spark_session(SparkSettings(chosen.spark_master, chosen.memory_mib, folder)) as session:
        yield session


def worker_process(path: Path) -> None:
    """Apply events until SIGTERM or SIGINT: the body of a spawned worker process.

    Servers that cannot be reached are waited for. When the log no longer has the events that follow,
    that is said in the process's log, and nothing is applied any more; the process stays, because those
    beside it go on telling the last good status. It lets go of all it held, so that a replay may run.

    Raises:
        WorkerRuns: another process has the home's worker lock.
    """
    from rung.structured import write_lines

    write_lines()
    home = open_home(path)
    with stop_on_signals() as stop:
        try:
            with only_worker(home), ExitStack() as opened:
                worker = when_reachable(partial(_opened_worker, home), stop, opened, "worker_waits")
                if worker is not None:
                    worker.run(stop)
        except LogError as error:
            if not _is_worth_staying(home, error):
                raise
            _log.error(_alarm_of(error), extra={"cause": str(error)})
            stop.wait()


def _is_worth_staying(home: Home, error: LogError) -> bool:
    """Tell whether statuses stay right although events cannot be applied: not so if the machine fails."""
    return home.has_kafka or isinstance(error, LogReplaced | PositionOutOfRange)


def _alarm_of(error: LogError) -> str:
    if isinstance(error, LogReplaced):
        return "log_replaced"
    return "partition_halted" if isinstance(error, PositionOutOfRange) else "log_failed"


@contextmanager
def _opened_worker(home: Home) -> Generator[Worker]:
    with (
        opened_log(home) as log,
        opened_store(home) as store,
        opened_mirror(home) as mirror,
        closing(make_worker(home, log, store, mirror)) as worker,
    ):
        yield worker


def archiver_when_reachable(home: Home, stop: threading.Event, opened: ExitStack) -> Archiver | None:
    """Return an archiver as soon as one can be opened (`opened_archiver`), None if it is not wanted then."""
    return when_reachable(partial(opened_archiver, home), stop, opened, "archiver_waits")


def api_application(path: Path) -> Application:
    """Return the API of a home: made in each spawned API process, which keeps log and store open.

    Raises:
        SettingsError: the keys, or the issuer's, cannot be used.
    """
    from rung.api_home import application_of
    from rung.structured import write_lines

    write_lines()
    return application_of(open_home(path), _explained)


def _explained(
    home: Home, store: Store, log: Log | None, user: AuthorisedUser, query: ExplainQuery
) -> Explanation:
    """Explain a user's period; what that needs is loaded when somebody asks for it."""
    from rung.api_explain import explained

    return explained(home, store, log, user, query)


def serve(home: Home, host: str | None, port: int | None, started: Callable[[str], None]) -> None:
    """Serve the API, the page and the worker of a home until SIGTERM or SIGINT.

    Args:
        home: The home, which is open in no way in this process.
        host: Instead of the setting `api.host`.
        port: Instead of the setting `api.port`.
        started: Called with the base URL when the port answers.

    Raises:
        SettingsError: nobody could use it in safety, or the keys cannot be read.
        ServeError: the address cannot be used, or a process ended by itself.
        WorkerRuns: another process applies the events of this home.
        LogError: there is no log. One that cannot be reached now is waited for.
        StoreError: there is no store.
        StoreBusy: it cannot be reached.
    """
    from rung.api_gate import check_listening, gate_of
    from rung.status.serve import serve as serve_processes

    chosen = home.settings.api
    address = check_listening(home, chosen.host if host is None else host)
    # Only a look: each process makes its own.
    gate_of(home)
    with only_worker(home):
        # Only a look: the worker process takes the lock itself.
        pass
    _look_at_servers(home)
    serve_processes(
        worker=partial(worker_process, home.path),
        application=partial(api_application, home.path),
        address=address,
        port=chosen.port if port is None else port,
        workers=chosen.workers,
        started=started,
    )


def _look_at_servers(home: Home) -> None:
    """Refuse to start when no waiting would help."""
    if home.has_dynamodb:
        with opened_store(home):
            pass
    if home.has_kafka:
        try:
            with opened_log(home):
                pass
        except LogUnavailable as error:
            _log.warning("log_unavailable: %s", error)


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
