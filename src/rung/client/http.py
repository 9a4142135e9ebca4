"""From requests and answers as values to those of the HTTP library, and back."""

from __future__ import annotations

import ssl
from typing import Final, TypedDict

import httpx2

from rung.client.exchange import Answer, NoAnswer, Request, StreamEvent
from rung.client.watching import SILENCE_SECONDS_MAX

TIMEOUT_SECONDS: Final = 10.0
"""How long connecting, each write and each read may take, if nothing else is said."""
_MILLISECONDS: Final = 1_000


class Arguments(TypedDict):
    """What the HTTP library's `build_request` is called with."""

    method: str
    url: str
    headers: dict[str, str]
    content: bytes | None
    timeout: httpx2.Timeout


def arguments(
    address: str, request: Request, timeout_seconds: float, *, is_stream: bool = False
) -> Arguments:
    """Return a request as the library takes it; its time to read has the server's waiting in it."""
    read_seconds = SILENCE_SECONDS_MAX if is_stream else timeout_seconds + request.wait_seconds
    return Arguments(
        method=request.method,
        url=address + request.target,
        headers=dict(request.headers),
        content=request.body or None,
        timeout=httpx2.Timeout(timeout_seconds, read=read_seconds),
    )


def trust_of(address: str) -> ssl.SSLContext | bool:
    """Return by what certificates are checked: the system's authorities, or those of SSL_CERT_FILE.

    Loading them takes longer than a question does, so without TLS there are none.
    """
    return True if address.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def answer_of(response: httpx2.Response, body: bytes) -> Answer:
    """Return an answer, its body given apart."""
    return Answer(
        response.status_code, {name.lower(): value for name, value in response.headers.items()}, body
    )


def no_answer_of(error: httpx2.RequestError, address: str) -> NoAnswer:
    """Return that there is no answer, and why."""
    why = (
        "it took too long"
        if isinstance(error, httpx2.TimeoutException)
        else str(error) or type(error).__name__
    )
    return NoAnswer(f"{address} does not answer: {why}")


def event_of(event: httpx2.ServerSentEvent) -> StreamEvent:
    """Return an event of a stream."""
    seconds = None if event.retry is None else event.retry / _MILLISECONDS
    return StreamEvent(event.event, event.id, event.data, seconds)
