"""The examinations of `rung doctor`: each looks at one thing and says what to do about it."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

import msgspec

from rung import bootstrap, servers
from rung.bootstrap import Home, Log, NotInitialised, WorkerRuns
from rung.campaign.catalog import Catalog
from rung.cli.output import bytes_text, count_of
from rung.cli.stuck import stuck_text
from rung.log.port import LogError, LogUnavailable
from rung.settings import SettingsError
from rung.status.lag import measure_lag
from rung.store.port import Store, StoreBusy, StoreError

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
        findings += [*_libraries(home), *_home(home)]
        with ExitStack() as opened:
            log = _opened_log(home, opened, findings)
            store = _opened_store(home, opened, findings)
            findings += _state(home, log, store)
    except NotInitialised as error:
        findings.append(Finding("problem", "home", str(error), f"rung --home {path} init"))
    except SettingsError as error:
        findings += (Finding("problem", "settings", line, "correct it") for line in str(error).splitlines())
    except LogError as error:
        findings.append(_log_problem(error))
    except (StoreError, StoreBusy) as error:
        findings.append(_store_problem(error))
    return findings


def _opened_log(home: Home, opened: ExitStack, findings: list[Finding]) -> Log | None:
    try:
        return opened.enter_context(bootstrap.opened_log(home))
    except LogError as error:
        findings.append(_log_problem(error))
        return None


def _opened_store(home: Home, opened: ExitStack, findings: list[Finding]) -> Store | None:
    try:
        return opened.enter_context(bootstrap.opened_store(home))
    except (StoreError, StoreBusy) as error:
        findings.append(_store_problem(error))
        return None


def _log_problem(error: LogError) -> Finding:
    if isinstance(error, LogUnavailable):
        fix = "start the brokers, or correct [kafka] in rung.toml; statuses are told meanwhile"
    else:
        fix = "see the text; the log holds all events: keep it"
    return Finding("problem", "log", str(error), fix)


def _store_problem(error: StoreError | StoreBusy) -> Finding:
    if isinstance(error, StoreBusy):
        fix = "start it, or correct [dynamodb] in rung.toml"
    else:
        fix = "see the text; the store can be derived again from the log with `rung replay`"
    return Finding("problem", "store", str(error), fix)


def _machine() -> Iterator[Finding]:
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("ok", "python", python)
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


def _libraries(home: Home) -> Iterator[Finding]:
    names = [
        *_LIBRARIES,
        *(("confluent-kafka",) if home.has_kafka else ()),
        *(("aiodynamo", "aiohttp") if home.has_dynamodb else ()),
    ]
    yield Finding("ok", "libraries", ", ".join(f"{name} {version(name)}" for name in names))


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


def _state(home: Home, log: Log | None, store: Store | None) -> Iterator[Finding]:
    if log is not None:
        yield (
            _kafka(home, log) if home.has_kafka else _size(home, "log", count_of(log.partitions, "partition"))
        )
    if store is not None:
        yield from _dynamodb(home) if home.has_dynamodb else [_size(home, "store")]
        yield _campaigns(home, store)
    if log is not None and store is not None:
        yield _worker(home)
        yield from _lag(home, log, store)
    if store is not None:
        yield _quarantine(store)


def _size(home: Home, name: Literal["log", "store"], more: str = "") -> Finding:
    folder = home.log_folder if name == "log" else home.store_folder
    limit = (home.settings.log if name == "log" else home.settings.store).map_bytes
    size = (folder / "data.mdb").stat().st_size
    found = f"{bytes_text(size)} of at most {bytes_text(limit)}{', ' if more else ''}{more}"
    if size > limit * _MAP_FULL_SHARE:
        return Finding("problem", name, found, f"raise {name}.map_bytes in rung.toml")
    return Finding("ok", name, found)


def _kafka(home: Home, log: Log) -> Finding:
    chosen = home.settings.kafka
    client = "".join(f", {name}={value}" for name, value in chosen.client.items())
    found = (
        f"Kafka at {chosen.bootstrap_servers}, topic {chosen.topic}, "
        f"{count_of(log.partitions, 'partition')}, group {chosen.group_id}{client}"
    )
    named = {chosen.topic, chosen.quarantine_topic} - {""}
    missing = named - {topic.name for topic in servers.describe_topics(home)}
    if missing:
        fix = f"make it: rung --home {home.path} log create --partitions N --replication-factor R"
        return Finding("problem", "log", f"{found}; missing: {', '.join(sorted(missing))}", fix)
    return Finding("ok", "log", found)


def _dynamodb(home: Home) -> Iterator[Finding]:
    chosen = home.settings.dynamodb
    tables = servers.describe_tables(home)
    place = chosen.endpoint_url or f"DynamoDB in {chosen.region}"
    found = f"{place}: " + ", ".join(f"{table.name} {table.status.lower()}" for table in tables)
    if all(table.status in {"ACTIVE", "UPDATING"} for table in tables):
        yield Finding("ok", "store", found)
    else:
        yield Finding("problem", "store", found, f"rung --home {home.path} store create")


def _campaigns(home: Home, store: Store) -> Finding:
    catalog = Catalog.decode(store.catalog()[1])
    if not catalog.campaigns:
        return Finding("warning", "campaigns", "none", f"rung --home {home.path} campaign apply SPEC...")
    partial = sorted({counted.campaign.name for counted in catalog.versions if not counted.complete})
    if partial:
        found = f"{count_of(len(catalog.campaigns), 'campaign')}; partial: {', '.join(partial)}"
        fix = f"to count earlier events: rung --home {home.path} replay"
        return Finding("warning", "campaigns", found, fix)
    return Finding("ok", "campaigns", ", ".join(sorted(catalog.campaigns)))


def _worker(home: Home) -> Finding:
    if home.has_kafka:
        return Finding("ok", "worker", f"those of the group {home.settings.kafka.group_id}")
    try:
        with bootstrap.only_worker(home):
            fix = "events are applied by `rung serve` or `rung worker`"
            return Finding("warning", "worker", "none runs", fix)
    except WorkerRuns:
        return Finding("ok", "worker", "one runs")


def _lag(home: Home, log: Log, store: Store) -> Iterator[Finding]:
    lag = measure_lag(store, log, bootstrap.clock)
    if lag.stuck:
        reasons = (f"{partition} {reason.text}" for partition, reason in sorted(lag.stuck.items()))
        yield Finding("problem", "partitions", ", ".join(reasons), stuck_text(lag.stuck))
    found = f"{count_of(sum(lag.events.values()), 'event')}, {lag.seconds:,.1f} s"
    if lag.seconds > _LAG_SECONDS_HIGH:
        yield Finding("warning", "lag", found, f"rung --home {home.path} worker --until-caught-up")
    else:
        yield Finding("ok", "lag", found)


def _quarantine(store: Store) -> Finding:
    waiting = len(store.quarantine(None, 1_001))
    text = "more than 1,000 events" if waiting > 1_000 else count_of(waiting, "event")
    if waiting:
        return Finding("warning", "quarantine", text, "rung quarantine list")
    return Finding("ok", "quarantine", text)
