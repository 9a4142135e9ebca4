"""A log that is opened when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cli.command import purchase
from rung.log.embedded import EmbeddedLog
from rung.log.late import LateLog
from rung.log.port import Log, LogError, LogUnavailable, Position

EVENT = purchase("t1").encode()


class Opening:
    """Opens a log, or fails for as long as a test wants it to."""

    def __init__(self, open_log: Callable[[], Log]) -> None:
        self._open_log = open_log
        self.error: LogError | None = None
        self.attempts = 0

    def __call__(self) -> Log:
        self.attempts += 1
        if self.error is not None:
            raise self.error
        return self._open_log()


@pytest.fixture
def opening(tmp_path: Path) -> Opening:
    """Return a way to open an embedded log."""
    return Opening(lambda: EmbeddedLog.open(tmp_path / "log", 4, lambda: 7))


def test_opened_once(opening: Opening) -> None:
    """Nothing is opened before it is needed, and then it is once, for all that is asked."""
    with closing(LateLog(opening)) as late:
        assert opening.attempts == 0
        (position,) = late.append([EVENT])
        assert late.partitions == 4
        assert late.identity().partitions == 4
        assert sum(late.starts().values()) == 0
        assert late.ends()[position.partition] == 1
        assert late.appended_at(Position(position.partition, 0)) == 7
        assert late.append([EVENT])[0].offset == 1
        assert opening.attempts == 1
    late.close()


def test_refused_for_a_while(opening: Opening) -> None:
    """While the log cannot be reached, only one attempt is made in a while; afterwards it is found."""
    now = 0.0
    opening.error = LogUnavailable("nobody is there")
    with closing(LateLog(opening, 1.0, lambda: now)) as late:
        for _ in range(5):
            with pytest.raises(LogUnavailable, match="nobody is there"):
                late.ends()
        assert opening.attempts == 1
        opening.error = None
        with pytest.raises(LogUnavailable, match="nobody is there"):
            late.append([EVENT])
        now = 1.0
        assert late.append([EVENT])[0].offset == 0
        assert opening.attempts == 2


def test_refused_for_good(opening: Opening) -> None:
    """An error that no waiting mends is told anew each time."""
    opening.error = LogError("no such topic")
    with closing(LateLog(opening)) as late:
        for _ in range(2):
            with pytest.raises(LogError, match="no such topic"):
                late.ends()
        assert opening.attempts == 2
