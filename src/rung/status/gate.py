"""The gate that every request of the API passes: by which name, from whom, for what, and how often.

The order is that of the cost: the name and the room there is, then who it is, then what they may, then how
often. A wrong token or key is limited more strictly than anything that is right.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Final

from rung.access.keys import PREFIX, Keys
from rung.access.limits import Buckets
from rung.access.permissions import Permission, Scope
from rung.access.subjects import NOBODY, Caller, NotAllowed, check_permission
from rung.access.tokens import Refusal, TokenRefused
from rung.status.hosts import Hosts
from rung.status.problem import Problem, unavailable
from rung.status.user_tokens import KeysUnavailable, UserTokens

URL_BYTES_MAX: Final = 2_048
CREDENTIAL_BYTES_MAX: Final = 8_192
_NAMES_MAX: Final = 100_000
_CLIENTS_MAX: Final = 10_000
_CLIENT_BYTES_MAX: Final = 64
_BEARER: Final = "Bearer "
_CHALLENGE: Final = {"www-authenticate": 'Bearer realm="rung"'}
_CHALLENGE_REFUSED: Final = {"www-authenticate": 'Bearer realm="rung", error="invalid_token"'}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GateLimits:
    """How often and how much; each process of the API counts for itself."""

    user_requests_per_second: float = 10.0
    user_burst: int = 40
    key_requests_per_second: float = 5_000.0
    key_burst: int = 10_000
    failures_per_minute: float = 30.0
    concurrent_requests_max: int = 2_000


class Gate:
    """Lets requests in. For one event loop."""

    def __init__(
        self,
        keys: Callable[[], Keys],
        tokens: UserTokens | None,
        clock: Callable[[], int],
        limits: GateLimits | None = None,
        hosts: Hosts | None = None,
        client_header: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what callers are known by.

        Args:
            keys: Tells the keys of services as they are now.
            tokens: Verifies the tokens of users; None where there are none.
            clock: Tells microseconds since the epoch.
            limits: How often and how much.
            hosts: The names that the server answers to.
            client_header: The header in which a proxy tells the client's address; empty: there is none.
            monotonic: A clock in seconds that never goes back.
        """
        chosen = limits or GateLimits()
        self.client_header = client_header
        self._keys = keys
        self._tokens = tokens
        self._clock = clock
        self._hosts = hosts or Hosts()
        self._monotonic = monotonic
        self._room = chosen.concurrent_requests_max
        self._users = Buckets(chosen.user_requests_per_second, chosen.user_burst, _NAMES_MAX)
        self._services = Buckets(chosen.key_requests_per_second, chosen.key_burst, _NAMES_MAX)
        self._failures = Buckets(
            chosen.failures_per_minute / 60, max(1, int(chosen.failures_per_minute)), _CLIENTS_MAX
        )

    def enter(self, host: str, url_bytes: int) -> None:
        """Let a request in that came to a name; `leave` has to follow, unless this raises.

        Raises:
            Problem: 421, the name is not this server's; 414; or 503, there is no room.
        """
        # A browser always names a host, so a request without one is not led astray by a web page.
        if host and not self._hosts.has(host):
            raise Problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                "host_not_allowed",
                "Host: this server does not go by that name; api.allowed_hosts has those besides loopback.",
            )
        if url_bytes > URL_BYTES_MAX:
            raise Problem(
                HTTPStatus.REQUEST_URI_TOO_LONG,
                "url_too_long",
                f"URL: path and query have {url_bytes:,} bytes; {URL_BYTES_MAX:,} are taken.",
            )
        if not self._room:
            raise unavailable("overloaded", "More requests are under way than the server bears; ask again")
        self._room -= 1

    def leave(self) -> None:
        """Make room for another request."""
        self._room += 1

    def known(self, authorization: str | None) -> Caller | None:
        """Return whom a header stands for, if that can be told at once; `identify` tells all others."""
        if authorization is None or not authorization.startswith(_BEARER):
            return None
        credential = authorization[len(_BEARER) :]
        now = self._clock()
        if credential.startswith(PREFIX):
            return self._keys().caller(credential, now)
        if self._tokens is None or len(credential) > CREDENTIAL_BYTES_MAX:
            return None
        try:
            return self._tokens.known(credential, now)
        except TokenRefused as refused:
            raise _refusal(refused.reason) from None

    async def identify(self, authorization: str | None, client: str) -> Caller:
        """Return whom a header stands for; `client` is the address that the request comes from.

        Raises:
            Problem: 401, it stands for nobody; 429, too much that is wrong came from the client; 503, the
                issuer's keys cannot be read.
        """
        if authorization is None:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "missing_credentials",
                "Authorization: it is missing; send `Bearer` and a user's token or a service's key.",
                headers=_CHALLENGE,
            )
        client, now = _network_of(client), self._monotonic()
        wait = self._failures.peek(client, now)
        if wait:
            raise _too_many("too_many_failures", "Too many wrong tokens or keys came from this client", wait)
        try:
            return await self._verified(authorization)
        except TokenRefused as refused:
            self._failures.take(client, now)
            _log.warning("credentials_refused", extra={"cause": refused.reason.value})
            raise _refusal(refused.reason) from None
        except KeysUnavailable:
            detail = "The keys of the issuer of tokens cannot be read now; ask again"
            raise unavailable("keys_unavailable", detail) from None

    async def _verified(self, authorization: str) -> Caller:
        scheme, _, credential = authorization.partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(credential) <= CREDENTIAL_BYTES_MAX:
            raise TokenRefused(Refusal.MALFORMED)
        if credential.startswith(PREFIX):
            caller = self._keys().caller(credential, self._clock())
            if caller is None:
                raise TokenRefused(Refusal.UNKNOWN_KEY)
            return caller
        if self._tokens is None:
            raise TokenRefused(Refusal.ISSUER)
        return await self._tokens.verify(credential, self._clock())

    def admit(self, caller: Caller, permission: Permission) -> None:
        """Let a caller use a route that asks for a permission, and count it.

        Raises:
            Problem: 403, the caller may not; 429, the caller asks too often.
        """
        try:
            check_permission(caller, permission)
        except NotAllowed:
            raise not_allowed(caller, permission) from None
        self.count(caller)

    def count(self, caller: Caller, requests: int = 1) -> None:
        """Count requests of a caller.

        Raises:
            Problem: 429, they are too many.
        """
        if caller is NOBODY:
            return
        buckets = self._services if caller.user_id is None else self._users
        wait = buckets.take(caller.name, self._monotonic(), requests)
        if wait:
            raise _too_many("too_many_requests", "This caller asks more often than it may", wait)

    def ended_by(self, caller: Caller, authorization: str) -> str | None:
        """Return why a caller would be let in no more: `expired` or `revoked`; None if they would be."""
        now = self._clock()
        if caller.user_id is not None:
            return "expired" if self._tokens is None or self._tokens.has_ended(caller, now) else None
        if self._keys().caller(authorization.partition(" ")[2], now) is not None:
            return None
        return "expired" if now >= caller.expires_at else "revoked"


