"""Appending events as a producer does that wants none lost: again, whenever the outcome is unknown."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from rung.log.port import LogUnavailable, Position, Producer

APPEND_SECONDS_MAX = 60.0


class Feeder:
    """Counts what it sent, and keeps what was acknowledged and where. For one thread at a time."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._errors: list[BaseException] = []
        self.sent = Counter[bytes]()
        self.acknowledged: dict[Position, bytes] = {}
        self.unknown = 0
        """How often the outcome of an append was unknown."""

    def append(self, payloads: Sequence[bytes]) -> Sequence[Position]:
        """Append events, as often as it takes, and return where they stand."""
        deadline = time.monotonic() + APPEND_SECONDS_MAX
        while True:
            self.sent.update(payloads)
            try:
                positions = self._producer.append(payloads)
            except LogUnavailable:
                self.unknown += 1
                assert time.monotonic() < deadline, "the log takes no event for a minute"
                self._stopping.wait(0.1)
            else:
                self.acknowledged |= dict(zip(positions, payloads, strict=True))
                return positions

    def start(self, chunks: Iterable[Sequence[bytes]], pause_seconds: float) -> None:
        """Append chunk after chunk in a thread, with a pause behind each, until `stop` or their end."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, args=(chunks, pause_seconds), name="feeder")
        self._thread.start()

    def stop(self) -> None:
        """End the thread behind the chunk in hand, and raise what went wrong in it."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._errors:
            raise self._errors[0]

    def close(self) -> None:
        """End the thread and the producer."""
        self.stop()
        self._producer.close()

    def _run(self, chunks: Iterable[Sequence[bytes]], pause_seconds: float) -> None:
        try:
            for chunk in chunks:
                if self._stopping.is_set():
                    return
                self.append(chunk)
                self._stopping.wait(pause_seconds)
        except BaseException as error:
            # Raised by `stop`, in the thread that asked for the events.
            self._errors.append(error)
