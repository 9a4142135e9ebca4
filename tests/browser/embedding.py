"""The shop of examples/embedding: another origin, whose page shows the component under a strict policy."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Final

from callers import token
from cli.command import EXAMPLES

_FOLDER: Final = EXAMPLES / "embedding"
_REWARDS: Final = "https://rewards.example"
"""What the example calls the server of the component; the tests put the real one there."""
_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_TOKEN_SECONDS: Final = 600


@dataclass
class Shop:
    """The shop's server. `rewards` is where the component comes from; tokens live as long as said, each in turn."""

    origin: str
    rewards: str = ""
    token_seconds: list[int] = field(default_factory=list[int])

    @property
    def policy(self) -> str:
        """The content security policy of the shop's page."""
        sources = f"'self' {self.rewards}"
        return f"default-src 'none'; style-src 'self'; img-src data:; script-src {sources}; connect-src {sources}"

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """Return media type and content of what is there; None if nothing is."""
        if path == "/session/rewards-token":
            seconds = self.token_seconds.pop(0) if self.token_seconds else _TOKEN_SECONDS
            return "text/plain", token("guest", exp=int(time.time()) + seconds).encode()
        file = _FOLDER / (path.strip("/") or "index.html")
        if file.parent != _FOLDER or file.suffix not in _TYPES:
            return None
        return _TYPES[PurePosixPath(file).suffix], file.read_text("utf-8").replace(
            _REWARDS, self.rewards
        ).encode()


@contextmanager
def shop() -> Generator[Shop]:
    """Serve the shop on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        one = Shop(f"http://127.0.0.1:{server.server_port}")

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = one.answer(self.path)
                if found is None:
                    self.send_error(404)
                    return
                media_type, content = found
                self.send_response(200)
                self.send_header("content-type", f"{media_type}; charset=utf-8")
                self.send_header("content-length", str(len(content)))
                self.send_header("content-security-policy", one.policy)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                """Say nothing: a test's output is its own."""

        server.RequestHandlerClass = Handler
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield one
        finally:
            server.shutdown()
            thread.join()
