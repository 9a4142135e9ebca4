"""From RSGI, Granian's own interface, to an ASGI application.

RSGI hands over a request, and takes an answer, in one call each, where ASGI needs a dictionary and
three. The busy routes are answered in it directly; the others come through here.
"""

from __future__ import annotations

from typing import Any, Protocol

from starlette.types import ASGIApp, Message


class RsgiHeaders(Protocol):
    """The headers of a request; names are in lower case."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the first value of a header."""
        ...

    def items(self) -> list[tuple[str, str]]:
        """Return all headers."""
        ...


class RsgiScope(Protocol):
    """A request. `path` is unescaped, `query_string` is not."""

    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str

    @property
    def headers(self) -> RsgiHeaders:
        """The headers."""
        ...


class RsgiTransport(Protocol):
    """Sends a body piece by piece; raises RuntimeError once the client has gone."""

    async def send_bytes(self, data: bytes) -> None:
        """Send a piece."""
        ...


class RsgiExchange(Protocol):
    """The other side of one request."""

    async def __call__(self) -> bytes:
        """Return the whole body; a RuntimeError if the client went away before its end."""
        ...

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer."""
        ...

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Answer without a body."""
        ...

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> RsgiTransport:
        """Begin an answer, and return what sends its body."""
        ...


async def answer_by_asgi(application: ASGIApp, scope: RsgiScope, exchange: RsgiExchange) -> None:
    """Let an ASGI application answer; its answers are collected and sent whole."""
    answer: dict[str, Any] = {}
    body: list[bytes] = []

    async def receive() -> Message:
        try:
            return {"type": "http.request", "body": await exchange(), "more_body": False}
        except RuntimeError:
            return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.update(message)
        else:
            body.append(message.get("body", b""))

    await application(_asgi_scope(scope), receive, send)
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer["headers"]]
    exchange.response_bytes(answer["status"], headers, b"".join(body))


def _asgi_scope(scope: RsgiScope) -> dict[str, Any]:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in scope.headers.items()]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": scope.http_version,
        "server": _address(scope.server),
        "client": _address(scope.client),
        "scheme": scope.scheme,
        "method": scope.method,
        "root_path": "",
        "path": scope.path,
        "query_string": scope.query_string.encode(),
        "headers": headers,
    }


def _address(text: str) -> tuple[str, int | None]:
    host, _, port = text.rpartition(":")
    return host, int(port) if port.isdecimal() else None
