"""`rung top`: watch a home as it goes."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption
from rung.cli.remote import key_in

if TYPE_CHECKING:
    from threading import Event

    from rung.cli.glance import Watch

_ROWS_IN_A_FILE: Final = 1_100
"""As many as there may be partitions, and some more: a file has no end."""


def top(
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", min=0.2, max=3_600, help="How long between looks.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one frame, and end.")] = False,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", metavar="FILE", help="An API key with metrics:read, to show requests."),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Watch events, lag, quarantine, requests and jobs, until q or Ctrl-C.

    Waits are those of the oldest event not yet applied, at each look so far. In a file or pipe, frames come
    one after another, without colours. With --json, each look is a line.
    """
    from rung import bootstrap
    from rung.cli.glance import Watch

    key = None if key_file is None else key_in(key_file)
    opened = bootstrap.open_home(home)
    with bootstrap.stop_on_signals() as stop, closing(Watch(opened, key)) as watch:
        if once or as_json or not sys.stdout.isatty():
            _print_frames(watch, stop, 0.0 if once else every, as_json=as_json)
        else:
            _draw_frames(watch, stop, every)


def _print_frames(watch: Watch, stop: Event, every: float, *, as_json: bool) -> None:
    """Print one frame after another; with `every` zero just one."""
    from rich.console import Console

    from rung.cli.frame import frame
    from rung.cli.output import print_json, print_rendered

    console = Console(highlight=False, markup=False)
    while True:
        seen = watch.look()
        if as_json:
            print_json(seen)
        else:
            print_rendered(console, frame(seen, console.width, _ROWS_IN_A_FILE, ""))
        sys.stdout.flush()
        if not every or stop.wait(every):
            return
        if not as_json:
            console.print()


def _draw_frames(watch: Watch, stop: Event, every: float) -> None:
    """Draw one frame over the other, until q is pressed."""
    from rich.console import Console
    from rich.live import Live

    from rung.cli.frame import frame
    from rung.cli.terminal import key_presses

    console = Console(highlight=False, markup=False)
    with (
        key_presses() as pressed,
        Live(console=console, screen=True, auto_refresh=False, redirect_stderr=False) as live,
    ):
        while not stop.is_set():
            seen = watch.look()
            live.update(frame(seen, *console.size, f"every {every:g} s, q ends"), refresh=True)
            if "q" in pressed(every, stop):
                return