def not_allowed(caller: Caller, permission: Permission) -> Problem:
    """Return what a caller is told who may not use a route; nothing of what it would have answered."""
    if permission is Permission.OWN:
        detail = "This route is for a user's token; with a key, name the user: /v1/users/USER/..."
    elif caller.user_id is not None:
        detail = "This route is for services; with a user's token, use /v1/me/..."
    else:
        detail = (
            f"The key has not the scope {permission.value}; "
            f"`rung keys create SERVICE --scope {permission.value}` makes one that has."
        )
    return Problem(HTTPStatus.FORBIDDEN, "missing_permission", detail)


def may(caller: Caller, scope: Scope) -> bool:
    """Tell whether a caller has a scope, for what a route tells beyond what its permission is for."""
    return Permission(scope.value) in caller.permissions


def _refusal(reason: Refusal) -> Problem:
    """Return what whoever sent a wrong token or key is told: which it is, only of their own token's end."""
    if reason is Refusal.EXPIRED:
        code, detail = "token_expired", "The token has expired; get another one."
    else:
        code, detail = "bad_credentials", "Authorization: this token or key is not taken here."
    return Problem(HTTPStatus.UNAUTHORIZED, code, detail, headers=_CHALLENGE_REFUSED)


def _too_many(code: str, reason: str, wait_seconds: float) -> Problem:
    seconds = max(1, math.ceil(wait_seconds))
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        code,
        f"{reason}; ask again after {seconds} seconds.",
        headers={"retry-after": str(seconds)},
    )


def _network_of(client: str) -> str:
    """Return what a client's failures are counted under: its address, of IPv6 the network of one user."""
    text = client[:_CLIENT_BYTES_MAX].strip()
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return text
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(int(address) >> 64)
    return str(address)
