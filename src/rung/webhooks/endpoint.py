"""The endpoint that takes messages: where it may be, and one attempt to hand it a message."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import httpx2

from rung.webhooks.outbox import Message
from rung.webhooks.signing import headers

_GONE: Final = 410


class EndpointRefused(Exception):
    """The URL is none that messages may go to; the text says why."""


class EndpointGone(Exception):
    """The endpoint says that it wants no messages any more."""


def check_url(url: str) -> str:
    """Return a URL that messages may go to: https, or on this machine http.

    Raises:
        EndpointRefused: it is another one.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise EndpointRefused(f"webhooks.url: {error}") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise EndpointRefused("webhooks.url: expected a URL such as https://example.com/rung")
    if parts.username is not None or parts.password is not None:
        raise EndpointRefused("webhooks.url: has a name or password in it; messages are signed instead")
    if parts.scheme == "http" and not _is_loopback(host):
        raise EndpointRefused("webhooks.url: messages name users, so they go by https beyond this machine")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Endpoint:
    """Sends messages to a URL. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        keys: Sequence[bytes],
        timeout_seconds: float,
        clock_seconds: Callable[[], float] = time.time,
    ) -> None:
        """Send nothing yet.

        Raises:
            EndpointRefused: messages may not go there.
        """
        self._url = check_url(url)
        self._keys = keys
        self._clock_seconds = clock_seconds
        # Answers that lead elsewhere are not followed, and no proxy is taken from the environment.
        self._client = httpx2.Client(timeout=timeout_seconds, follow_redirects=False, trust_env=False)

    def send(self, message: Message) -> str:
        """Send a message once; return "" if it was taken, else why not.

        Raises:
            EndpointGone: it wants no messages any more (410).
        """
        signed = headers(self._keys, message.message_id, int(self._clock_seconds()), message.body)
        try:
            with self._client.stream("POST", self._url, content=message.body, headers=dict(signed)) as answer:
                status = answer.status_code
        except httpx2.HTTPError as error:
            return str(error) or type(error).__name__
        if status == _GONE:
            raise EndpointGone(f"{self._url} answered 410: it wants no messages any more")
        return "" if answer.is_success else f"{self._url} answered {status}"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
