"""`rung archive`: append every event of the log to the lake."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.errors import ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

if TYPE_CHECKING:
    from rung.batch.archive import Archiving
    from rung.cli.output import LiveLine


def archive(
    home: HomeOption = DEFAULT_HOME,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="Stop when every event in the log is archived.")
    ] = False,
    as_json: JsonOption = False,
) -> ExitCode:
    """Append the log's events to the lake, each once. SIGTERM or Ctrl-C stops it cleanly.

    With Kafka, archivers share the partitions in a group of their own. Servers that cannot be reached
    are waited for.
    """
    from contextlib import ExitStack

    from rung import bootstrap
    from rung.cli.output import LiveLine, count_of, print_json, say

    opened_home = bootstrap.open_home(home)
    started = time.monotonic()
    events, is_cut_short = 0, until_caught_up
    with bootstrap.stop_on_signals() as stop, ExitStack() as opened:
        archiver = bootstrap.archiver_when_reachable(opened_home, stop, opened)
        if archiver is not None:
            progress = _Progress(LiveLine(), started)
            events = archiver.run(stop, until_caught_up=until_caught_up, on_progress=progress.show)
            progress.close(events)
            is_cut_short = until_caught_up and stop.is_set()
    seconds = time.monotonic() - started
    if as_json:
        print_json({"events": events, "seconds": round(seconds, 3)})
    else:
        say(f"Archived {count_of(events, 'event')} ({seconds:.1f} s)")
    return ExitCode.INTERRUPTED if is_cut_short else ExitCode.OK


class _Progress:
    """The live line, and a line of its own whenever the partitions change."""

    def __init__(self, line: LiveLine, started: float) -> None:
        self._line = line
        self._started = started
        self._told: tuple[frozenset[int], dict[int, str]] | None = None

    def show(self, now: Archiving) -> None:
        state = now.assigned, dict(now.halted)
        if state != self._told:
            self._told = state
            partitions = ", ".join(map(str, sorted(now.assigned - now.halted.keys()))) or "none"
            self._line.say(f"Partitions: {partitions}")
            for partition, reason in sorted(now.halted.items()):
                self._line.say(f"Halted partition {partition}: {reason}")
        self._line.show(f"{self._text(now.appended)}, {now.held:,} held")

    def close(self, events: int) -> None:
        self._line.close(self._text(events))

    def _text(self, events: int) -> str:
        seconds = time.monotonic() - self._started
        return f"{events:,} events archived, {round(events / seconds) if seconds else 0:,} events/s"
