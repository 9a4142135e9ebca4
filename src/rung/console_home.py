"""Wires the console of a home, and the processes in which its jobs run."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import msgspec

from rung.adapters import (
    Home,
    clock,
    log_of,
    open_home,
    opened_log,
    opened_mirror,
    opened_store,
    opened_whole_log,
    partitions_of,
)
from rung.bootstrap import opened_workshop
from rung.campaign.calendar import zones
from rung.console.accounts import Accounts
from rung.console.application import application
from rung.console.console import Console, Services
from rung.console.jobs import Launch
from rung.console.origin import Origin, OriginWrong
from rung.console.routes import ROUTES
from rung.console.serve import serve
from rung.console.tasks import Failed, Finished, Task
from rung.console.work import perform
from rung.exclusive import holder
from rung.log.late import LateLog
from rung.log.port import Log
from rung.operations.expected import expected
from rung.operations.quarantined import Forget
from rung.settings import FILE_NAME, SettingsError
from rung.status.serve import depend_on_parent
from rung.structured import write_lines


def opened_console(home: Home, launch: Launch | None = None) -> Console:
    """Return the console of a home, which stays open until it is stopped.

    A log on servers is opened when it is needed, so that pages are shown while it cannot be reached.

    Args:
        home: The home, which is open in no way in this process.
        launch: Starts jobs in another way than in processes; for tests.

    Raises:
        SettingsError: a setting of [console] is wrong.
        LogError: there is no log, or it cannot be used.
        StoreError: there is no store.
    """
    chosen = home.settings.console
    place = f"{home.path / FILE_NAME}: console"
    try:
        origin = Origin(chosen.origin)
    except OriginWrong as error:
        raise SettingsError(f"{place}.origin: {error}") from error
    if chosen.timezone not in zones():
        raise SettingsError(
            f"{place}.timezone: {chosen.timezone!r} is not an IANA time zone, such as Asia/Tokyo"
        )
    opened = ExitStack()
    store = opened.enter_context(opened_store(home))
    open_log: Callable[[], AbstractContextManager[Log]]
    if home.has_kafka:
        log = producer = opened.enter_context(closing(LateLog(partial(log_of, home))))
        open_log = partial(opened_log, home, read_only=True)
    else:
        embedded = log = opened.enter_context(opened_log(home))
        producer = opened.enter_context(closing(embedded.producer()))
        open_log = partial(nullcontext, embedded)
    services = Services(
        home=home.path.name,
        store=store,
        log=log,
        producer=producer,
        open_log=open_log,
        open_whole=partial(opened_whole_log, home),
        open_mirror=partial(_opened_forget, home),
        partitions=partial(partitions_of, home, store, log),
        worker=None if home.has_kafka else partial(holder, home.path / "worker.lock"),
        launch=launch or partial(_launched, home.path),
        folder=home.console_folder,
        batch_folder=home.batch_folder,
        clock=clock,
        close=opened.close,
    )
    return Console(services, Accounts(home.console_folder), origin, chosen.timezone)


def serve_console(home: Home, host: str | None, port: int | None, started: Callable[[str], None]) -> None:
    """Serve the console of a home until SIGTERM or SIGINT.

    Args:
        home: The home, which is open in no way in this process.
        host: Instead of the setting `console.host`.
        port: Instead of the setting `console.port`.
        started: Called with the address to open when the port answers.

    Raises:
        ServeError: the address cannot be used.
        SettingsError: a setting of [console] is wrong.
        LogError: there is no log, or it cannot be used.
        StoreError: there is no store.
    """
    chosen = home.settings.console
    console = opened_console(home)
    serve(
        application(console, ROUTES),
        chosen.host if host is None else host,
        chosen.port if port is None else port,
        console.origin,
        started,
    )


@contextmanager
def _opened_forget(home: Home) -> Generator[Forget]:
    with opened_mirror(home) as mirror:
        yield mirror.forget


def _launched(path: Path, task: Task, telling: Connection) -> BaseProcess:
    process = multiprocessing.get_context("spawn").Process(
        target=_run_job, args=(path, task, telling), name="rung-job"
    )
    process.start()
    return process


def _run_job(path: Path, task: Task, telling: Connection) -> None:
    """Do a task and tell of it: the body of a spawned process, which ends with the console."""
    depend_on_parent()
    write_lines()
    run_job(path, task, lambda message: telling.send_bytes(msgspec.msgpack.encode(message)))


def run_job(path: Path, task: Task, tell: Callable[[object], None]) -> None:
    """Do a task of a home, and tell how far it is and how it ended.

    Raises:
        Exception: a bug; an error that is expected is told.
    """
    try:
        home = open_home(path)
        with opened_workshop(home, task.title) as workshop, opened_mirror(home) as mirror:
            tell(Finished(perform(workshop, mirror.forget, task, tell)))
    except Exception as error:
        known = expected(error)
        if known is None:
            raise
        tell(Failed(known.text))
