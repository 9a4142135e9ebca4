"""How long to wait before something is tried again."""

from __future__ import annotations

from collections.abc import Callable
from random import SystemRandom
from typing import Final

FIRST_SECONDS: Final = 0.05
MOST_SECONDS: Final = 5.0


class Backoff:
    """Waits that double at most, each somewhere between nothing and its bound ("full jitter").

    Those who failed together do not come back together, and a store that is overloaded gets room.
    Source: Exponential Backoff And Jitter, AWS Architecture Blog, 2015.
    """

    def __init__(
        self,
        first_seconds: float = FIRST_SECONDS,
        most_seconds: float = MOST_SECONDS,
        share: Callable[[], float] | None = None,
    ) -> None:
        """Take the bound of the first wait and of any; `share` draws from [0, 1), None is at random."""
        self._first_seconds = first_seconds
        self._most_seconds = most_seconds
        self._share = SystemRandom().random if share is None else share
        self._bound_seconds = first_seconds

    def next_seconds(self) -> float:
        """Return how long to wait now."""
        seconds = self._bound_seconds * self._share()
        self._bound_seconds = min(self._bound_seconds * 2, self._most_seconds)
        return seconds

    def reset(self) -> None:
        """Start over: it went well."""
        self._bound_seconds = self._first_seconds
