"""Opening embedded logs in tests, here and in other processes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from log.contract import PARTITIONS
from rung.log.embedded import EmbeddedLog


def now() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1_000


@contextmanager
def opened(folder: Path, partitions: int = PARTITIONS) -> Generator[EmbeddedLog]:
    """Open a log, and close it afterwards."""
    log = EmbeddedLog.open(folder, partitions, now)
    try:
        yield log
    finally:
        log.close()


def environment() -> dict[str, str]:
    """Return the environment of a process that imports what this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
