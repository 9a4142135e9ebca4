"""The API keys of a home: one file for its owner alone, replaced whole, read again when it has changed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rung.access.keys import KEYS_BYTES_MAX, Keys, KeysDamaged, decode_keys
from rung.durable import put
from rung.exclusive import Held, exclusive

LOOK_EVERY_SECONDS: Final = 0.5
"""How long a key that was revoked, or a new one, may stay unseen."""
_OWNER_ALONE: Final = 0o600
_OTHERS: Final = 0o077

_log = logging.getLogger(__name__)


class KeysBusy(Exception):
    """Another process changes the keys just now."""


def read_keys(path: Path) -> Keys:
    """Return the keys of a file; without a file there are none.

    Raises:
        KeysDamaged: it cannot be read, or others than its owner may read it.
    """
    return _read(path)[1]


class KeyFile:
    """The keys in a file. Without a file there are none."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Read the file for the first time.

        Raises:
            KeysDamaged: it cannot be read, or others than its owner may read it.
        """
        self._path = path
        self._monotonic = monotonic
        self._stamp, self._keys = _read(path)
        self._looked_at = monotonic()

    def keys(self) -> Keys:
        """Return the keys as they are, or were half a second ago.

        A file that cannot be read any more changes nothing: the log says so, and the last good keys are
        taken. One that is gone holds no keys.
        """
        now = self._monotonic()
        if now - self._looked_at >= LOOK_EVERY_SECONDS:
            self._looked_at = now
            self._look()
        return self._keys

    def _look(self) -> None:
        try:
            if _stamp_of(self._path) != self._stamp:
                self._stamp, self._keys = _read(self._path)
        except (KeysDamaged, OSError) as error:
            _log.error("keys_unreadable", extra={"cause": str(error)})


@contextmanager
def changing_keys(path: Path) -> Generator[tuple[Keys, Callable[[Keys], None]]]:
    """Give the keys of a file and what stores others in their place, while no other process changes them.

    Raises:
        KeysBusy: another process does.
        KeysDamaged: the file cannot be read.
    """
    try:
        with exclusive(path.with_suffix(".lock"), f"process {os.getpid()}"):
            yield read_keys(path), lambda keys: put(path, keys.encode(), _OWNER_ALONE)
    except Held as error:
        raise KeysBusy(f"the keys are changed by another command ({error}); run this one again") from error


_Stamp = tuple[int, int, int] | None


def _stamp_of(path: Path) -> _Stamp:
    """Return what differs when a file was replaced, None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> tuple[_Stamp, Keys]:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read(KEYS_BYTES_MAX + 1)
    except FileNotFoundError:
        return None, Keys()
    except OSError as error:
        raise KeysDamaged(f"{path}: {error.strerror}") from error
    if found.st_mode & _OTHERS:
        raise KeysDamaged(f"{path}: others than its owner may read or write it; run `chmod 600 {path}`")
    if len(content) > KEYS_BYTES_MAX:
        raise KeysDamaged(f"{path}: it has more than {KEYS_BYTES_MAX:,} bytes")
    try:
        return (found.st_ino, found.st_mtime_ns, found.st_size), decode_keys(content)
    except KeysDamaged as error:
        raise KeysDamaged(f"{path}: {error}") from error
