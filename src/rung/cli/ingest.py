"""`rung ingest`: append the events of files to the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias, TypeVar

import typer

from rung.cli.errors import CommandError
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption
from rung.cli.remote import KeyFileOption, ServerOption, chosen_server, connected

if TYPE_CHECKING:
    from rung.bootstrap import Home, Log
    from rung.log.files import Progress
    from rung.store.port import Store

_WAIT_SECONDS: Final = 0.05
_PAGE_EVENTS: Final = 1_000
_Read = TypeVar("_Read")

OnChunk: TypeAlias = Callable[[int, int, int | None], object]
"""Gets the events so far, the bytes read, and the bytes in total (None: unknown)."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What was appended: per partition, the offsets before the first and after the last of it."""

    events: int
    seconds: float
    starts: Mapping[int, int]
    ends: Mapping[int, int]


def ingest(
    ctx: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="NDJSON (also .gz, .xz, .zst) or Parquet; - is stdin."),
    ],
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when all of it is applied; applies it if no worker runs.")
    ] = False,
    server: ServerOption = None,
    key_file: KeyFileOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Append the events of files to the log, in their order. Repeating it changes nothing."""
    from rung.cli.output import print_json, say

    _check_files(files)
    tell = _say_nothing if as_json else say
    address = chosen_server(ctx, server)
    if address is None:
        summary = _append(home, files, tell, wait=wait)
    elif wait:
        raise CommandError("--wait: a server applies events by itself; leave it out with --server")
    else:
        summary = _send(address, key_file, files, tell)
    if as_json:
        print_json(summary)


def _append(
    home: Path, files: Sequence[str], tell: Callable[[str], None], *, wait: bool
) -> dict[str, object]:
    from rung import bootstrap
    from rung.cli.output import count_of

    opened = bootstrap.open_home(home)
    with bootstrap.opened_log(opened) as log:
        done = _with_bar(partial(append_files, log, files))
        summary = _summary(done.events, done.seconds, tell, applied=wait)
        if not wait:
            tell("A worker applies them: rung worker, or rung serve; --wait returns when that is done")
            return summary
        with bootstrap.opened_store(opened) as store:
            _wait_until_applied(opened, log, store, done)
            quarantined = _quarantined_between(store, done)
    tell(f"All applied; {count_of(quarantined, 'event')} of them in quarantine")
    if quarantined:
        tell(f"See: rung --home {home} quarantine list")
    return {**summary, "quarantined": quarantined}


def _send(
    server: str, key_file: Path | None, files: Sequence[str], tell: Callable[[str], None]
) -> dict[str, object]:
    started = time.monotonic()
    with connected(server, key_file) as client:
        count = _with_bar(partial(_hand_over, files, client.send))
    return _summary(count, time.monotonic() - started, tell, applied=False)


def _summary(events: int, seconds: float, tell: Callable[[str], None], *, applied: bool) -> dict[str, object]:
    from rung.cli.output import count_of

    rate = round(events / seconds) if seconds > 0 else 0
    tell(f"Appended {count_of(events, 'event')} ({rate:,} events/s)")
    return {
        "events": events,
        "seconds": round(seconds, 3),
        "events_per_second": rate,
        "applied": applied,
    }


def _say_nothing(text: str) -> None:
    """Leave the line out: a program reads the summary."""


def append_files(log: Log, files: Sequence[str], on_chunk: OnChunk) -> Ingested:
    """Append files, and tell after each chunk how far that is.

    Raises:
        CommandError: a file cannot be read to its end; what was read before stays in the log.
    """
    starts = log.ends()
    started = time.monotonic()
    with closing(log.producer()) as producer:
        count = _hand_over(files, producer.append, on_chunk)
    return Ingested(count, time.monotonic() - started, starts, log.ends())


def _hand_over(files: Sequence[str], take: Callable[[list[bytes]], object], on_chunk: OnChunk) -> int:
    """Give the events of files, chunk by chunk, to what takes them; return how many they are."""
    from rung.log.files import UnreadableFile, events

    count = bytes_done = 0
    sizes = [Path(file).stat().st_size if Path(file).is_file() else None for file in files]
    total = None if None in sizes else sum(size for size in sizes if size is not None)
    for file, size in zip(files, sizes, strict=True):
        on_progress = partial(_tell, on_chunk, count, bytes_done, total)
        try:
            for chunk in events(file, on_progress):
                take(chunk)
                count += len(chunk)
        except UnreadableFile as error:
            kept = f"; {count:,} events read so far are in the log, and repeating them is safe"
            raise CommandError(f"{error}{kept if count else ''}") from error
        bytes_done += size or 0
    return count


def _tell(
    on_chunk: OnChunk,
    events_before: int,
    bytes_before: int,
    total: int | None,
    progress: Progress,
) -> None:
    on_chunk(events_before + progress.events, bytes_before + progress.bytes_read, total)


def _check_files(files: Sequence[str]) -> None:
    """Refuse files that are not there before anything is appended."""
    if files.count("-") > 1:
        raise CommandError("- (standard input) can be read once only")
    for file in files:
        if file != "-" and not Path(file).exists():
            raise CommandError(f"{file}: no such file")
        if file != "-" and Path(file).is_dir():
            raise CommandError(f"{file}: is a folder; name the files in it")


def _with_bar(read: Callable[[OnChunk], _Read]) -> _Read:
    """Show on a terminal how far reading is."""
    import sys

    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("Appending"), BarColumn(), TextColumn("{task.fields[events]:,} events"))
    console = Console(stderr=True)
    with Bar(*columns, TimeElapsedColumn(), console=console, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=None, events=0)
        return read(
            lambda events, done, total: progress.update(task, completed=done, total=total, events=events)
        )


def _wait_until_applied(home: Home, log: Log, store: Store, done: Ingested) -> None:
    """Wait for the worker that runs; without one, or where several share the log, be a worker."""
    import threading

    from rung import bootstrap
    from rung.cli.work import Meter, apply_events

    meter: Meter | None = None
    while not _is_applied(store, done):
        try:
            with bootstrap.only_worker(home):
                apply_events(home, log, store, threading.Event(), until_caught_up=True)
                return
        except bootstrap.WorkerRuns:
            meter = meter or Meter(log, store)
            meter.show()
            time.sleep(_WAIT_SECONDS)
    if meter is not None:
        meter.close()


def _is_applied(store: Store, done: Ingested) -> bool:
    applied = store.applied()
    return all(
        end == 0 or (partition in applied and applied[partition].offset >= end - 1)
        for partition, end in done.ends.items()
    )


def _quarantined_between(store: Store, done: Ingested) -> int:
    """Count the events in quarantine among those that were appended meanwhile."""
    count = 0
    for partition, start in done.starts.items():
        after = (partition, start - 1)
        while page := store.quarantine(after, _PAGE_EVENTS):
            inside = [
                event
                for event in page
                if event.partition == partition and event.offset < done.ends[partition]
            ]
            count += len(inside)
            if len(inside) < len(page):
                break
            after = (page[-1].partition, page[-1].offset)
    return count
