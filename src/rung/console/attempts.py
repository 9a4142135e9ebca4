"""How often somebody may try to sign in: per name, and all together."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Final

from rung.access.limits import Buckets

BURST: Final = 5
"""Failed attempts of one name at once; after that one more every `SECONDS_EACH`."""
SECONDS_EACH: Final = 60.0
ALL_BURST: Final = 50
ALL_SECONDS_EACH: Final = 2.0
_NAMES_MAX: Final = 1_000
_ALL: Final = "all"


class Attempts:
    """Counts failed attempts. Safe to use from several threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Start with none."""
        self._monotonic = monotonic
        self._lock = Lock()
        self._by_name = Buckets(1 / SECONDS_EACH, BURST, _NAMES_MAX)
        self._together = Buckets(1 / ALL_SECONDS_EACH, ALL_BURST, 1)

    def wait_seconds(self, name: str) -> float:
        """Return how long a name has to wait before it may try again; 0.0 if it may now."""
        now = self._monotonic()
        with self._lock:
            return max(self._by_name.peek(name, now), self._together.peek(_ALL, now))

    def failed(self, name: str) -> None:
        """Count a failed attempt."""
        now = self._monotonic()
        with self._lock:
            self._by_name.take(name, now)
            self._together.take(_ALL, now)
