"""Which Host a request may name: only this machine, as long as there is no authentication.

Without this check, a web page elsewhere could have its own name resolve to loopback and read the
API through a visitor's browser (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=256)
def is_loopback_host(name: str) -> bool:
    """Tell whether a Host header names loopback: `localhost` or a loopback address, with any port."""
    if name.startswith("["):
        name, bracket, port = name[1:].partition("]")
        port = port.removeprefix(":") if bracket else "?"
    else:
        name, _, port = name.partition(":")
    if port and not port.isdecimal():
        return False
    return name.lower() == "localhost" or is_loopback_address(name)


def is_loopback_address(text: str) -> bool:
    """Tell whether a text is an IP address of loopback."""
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False
