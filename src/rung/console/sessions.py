"""Who is signed in: kept in this process, bounded in time and number."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from rung.console.accounts import Account

IDLE_SECONDS: Final = 15 * 60.0
"""Without a request of its own a session ends; what a page asks for by itself keeps none alive."""
SESSION_SECONDS: Final = 8 * 3_600.0
"""However busy it is, a session ends."""
SESSIONS_MAX: Final = 1_000
SESSIONS_OF_ONE_MAX: Final = 10
"""The oldest one of an account gives way."""
_TOKEN_BYTES: Final = 32


@dataclass(slots=True)
class Session:
    """Somebody signed in; times are in seconds of a clock that never goes back.

    `stamp` tells the password that was used: with another one, the session is over. `csrf` has to be in every
    form. `notice` is what the next page says once.
    """

    name: str
    stamp: str
    csrf: str
    started_at: float
    used_at: float
    notice: str = field(default="")

    def take_notice(self) -> str:
        """Return what is to be said once."""
        notice, self.notice = self.notice, ""
        return notice


class Sessions:
    """All sessions. Safe to use from several threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Start with nobody signed in."""
        self._monotonic = monotonic
        self._lock = Lock()
        self._by_digest: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._by_digest)

    def open(self, account: Account) -> str:
        """Sign somebody in, and return the token, of which only a hash is kept."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        now = self._monotonic()
        with self._lock:
            self._forget_ended(now)
            own = [digest for digest, one in self._by_digest.items() if one.name == account.name]
            while len(own) >= SESSIONS_OF_ONE_MAX:
                del self._by_digest[own.pop(0)]
            while len(self._by_digest) >= SESSIONS_MAX:
                # A dictionary keeps the order in which they were opened.
                del self._by_digest[next(iter(self._by_digest))]
            csrf = secrets.token_urlsafe(_TOKEN_BYTES)
            self._by_digest[_digest(token)] = Session(account.name, stamp_of(account), csrf, now, now)
        return token

    def find(self, token: str, *, passive: bool) -> Session | None:
        """Return a session that has not ended; what is `passive` does not prolong it."""
        now = self._monotonic()
        with self._lock:
            found = self._by_digest.get(_digest(token))
            if found is None:
                return None
            if _has_ended(found, now):
                del self._by_digest[_digest(token)]
                return None
            if not passive:
                found.used_at = now
            return found

    def close(self, token: str) -> None:
        """Sign somebody out."""
        with self._lock:
            self._by_digest.pop(_digest(token), None)

    def _forget_ended(self, now: float) -> None:
        self._by_digest = {digest: one for digest, one in self._by_digest.items() if not _has_ended(one, now)}


def stamp_of(account: Account) -> str:
    """Return what changes with an account's password, and tells nothing of it."""
    return hashlib.sha256(account.hash.encode()).hexdigest()


def is_same_text(one: str, other: str) -> bool:
    """Compare two texts in a time that tells nothing of where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def _has_ended(session: Session, now: float) -> bool:
    return now - session.used_at >= IDLE_SECONDS or now - session.started_at >= SESSION_SECONDS


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
