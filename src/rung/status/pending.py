"""Whether later events are known to wait: how far the log's partitions went when they were last looked at."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from rung.log.port import LogError

LOOK_EVERY_SECONDS: Final = 0.1
KNOWN_SECONDS: Final = 5.0
"""With no look for so long, nothing is known any more."""

_log = logging.getLogger(__name__)


class Ends:
    """The ends of the log's partitions, looked at now and then while somebody asks. For one event loop.

    No request waits for a look at a log on servers; a log in this process is looked at right then, at most
    every `LOOK_EVERY_SECONDS`.
    """

    def __init__(
        self,
        ends: Callable[[], Mapping[int, int]],
        *,
        is_remote: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look at nothing yet; `ends` tells the offset that each partition's next event will get."""
        self._ends = ends
        self._is_remote = is_remote
        self._monotonic = monotonic
        self._known: Mapping[int, int] = {}
        self._known_at = float("-inf")
        self._due_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    def is_pending(self, partition: int, applied: int) -> bool | None:
        """Tell whether events behind an offset are known to be in a partition; None: nothing is known."""
        now = self._monotonic()
        if now >= self._due_at:
            self._due_at = now + LOOK_EVERY_SECONDS
            if not self._is_remote:
                self._look()
            elif self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(asyncio.to_thread(self._look))
        if now - self._known_at > KNOWN_SECONDS or partition not in self._known:
            return None
        return self._known[partition] - 1 > applied

    def note(self, offsets: Mapping[int, int]) -> None:
        """Take in that events stand at offsets of partitions, because this process has just appended them."""
        ends = {partition: offset + 1 for partition, offset in offsets.items()}
        self._known = {partition: max(end, ends.get(partition, 0)) for partition, end in self._known.items()}

    def _look(self) -> None:
        try:
            self._known, self._known_at = self._ends(), self._monotonic()
        except LogError as error:
            _log.warning("log_ends_unknown", extra={"cause": str(error)})
