"""A log that is opened when it is first needed, for a process that cannot wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Final

from rung.log.port import Log, LogIdentity, LogUnavailable, Position, Producer

RETRY_SECONDS: Final = 1.0


class LateLog:
    """Appends to a log and tells its state, once it can be opened. Safe to use from several threads.

    What is asked while the log cannot be reached fails at once with what the last attempt to open it
    said; the next attempt comes `retry_seconds` later. One thread appends at a time.
    """

    def __init__(
        self,
        open_log: Callable[[], Log],
        retry_seconds: float = RETRY_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open nothing yet; `open_log` is called in the thread of whoever asks."""
        self._open_log = open_log
        self._retry_seconds = retry_seconds
        self._monotonic = monotonic
        self._lock = Lock()
        self._log: Log | None = None
        self._producer: Producer | None = None
        self._refusal = ""
        self._refused_until = float("-inf")

    @property
    def partitions(self) -> int:
        """The number of partitions."""
        return self._opened().partitions

    def identity(self) -> LogIdentity:
        """Return what tells this log from any other, as it is now."""
        return self._opened().identity()

    def starts(self) -> Mapping[int, int]:
        """Return, for every partition, the offset of its oldest event (its end if it is empty)."""
        return self._opened().starts()

    def ends(self) -> Mapping[int, int]:
        """Return, for every partition, the offset that the next event will get."""
        return self._opened().ends()

    def appended_at(self, position: Position) -> int:
        """Return when an event was appended, in microseconds since the epoch.

        Raises:
            PositionOutOfRange: there is no event.
        """
        return self._opened().appended_at(position)

    def append(self, payloads: Sequence[bytes]) -> Sequence[Position]:
        """Append events in order, and return their positions once they are durable."""
        log = self._opened()
        if self._producer is None:
            self._producer = log.producer()
        return self._producer.append(payloads)

    def close(self) -> None:
        """Release the producer and the log. Closing twice is fine."""
        with self._lock:
            producer, self._producer = self._producer, None
            log, self._log = self._log, None
        if producer is not None:
            producer.close()
        if log is not None:
            log.close()

    def _opened(self) -> Log:
        """Return the log.

        Raises:
            LogUnavailable: it cannot be reached now.
            LogError: it cannot be opened, for good.
        """
        with self._lock:
            if self._log is None:
                if self._monotonic() < self._refused_until:
                    raise LogUnavailable(self._refusal)
                try:
                    self._log = self._open_log()
                except LogUnavailable as error:
                    self._refusal = str(error)
                    self._refused_until = self._monotonic() + self._retry_seconds
                    raise
            return self._log
