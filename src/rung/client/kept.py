"""Answers that are kept to save bytes: the server says whether they still hold."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import NamedTuple


class Kept(NamedTuple):
    """A body, and the tag by which the server knows it."""

    etag: str
    body: bytes


class KeptAnswers:
    """The latest answers, by who asked what. Safe to share between threads.

    Nothing is ever told from here alone: a body is used when the server answers that it is unchanged.
    """

    def __init__(self, count_max: int) -> None:
        """Keep as many answers; with 0 none is kept."""
        self._count_max = count_max
        self._kept: OrderedDict[tuple[bytes, str], Kept] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, credential: str, target: str) -> Kept | None:
        """Return what was answered to this caller's question the last time, None if it is not kept."""
        key = _key(credential, target)
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
        return found

    def keep(self, credential: str, target: str, kept: Kept) -> None:
        """Keep an answer; the one that was not asked for longest goes, if there are too many."""
        with self._lock:
            self._kept[_key(credential, target)] = kept
            self._kept.move_to_end(_key(credential, target))
            while len(self._kept) > self._count_max:
                self._kept.popitem(last=False)


def _key(credential: str, target: str) -> tuple[bytes, str]:
    """Return a key that tells callers apart without holding their secret."""
    return hashlib.sha256(credential.encode()).digest(), target
