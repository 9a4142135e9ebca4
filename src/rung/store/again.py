"""Deciding again what others have overtaken."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from rung.store.port import Overtaken

ATTEMPTS_MAX: Final = 200
PAUSE_SECONDS: Final = 0.005

_T = TypeVar("_T")


def until_stored(
    work: Callable[[], _T], attempts_max: int = ATTEMPTS_MAX, pause_seconds: float = PAUSE_SECONDS
) -> _T:
    """Return what `work` returns, which reads, decides and writes anew whenever another came first.

    Raises:
        Overtaken: others came first at every attempt.
    """
    for _ in range(attempts_max - 1):
        try:
            return work()
        except Overtaken:
            time.sleep(pause_seconds)
    return work()
