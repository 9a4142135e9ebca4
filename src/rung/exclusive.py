"""One process at a time, by a lock that the operating system takes back when the process ends."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class Held(Exception):
    """Another process has the lock; the text is what that one says of itself."""


@contextmanager
def exclusive(path: Path, text: str) -> Generator[None]:
    """Hold the lock on a file, which says meanwhile who has it; the text has the process id.

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
        try:
            yield
        finally:
            file.truncate(0)


def holder(path: Path) -> str | None:
    """Return what the process that has a lock says of itself, None if none has it.

    It only reads: a look must not take the lock, or whoever wants it just then would be refused. A process
    that was killed is told by its id, which no other process has got so soon.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    found = re.search(r"\d+", text)
    return text if found is not None and _is_alive(int(found[0])) else None


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # It is somebody else's.
        return True
    return True
