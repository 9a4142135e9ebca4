"""What a process writes about itself: JSON lines if it runs unattended, else words, on standard error."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

EVERY_SECONDS: Final = 10.0
"""How long the same thing is not written again."""
_KEYS_MAX: Final = 1_000
_TELLING: Final = ("cause", "partition", "route")
_USUAL: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Sparing(logging.Filter):
    """Lets the same thing pass once in a while, and tells with the next time how often it came meanwhile.

    What fails for every request, or at each of many attempts to connect, would hide all else.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._passed: dict[tuple[object, ...], float] = {}
        self._kept: Counter[tuple[object, ...]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record passes."""
        values = vars(record)
        key = (record.name, record.getMessage(), *(values.get(name) for name in _TELLING))
        now = self._monotonic()
        if now < self._passed.get(key, float("-inf")) + EVERY_SECONDS:
            self._kept[key] += 1
            return False
        if len(self._passed) >= _KEYS_MAX:
            self._passed.clear()
            self._kept.clear()
        self._passed[key] = now
        repeated = self._kept.pop(key, 0)
        if repeated:
            values["repeated"] = repeated
        return True


class Lines(logging.Formatter):
    """Renders a record as JSON: time, level, event, and what was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; an exception's traceback stands under `exception`."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line.update((name, value) for name, value in vars(record).items() if name not in _USUAL)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class Words(logging.Formatter):
    """Renders a record for people: its level, its event, the cause if there is one, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the lines of a traceback."""
        event, cause = record.getMessage(), vars(record).get("cause")
        words = event.replace("_", " ") if event.isidentifier() else event
        text = f"{record.levelname.lower()}: {words}{'' if cause is None else f': {cause}'}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def write_words() -> None:
    """Write what is logged in a process that somebody watches, and that nothing else handles."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(Words())
        logging.lastResort.addFilter(Sparing())


def write_lines() -> None:
    """Write what is logged in this process, from warnings on, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    handler.addFilter(Sparing())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
