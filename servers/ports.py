"""Free ports on loopback."""

from __future__ import annotations

import socket
from random import SystemRandom
from typing import Final

from servers.errors import ServerError

LOOPBACK: Final = "127.0.0.1"
_FIRST: Final = 20_000
_LAST: Final = 32_000
"""Below the ports that the system gives to clients: what a killed server left must not become a client's."""
_TRIES_MAX: Final = 200


def is_free(port: int) -> bool:
    """Return whether a server could listen on a port of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a port that is free, at random, so that servers that start together rarely choose the same.

    Raises:
        ServerError: none was found.
    """
    draw = SystemRandom()
    for _ in range(_TRIES_MAX):
        port = draw.randint(_FIRST, _LAST)
        if is_free(port):
            return port
    raise ServerError(f"no port of {_FIRST} to {_LAST} is free on {LOOPBACK}: end what listens there")
