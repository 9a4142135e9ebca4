"""Which web sites may have their pages ask for the user's own status (CORS): those that are set, by name.

A browser asks before a page sends a token to another site than its own. Services have no browser, so
their routes are never opened so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rung.access.permissions import Permission
from rung.status.routes import ApiRoute

_FOR_PAGES: Final = frozenset({Permission.OWN, Permission.SIGNED_IN})
_PREFLIGHT: Final = (
    ("access-control-allow-methods", "GET"),
    ("access-control-allow-headers", "authorization, if-none-match, last-event-id"),
    ("access-control-max-age", "600"),
)
_EXPOSED: Final = ("access-control-expose-headers", "etag, retry-after")


class Origins:
    """The origins that may ask, such as `https://shop.example`."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        """Take them; none is the default."""
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)

    def headers(self, route: ApiRoute, origin: str | None) -> list[tuple[str, str]]:
        """Return what an answer to a page of an origin carries besides; nothing if it may not see it."""
        if not self._allowed or route.permission not in _FOR_PAGES:
            return []
        # Caches must not give one site's page what another's was allowed.
        vary = ("vary", "Origin")
        if origin is None or origin.lower() not in self._allowed:
            return [vary]
        return [("access-control-allow-origin", origin), _EXPOSED, vary]

    def preflight(self, route: ApiRoute, origin: str | None) -> list[tuple[str, str]] | None:
        """Return what else a browser that asks first is answered; None if it may not."""
        return list(_PREFLIGHT) if len(self.headers(route, origin)) > 1 else None
