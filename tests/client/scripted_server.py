"""A real HTTP server on loopback that answers what a test tells it to, good or broken."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, cast

import msgspec


@dataclass(frozen=True)
class Reply:
    """An answer. `announced_bytes` may say more than there is; with `is_cut` there is no answer at all.

    A stream ends where its body ends, without saying how long it is.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    announced_bytes: int | None = None
    is_cut: bool = False
    is_stream: bool = False


CUT = Reply(is_cut=True)


def problem(status: int, code: str, retry_after: str | None = None, **more: object) -> Reply:
    """Return an error as the API tells it."""
    document = {
        "type": f"urn:rung:problem:{code}",
        "title": "T",
        "status": status,
        "detail": f"About {code}.",
        "code": code,
        **more,
    }
    headers = {"content-type": "application/problem+json"}
    return Reply(
        status,
        msgspec.json.encode(document),
        headers if retry_after is None else {**headers, "retry-after": retry_after},
    )


def stream(*events: str) -> Reply:
    """Return a stream of server-sent events, each without its blank line."""
    body = "".join(f"{event}\n\n" for event in events).encode()
    return Reply(200, body, {"content-type": "text/event-stream"}, is_stream=True)


@dataclass(frozen=True)
class Heard:
    """A request as it came."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class ScriptedServer:
    """Gives its replies one after the other, the last one for ever, and keeps what it was asked."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.heard: list[Heard] = []
        self._replies: list[Reply] = []
        self._lock = threading.Lock()

    def script(self, *replies: Reply) -> None:
        """Set the replies, and forget what was heard."""
        with self._lock:
            self._replies = list(replies)
            self.heard = []

    def reply_to(self, heard: Heard) -> Reply:
        """Return what a request is answered."""
        with self._lock:
            self.heard.append(heard)
            return self._replies[min(len(self.heard), len(self._replies)) - 1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: ClassVar[ScriptedServer]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base names it so
        """Print nothing."""

    def do_GET(self) -> None:
        """Answer by the script."""
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.script.reply_to(Heard(self.command, self.path, headers, body))
        if reply.is_cut:
            self.close_connection = True
            cast("socket.socket", self.connection).shutdown(socket.SHUT_RDWR)
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if not reply.is_stream and reply.status != 304:
            announced = len(reply.body) if reply.announced_bytes is None else reply.announced_bytes
            self.send_header("content-length", str(announced))
        self.end_headers()
        self.wfile.write(reply.body)
        self.close_connection = reply.is_stream or reply.announced_bytes is not None

    def do_POST(self) -> None:
        """Answer by the script."""
        self.do_GET()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Tell of an error, unless it is that a client has left, as some do."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(cast("socket.socket", request), client_address)


@contextmanager
def scripted_server() -> Generator[ScriptedServer]:
    """Run a server on a free port of loopback."""

    class Handler(_Handler):
        pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        Handler.script = ScriptedServer(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Handler.script
        finally:
            server.shutdown()
            thread.join()
