"""The key or token that a client shows to the server, and to nobody else."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from rung.client.errors import NotAllowed

Credential: TypeAlias = str | Callable[[], str]
"""A service's key or a user's token, or a function that gives the present one, called for each request."""
AsyncCredential: TypeAlias = Credential | Callable[[], Awaitable[str]]
"""The same for an event loop, where the function may be asynchronous."""

_SENDABLE: Final = re.compile(r"[\x21-\x7e]+")


def checked(text: str) -> str:
    """Return a key or token as it is sent: without white space around it.

    Raises:
        NotAllowed: it is empty, or could not stand in a header; its text is not in the error.
    """
    credential = text.strip()
    if not credential:
        raise NotAllowed("missing_credentials", "The key or token is empty.")
    if _SENDABLE.fullmatch(credential) is None:
        raise NotAllowed("bad_credentials", "The key or token holds characters that none can have.")
    return credential
