"""The issuer's keys, from a file and from a real server: bounded, and never followed elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from callers import key_set
from rung.access.tokens import KEY_SET_BYTES_MAX, KeySetUnusable, read_key_set
from rung.status.key_sets import key_set_reader

SECRET = b'{"keys": "of somebody else"}'


class Handler(BaseHTTPRequestHandler):
    """Answers as its path says."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("location", "/elsewhere")
            self.end_headers()
            return
        body = {"/jwks": key_set(), "/large": b" " * (KEY_SET_BYTES_MAX + 1), "/elsewhere": SECRET}.get(
            self.path, b""
        )
        self.send_response(200 if body else 500)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Write nothing."""


@contextmanager
def issuer() -> Generator[tuple[str, list[str]]]:
    """Run an issuer, and give its address and the paths that it was asked for."""
    asked: list[str] = []
    handler = type("Asked", (Handler,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def test_by_url(tmp_path: Path) -> None:
    """A key set is read from the URL that is set."""
    with issuer() as (address, asked):
        found = read_key_set(key_set_reader(f"{address}/jwks", tmp_path)(), frozenset({"ES256"}))
    assert (set(found.keys), asked) == ({"ES256-one"}, ["/jwks"])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/redirect", "it answers 302"),
        ("/none", "it answers 500"),
        ("/large", "it has more than 262,144 bytes"),
    ],
)
def test_what_is_not_taken(tmp_path: Path, path: str, words: str) -> None:
    """A redirect is not followed, an error is none, and what is too large is not read to its end."""
    with issuer() as (address, asked):
        with pytest.raises(KeySetUnusable) as caught:
            key_set_reader(f"{address}{path}", tmp_path)()
        assert words in str(caught.value)
        assert address in str(caught.value)
    assert asked == [path]


def test_nobody_answers(tmp_path: Path) -> None:
    """An issuer that is away is told of by its address."""
    with issuer() as (address, _asked):
        pass
    with pytest.raises(KeySetUnusable, match=f"{address}/jwks: "):
        key_set_reader(f"{address}/jwks", tmp_path)()


def test_by_file(tmp_path: Path) -> None:
    """A file is found from the home on; one that is missing is named."""
    (tmp_path / "jwks.json").write_bytes(key_set())
    assert key_set_reader("jwks.json", tmp_path)() == key_set()
    assert key_set_reader(str(tmp_path / "jwks.json"), Path("/"))() == key_set()
    with pytest.raises(KeySetUnusable, match=r"none\.json: No such file"):
        key_set_reader("none.json", tmp_path)()


@pytest.mark.parametrize(
    "url", ["http://issuer.example/jwks", "http://10.0.0.1/jwks", "http://localhost.evil/jwks"]
)
def test_only_by_tls(tmp_path: Path, url: str) -> None:
    """Keys that come without TLS could be anybody's; only this machine is trusted so."""
    with pytest.raises(KeySetUnusable, match="use https"):
        key_set_reader(url, tmp_path)
    key_set_reader("https://issuer.example/jwks", tmp_path)
