"""Where a server is."""

from __future__ import annotations

from urllib.parse import urlsplit

from rung.client.errors import Refused
from rung.status.hosts import is_loopback_host


def checked_address(url: str, *, allow_plain_http: bool) -> str:
    """Return the address of a server, without a slash at its end.

    Raises:
        Refused: it is none, holds what an address must not, or would send keys over a network in clear text.
    """
    try:
        parts = urlsplit(url)
        host = parts.netloc
        named = parts.hostname and parts.port != 0
    except ValueError:
        raise _refused("it cannot be read") from None
    if parts.scheme not in {"http", "https"} or not named:
        raise _refused("it has to start with https:// and the server's name")
    if "@" in host:
        raise _refused("it holds a user or password; give the key or token beside it")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise _refused("it has to end before any ? or #")
    if parts.scheme == "http" and not allow_plain_http and not is_loopback_host(host):
        raise _refused(
            "http:// beyond this machine would show the key to the network: use https://, or say "
            "allow_plain_http=True where the network is your own"
        )
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


def _refused(reason: str) -> Refused:
    """Return the error; the address itself is not in it, because it may hold a secret."""
    return Refused("bad_server", f"The server's address: {reason}. Example: https://rung.example")
