"""Users' tokens as they arrive: verified once, and then known until they end."""

from __future__ import annotations

import hashlib
import os
from typing import Final

from rung.access.recent import Recent
from rung.access.subjects import Caller
from rung.access.tokens import KeySet, Refusal, TokenRefused, TokenRules, read_token
from rung.status.key_sets import KeySets

VERIFIED_MAX: Final = 50_000
"""How many verified tokens are kept at least; a signature takes a hundred times as long as a look."""
_MICROSECONDS: Final = 1_000_000


class KeysUnavailable(Exception):
    """No key set of the issuer could be read so far, so no token can be verified."""


class UserTokens:
    """Verifies tokens. For one event loop.

    A token that was verified is known by its keyed digest, until it ends or another key set is read. The
    token itself is not kept.
    """

    def __init__(self, rules: TokenRules, key_sets: KeySets) -> None:
        self._rules = rules
        self._key_sets = key_sets
        self._leeway = rules.leeway_seconds * _MICROSECONDS
        self._salt = os.urandom(16)
        self._verified: Recent[bytes, Caller] = Recent(VERIFIED_MAX)
        self._verified_by: KeySet | None = None

    def known(self, token: str, now: int) -> Caller | None:
        """Return whom a token that was verified before stands for; `now` is in microseconds since the epoch.

        Raises:
            TokenRefused: it has expired since.
        """
        self._key_sets.age()
        caller = self._verified_by_present_keys().get(self._digest(token))
        if caller is not None and self.has_ended(caller, now):
            raise TokenRefused(Refusal.EXPIRED)
        return caller

    async def verify(self, token: str, now: int) -> Caller:
        """Return whom a token stands for.

        Raises:
            TokenRefused: it is not taken.
            KeysUnavailable: the issuer's keys cannot be read.
        """
        keys = self._key_sets.current or await self._key_sets.renew()
        if keys is None:
            raise KeysUnavailable
        try:
            caller = read_token(token, self._rules, keys, now)
        except TokenRefused as refused:
            if refused.reason is not Refusal.UNKNOWN_KEY:
                raise
            newer = await self._key_sets.renew()
            if newer is None or newer is keys:
                raise
            keys = newer
            caller = read_token(token, self._rules, keys, now)
        if keys is self._key_sets.current:
            self._verified_by_present_keys().put(self._digest(token), caller)
        return caller

    def has_ended(self, caller: Caller, now: int) -> bool:
        """Tell whether a caller's token has ended."""
        return now >= caller.expires_at + self._leeway

    def _verified_by_present_keys(self) -> Recent[bytes, Caller]:
        """Return what is known, after forgetting it if another key set was read since."""
        if self._key_sets.current is not self._verified_by:
            self._verified_by = self._key_sets.current
            self._verified.clear()
        return self._verified

    def _digest(self, token: str) -> bytes:
        return hashlib.blake2b(
            token.encode("utf-8", "surrogatepass"), digest_size=16, key=self._salt
        ).digest()
