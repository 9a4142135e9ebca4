"""The keys of a terminal, as they are pressed."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Event
from typing import Final

_SLICE_SECONDS: Final = 0.1
"""How long at most a signal goes unheeded while a key is waited for."""


@contextmanager
def key_presses() -> Generator[Callable[[float, Event], str]]:
    """Give a function that waits so many seconds, or for a key, or `stop`, and returns what was pressed.

    The terminal neither shows what is typed meanwhile nor waits for the end of a line. Where standard input
    is no terminal, no key is ever pressed.
    """
    if not sys.stdin.isatty():
        yield _no_press
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield lambda seconds, stop: _pressed(descriptor, seconds, stop)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _no_press(seconds: float, stop: Event) -> str:
    stop.wait(seconds)
    return ""


def _pressed(descriptor: int, seconds: float, stop: Event) -> str:
    ends_at = time.monotonic() + seconds
    while not stop.is_set() and (left := ends_at - time.monotonic()) > 0:
        readable, _, _ = select.select([descriptor], [], [], min(left, _SLICE_SECONDS))
        if readable:
            return os.read(descriptor, 64).decode(errors="replace")
    return ""
