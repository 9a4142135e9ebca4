"""Which Host a request may name: this machine's own names, and those that the operator has set.

Without this check, a web page elsewhere could have its own name resolve to this server and talk to it
through a visitor's browser (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache


class Hosts:
    """The names that the server answers to: loopback, and those that are allowed besides, with any port."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        """Take the names that are allowed; an IPv6 address may stand in brackets or without."""
        self._allowed = frozenset(name.strip("[]").lower() for name in allowed)

    def has(self, host: str) -> bool:
        """Tell whether a Host header names this server."""
        return is_loopback_host(host) or _name_of(host) in self._allowed


@lru_cache(maxsize=256)
def is_loopback_host(host: str) -> bool:
    """Tell whether a Host header names loopback: `localhost` or a loopback address, with any port."""
    name = _name_of(host)
    return name is not None and (name == "localhost" or is_loopback_address(name))


def is_loopback_address(text: str) -> bool:
    """Tell whether a text is an IP address of loopback."""
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


def _name_of(host: str) -> str | None:
    """Return the name in a Host header in lower case, without its port; None if it is malformed."""
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        port = port.removeprefix(":") if bracket else "?"
    else:
        name, _, port = host.partition(":")
    return None if port and not port.isdecimal() else name.lower()
