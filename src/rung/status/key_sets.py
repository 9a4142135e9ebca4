"""The public keys of the issuer of users' tokens: from a file or a URL that the operator has set.

They are read in a thread, seldom, and never from a place that a token names.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2

from rung.access.tokens import KEY_SET_BYTES_MAX, KeySet, KeySetUnusable, read_key_set
from rung.status.hosts import is_loopback_host

MAX_AGE_SECONDS: Final = 300.0
"""How old a key set becomes before it is read again: so long a key that was withdrawn may still be taken."""
_FETCH_SECONDS_MAX: Final = 5.0

_log = logging.getLogger(__name__)


class KeySets:
    """The key set of now, read again as it ages and when a key is missing. For one event loop."""

    def __init__(
        self,
        read: Callable[[], bytes],
        algorithms: frozenset[str],
        refresh_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read nothing yet.

        Args:
            read: Returns the JWK set as bytes; called in a thread. Raises `KeySetUnusable`.
            algorithms: Those whose keys are of use.
            refresh_seconds: However many keys are missing, it is not read again sooner.
            monotonic: A clock in seconds.
        """
        self._read = read
        self._algorithms = algorithms
        self._refresh_seconds = refresh_seconds
        self._monotonic = monotonic
        self._tried_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self.current: KeySet | None = None
        """None as long as it could not be read."""

    def age(self) -> None:
        """Have the key set read again, beside all else, if it is old."""
        if self._monotonic() - self._tried_at >= MAX_AGE_SECONDS:
            self._start()

    async def renew(self) -> KeySet | None:
        """Return the key set after reading it again, if that may be done by now."""
        if self._reading is None and self._monotonic() - self._tried_at >= self._refresh_seconds:
            self._start()
        if self._reading is not None:
            # One request that is given up does not take the keys from the others.
            await asyncio.shield(self._reading)
        return self.current

    def _start(self) -> None:
        if self._reading is None:
            self._tried_at = self._monotonic()
            self._reading = asyncio.create_task(self._read_again())

    async def _read_again(self) -> None:
        try:
            content = await asyncio.to_thread(self._read)
            self.current = read_key_set(content, self._algorithms)
        except KeySetUnusable as error:
            # What was read before goes on being taken: an issuer that is away locks nobody out.
            _log.error("key_set_unreadable", extra={"cause": str(error)})
        finally:
            self._reading = None


def key_set_reader(place: str, home: Path) -> Callable[[], bytes]:
    """Return what reads the key set of a file, from the home on, or of a URL.

    Raises:
        KeySetUnusable: the URL is not https, and not of this machine.
    """
    url = urlsplit(place)
    if url.scheme not in {"http", "https"}:
        return lambda: _read_file(home / place)
    if url.scheme == "http" and not is_loopback_host(url.netloc):
        raise KeySetUnusable(f"{place}: whoever stands in between could change what comes by http; use https")
    return lambda: _fetch(place)


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(KEY_SET_BYTES_MAX + 1)
    except OSError as error:
        raise KeySetUnusable(f"{path}: {error.strerror}") from error


def _fetch(url: str) -> bytes:
    """Return what a URL answers, without following it elsewhere."""
    ends_at = time.monotonic() + _FETCH_SECONDS_MAX
    content = bytearray()
    try:
        with httpx2.stream("GET", url, timeout=_FETCH_SECONDS_MAX, follow_redirects=False) as answer:
            if answer.status_code != HTTPStatus.OK:
                raise KeySetUnusable(f"{url}: it answers {answer.status_code}")
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > KEY_SET_BYTES_MAX:
                    raise KeySetUnusable(f"{url}: it has more than {KEY_SET_BYTES_MAX:,} bytes")
                if time.monotonic() > ends_at:
                    raise KeySetUnusable(f"{url}: it takes longer than {_FETCH_SECONDS_MAX:.0f} seconds")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise KeySetUnusable(f"{url}: {error}") from error
    return bytes(content)
