"""One process at a time, by a lock that the operating system takes back when the process ends."""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class Held(Exception):
    """Another process has the lock; the text is what that one says of itself."""


@contextmanager
def exclusive(path: Path, text: str) -> Generator[None]:
    """Hold the lock on a file, which says meanwhile who has it.

    Raises:
        Held: another process has it.
    """
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise Held(file.read().strip() or "unknown") from error
        file.truncate(0)
        file.write(f"{text}\n")
        file.flush()
        yield
