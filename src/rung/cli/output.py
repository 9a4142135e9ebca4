"""Printing: tables for people, JSON for programs, and the line that shows work going on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from rich.console import Console, RenderableType
from rich.table import Table

_SHOW_EVERY_SECONDS: Final = 0.25
_SHOW_EVERY_SECONDS_IN_A_FILE: Final = 2.0
_FILE_COLUMNS: Final = 240


def print_json(value: object) -> None:
    """Print one JSON document on a line."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    # Whoever reads it may wait for it while the command goes on.
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """Print a table; the columns named in `numbers` stand on the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify = "right" if column in numbers else "left"
        table.add_column(column, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(plain(cell) for cell in row))
    # In a file or pipe the lines may be long; whoever reads them decides where to cut.
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else _FILE_COLUMNS)
    print_rendered(console, table)


def print_rendered(console: Console, what: RenderableType) -> None:
    """Print what a console renders, with nothing left at a line's end."""
    with console.capture() as capture:
        console.print(what)
    for line in capture.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def say(text: str) -> None:
    """Print a line for people on standard error, so that standard output stays for results."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def count_of(number: int, noun: str) -> str:
    """Return "1 event", "1,234 events"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def time_text(at: int) -> str:
    """Return microseconds since the epoch as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def bytes_text(count: int) -> str:
    """Return a number of bytes in binary units: "1.5 GiB"."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"


class LiveLine:
    """One line that is written over and over on a terminal; in a file, a line now and then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._terminal = sys.stderr.isatty()
        self._every_seconds = _SHOW_EVERY_SECONDS if self._terminal else _SHOW_EVERY_SECONDS_IN_A_FILE
        self._shown_at = clock() if not self._terminal else float("-inf")
        self._open = False

    def show(self, text: str) -> None:
        """Show the text, unless one was shown just before."""
        if self._clock() - self._shown_at >= self._every_seconds:
            self._write(text)

    def say(self, text: str) -> None:
        """Print a line of its own, above the one that is written over."""
        before = "\r\x1b[2K" if self._open else ""
        self._open = False
        sys.stderr.write(f"{before}{text}\n")
        sys.stderr.flush()

    def close(self, text: str) -> None:
        """Show the last text, and end the line."""
        self._write(text)
        if self._open:
            sys.stderr.write("\n")
            sys.stderr.flush()
            self._open = False

    def _write(self, text: str) -> None:
        self._shown_at = self._clock()
        if self._terminal:
            sys.stderr.write(f"\r\x1b[2K{text}")
            self._open = True
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()


def plain(text: str) -> str:
    """Return the text without control characters: what users send must not steer a terminal."""
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)
