"""A real HTTP endpoint that takes messages, and at will is slow, drops connections, or says no."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"
TAKEN = 204
DROPPED = 0
"""In place of a status: the connection is closed without an answer."""


@dataclass
class Receiver:
    """What came, in its order, with the answer that each got.

    `answer` chooses it for each message by how many came before; `taken` has the messages that were
    answered well, and `problems` what no receiver may see.
    """

    answer: Callable[[int], int] = lambda _: TAKEN
    delay_seconds: Callable[[int], float] = lambda _: 0.0
    came: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    taken: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    bodies: dict[str, bytes] = field(default_factory=dict[str, bytes])
    problems: list[str] = field(default_factory=list[str])
    under_way: set[str] = field(default_factory=set[str])
    port: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    def take(self, message_id: str, body: bytes, fits: bool) -> tuple[int, float]:
        """Note a message, and return the answer that it gets, and after how long."""
        told = json.loads(body)
        user = told["data"]["user_id"]
        with self.lock:
            if not fits:
                self.problems.append(f"{message_id}: the signature does not fit")
            if self.bodies.setdefault(message_id, body) != body:
                self.problems.append(f"{message_id}: another body under the same id")
            if user in self.under_way:
                self.problems.append(f"{user}: two messages at once")
            self.under_way.add(user)
            number = len(self.came)
            status = self.answer(number)
            self.came.append((message_id, status))
            if 200 <= status < 300:
                self.taken.append({"id": message_id, **told})
            return status, self.delay_seconds(number)

    def done(self, body: bytes) -> None:
        with self.lock:
            self.under_way.discard(json.loads(body)["data"]["user_id"])

    def first_taken(self) -> list[dict[str, Any]]:
        """Return each message that was taken, where it was taken first."""
        return list({message["id"]: message for message in reversed(self.taken)}.values())[::-1]

    def steps(self) -> dict[str, list[tuple[str, str, int]]]:
        """Return what each user was told, in order: type, step, occurrence."""
        found: dict[str, list[tuple[str, str, int]]] = {}
        for message in self.first_taken():
            data = message["data"]
            found.setdefault(data["user_id"], []).append((message["type"], data["step"], data["occurrence"]))
        return found


def _fits(headers: Any, body: bytes) -> bool:
    """Check a signature as the specification says, without the code that made it."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    due = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    is_fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return is_fresh and due in headers["webhook-signature"].split(" ")


@contextmanager
def receiving(receiver: Receiver, port: int = 0) -> Generator[Receiver]:
    """Listen on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, seconds = receiver.take(self.headers["webhook-id"], body, _fits(self.headers, body))
            time.sleep(seconds)
            receiver.done(body)
            if status == DROPPED:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Write nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Write nothing when a sender was killed."""

    with Server(("127.0.0.1", port), Handler) as server:
        receiver.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def configure(home: Path, url: str, more: str = "", settings: str = "") -> None:
    """Let the messages of a home go to a URL; `settings` are those that it has besides."""
    (home / "hook-secret").write_text(f"{SECRET}\n", encoding="ascii")
    (home / "rung.toml").write_text(
        f'{settings}\n[webhooks]\nurl = "{url}"\nfirst_wait_seconds = 0.01\ntimeout_seconds = 1.0\n{more}\n'
        '[webhooks.secrets]\ncurrent = {file = "hook-secret"}\n',
        encoding="utf-8",
    )
