"""Letting go of clients: at once, in bounded time, and never by the garbage collector."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from threading import Event

import pytest

from log.contract import event, read_all, seek_all
from log.kafka_broker import append, joined, new_settings, opened
from rung.log.kafka import release
from rung.log.kafka.log import KafkaLog
from rung.log.kafka.settings import KafkaSettings
from rung.log.port import LogError, LogUnavailable

NOWHERE = KafkaSettings("127.0.0.1:1", "events", "rung", request_timeout_seconds=1.0)


def clients() -> int:
    """Return how many clients this process has: each has one main thread."""
    threads = Path("/proc/self/task").glob("*/comm")
    return sum(thread.read_text(encoding="ascii") == "rdk:main\n" for thread in threads)


def test_a_close_without_end(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A client that does not close is waited for a while, and told of."""
    monkeypatch.setattr(release, "RELEASE_SECONDS_MAX", 0.05)
    never = Event()
    began = time.monotonic()
    release.release(NOWHERE, never.wait, "leave")
    assert time.monotonic() - began < 2
    assert caplog.messages == ["cannot leave topic events within 0.05 s: no longer waiting"]
    never.set()


def test_what_closing_raises() -> None:
    """An error of closing comes out of it."""

    def close() -> None:
        raise LogError("cannot be closed")

    with pytest.raises(LogError, match="cannot be closed"):
        release.release(NOWHERE, close, "leave")


def test_a_closed_log() -> None:
    """A log that was closed says so when it is asked, and can be closed again."""
    with opened(new_settings()) as log:
        assert log.ends()
        log.close()
        with pytest.raises(LogError, match="was closed"):
            log.ends()


def test_nothing_is_left_to_the_collector() -> None:
    """When a log is closed, or cannot be opened, its clients are freed, without a collection."""
    gc.collect()
    gc.disable()
    try:
        before = clients()
        for _ in range(3):
            with pytest.raises(LogUnavailable):
                KafkaLog.open(NOWHERE)
            with opened(new_settings()) as log, joined(log) as consumer:
                seek_all(consumer)
                append(log, [event("user")])
                assert read_all(consumer, 1)
                assert clients() == before + 2
        assert clients() == before
    finally:
        gc.enable()
