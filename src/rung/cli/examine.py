"""The examinations of `rung doctor`: each looks at one thing and says what to do about it."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

import msgspec

from rung import bootstrap
from rung.bootstrap import Home, Log, NotInitialised, WorkerRuns
from rung.campaign.catalog import Catalog
from rung.cli.output import bytes_text, count_of
from rung.log.port import LogError
from rung.settings import SettingsError
from rung.status.lag import measure_lag
from rung.store.port import Store, StoreError

_LIBRARIES: Final = (
    *("duckdb", "granian", "lmdb", "msgspec", "numpy", "pyarrow", "sqlglot", "starlette", "tzdata"),
)
_DISK_FREE_LOW_BYTES: Final = 1 << 30
_FILES_OPEN_LOW: Final = 1_024
_CLOCK_EARLIEST_SECONDS: Final = 1_767_225_600
"""2026-01-01: a clock before this release was made is wrong."""
_LAG_SECONDS_HIGH: Final = 60.0
_MAP_FULL_SHARE: Final = 0.9


class Finding(msgspec.Struct, frozen=True):
    """What was found about one thing; `fix` says what to do, and is empty when all is well."""

    state: Literal["ok", "warning", "problem"]
    what: str
    found: str
    fix: str = ""


def examine(path: Path) -> list[Finding]:
    """Return the findings about this machine and the home in a folder."""
    findings = [*_machine()]
    try:
        home = bootstrap.open_home(path)
    except NotInitialised as error:
        return [*findings, Finding("problem", "home", str(error), f"rung --home {path} init")]
    except SettingsError as error:
        wrong = str(error).splitlines()
        return [*findings, *(Finding("problem", "settings", line, "correct it") for line in wrong)]
    findings += _home(home)
    try:
        with bootstrap.opened_log(home) as log, bootstrap.opened_store(home) as store:
            findings += _state(home, log, store)
    except LogError as error:
        fix = "see the text; the log holds all events: keep it"
        findings.append(Finding("problem", "log", str(error), fix))
    except StoreError as error:
        fix = "see the text; the store can be derived again from the log with `rung replay`"
        findings.append(Finding("problem", "store", str(error), fix))
    return findings


def _machine() -> Iterator[Finding]:
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("ok", "python", python)
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    yield Finding("ok", "libraries", libraries)
    if sys.maxsize < 1 << 32:
        yield Finding("problem", "address space", "32 bits", "use a 64-bit Python: LMDB maps whole files")
    files_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= files_open < _FILES_OPEN_LOW:
        fix = f"raise it before many clients connect: ulimit -n {_FILES_OPEN_LOW * 8}"
        yield Finding("warning", "open files", f"{files_open:,} allowed", fix)
    else:
        yield Finding("ok", "open files", f"{files_open:,} allowed")
    now = time.time()
    text = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < _CLOCK_EARLIEST_SECONDS:
        yield Finding("problem", "clock", text, "set the clock: the present chooses the period that is shown")
    else:
        yield Finding("ok", "clock", text)


def _home(home: Home) -> Iterator[Finding]:
    settings = home.settings
    if os.access(home.path, os.W_OK):
        yield Finding("ok", "home", f"{home.path}, writable")
    else:
        fix = "give this user the right to write there"
        yield Finding("problem", "home", f"{home.path} is not writable", fix)
    variables = sorted(name for name in os.environ if name.startswith("RUNG_"))
    overridden = f"; from variables: {', '.join(variables)}" if variables else ""
    yield Finding("ok", "settings", f"{home.path / 'rung.toml'}{overridden}")
    workers = count_of(settings.api.workers, "worker")
    yield Finding("ok", "api", f"http://{settings.api.host}:{settings.api.port}, {workers}")
    free = shutil.disk_usage(home.path).free
    if free < _DISK_FREE_LOW_BYTES:
        fix = "make room: a full disk stops log and store"
        yield Finding("problem", "disk", f"{bytes_text(free)} free", fix)
    else:
        yield Finding("ok", "disk", f"{bytes_text(free)} free")


def _state(home: Home, log: Log, store: Store) -> Iterator[Finding]:
    yield from _sizes(home, log)
    yield _campaigns(home, store)
    yield _worker(home)
    yield _lag(home, log, store)
    yield _quarantine(store)


def _sizes(home: Home, log: Log) -> Iterator[Finding]:
    for name, folder, limit in (
        ("log", home.log_folder, home.settings.log.map_bytes),
        ("store", home.store_folder, home.settings.store.map_bytes),
    ):
        size = (folder / "data.mdb").stat().st_size
        partitions = f", {count_of(log.partitions, 'partition')}" if name == "log" else ""
        found = f"{bytes_text(size)} of at most {bytes_text(limit)}{partitions}"
        if size > limit * _MAP_FULL_SHARE:
            yield Finding("problem", name, found, f"raise {name}.map_bytes in rung.toml")
        else:
            yield Finding("ok", name, found)


def _campaigns(home: Home, store: Store) -> Finding:
    catalog = Catalog.decode(store.catalog()[1])
    if not catalog.campaigns:
        return Finding("warning", "campaigns", "none", f"rung --home {home.path} campaign apply SPEC...")
    partial = sorted({counted.campaign.name for counted in catalog.versions if counted.starts})
    if partial:
        found = f"{count_of(len(catalog.campaigns), 'campaign')}; partial: {', '.join(partial)}"
        fix = f"to count earlier events: rung --home {home.path} replay"
        return Finding("warning", "campaigns", found, fix)
    return Finding("ok", "campaigns", ", ".join(sorted(catalog.campaigns)))


def _worker(home: Home) -> Finding:
    try:
        with bootstrap.only_worker(home):
            fix = "events are applied by `rung serve` or `rung worker`"
            return Finding("warning", "worker", "none runs", fix)
    except WorkerRuns:
        return Finding("ok", "worker", "one runs")


def _lag(home: Home, log: Log, store: Store) -> Finding:
    lag = measure_lag(store, log, bootstrap.clock)
    behind = sum(lag.events.values())
    found = f"{count_of(behind, 'event')}, {lag.seconds:,.1f} s"
    if any(events < 0 for events in lag.events.values()):
        fix = "the store has applied events that the log does not have: they do not belong together"
        return Finding("problem", "lag", found, fix)
    if lag.seconds > _LAG_SECONDS_HIGH:
        return Finding("warning", "lag", found, f"rung --home {home.path} worker --until-caught-up")
    return Finding("ok", "lag", found)


def _quarantine(store: Store) -> Finding:
    waiting = len(store.quarantine(None, 1_001))
    text = "more than 1,000 events" if waiting > 1_000 else count_of(waiting, "event")
    if waiting:
        return Finding("warning", "quarantine", text, "rung quarantine list")
    return Finding("ok", "quarantine", text)
