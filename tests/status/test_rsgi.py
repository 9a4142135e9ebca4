"""The API under Granian's own interface, over real connections: what only a real server shows."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Generator

import pytest

from cli.command import SPEC, purchase
from end_to_end.test_kill import serving
from rung.cli.main import run


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Generator[int]:
    """Return the port of a server with the small campaign."""
    folder = tmp_path_factory.mktemp("rsgi")
    spec = folder / "small.yaml"
    spec.write_text(SPEC, encoding="utf-8")
    for arguments in (["init"], ["campaign", "apply", str(spec)]):
        assert run(["--home", str(folder / "home"), *arguments]) == 0
    with serving(folder / "home") as (_process, port):
        yield port


def ask(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """Return the answer to one request, and its body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def exchange(port: int, request: bytes, *, cut: bool = False) -> bytes:
    """Send bytes, and return all that comes back; `cut` ends the connection behind them."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        if cut:
            connection.shutdown(socket.SHUT_WR)
        found = b""
        while piece := connection.recv(65_536):
            found += piece
        return found


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/v1/users/ann/status", {}, 200, None),
        ("GET", "/v1/users/ann/status?at=2021-08-01T00:00:00+09:00", {}, 200, None),
        ("GET", "/v1/users/ann/campaigns/small", {}, 200, None),
        ("GET", "/v1/users/ann/campaigns/smal", {}, 404, "unknown_campaign"),
        ("GET", "/v1/users/%FF/status", {}, 400, "bad_user_id"),
        ("GET", "/v1/users/ann/status?at=%FF", {}, 400, "bad_at"),
        ("POST", "/v1/users/ann/status", {}, 405, "method_not_allowed"),
        ("GET", "/v1/users/ann/status", {"host": "evil.example"}, 421, "host_not_allowed"),
        ("GET", "/healthz", {}, 200, None),
        ("GET", "/healthz", {"host": "evil.example"}, 421, "host_not_allowed"),
        ("DELETE", "/healthz", {}, 405, "method_not_allowed"),
        ("GET", "/none", {}, 404, "not_found"),
    ],
)
def test_answers(
    port: int, method: str, path: str, headers: dict[str, str], status: int, code: str | None
) -> None:
    """Every kind of answer keeps its status, its headers and its document."""
    answer, body = ask(port, method, path, None, **headers)
    assert answer.status == status
    media_type = "application/json" if code is None else "application/problem+json"
    assert answer.headers["content-type"] == media_type
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert int(answer.headers["content-length"]) == len(body)
    assert json.loads(body).get("code") == code


@pytest.mark.parametrize(
    ("segment", "user_id"), [("a%2Fb", "a/b"), ("%E3%83%A6", "ユ"), ("a+b", "a+b"), ("a%20b", "a b")]
)
def test_ids_are_unescaped_once(port: int, segment: str, user_id: str) -> None:
    """An id with any character is the id that is shown."""
    _answer, body = ask(port, "GET", f"/v1/users/{segment}/status")
    assert json.loads(body)["user_id"] == user_id


@pytest.mark.parametrize("path", ["/v1/users/ann/status", "/healthz", "/"])
def test_head(port: int, path: str) -> None:
    """HEAD has the headers of GET, and no body."""
    answer, body = ask(port, "HEAD", path)
    assert (answer.status, body) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


def test_an_event_by_post(port: int) -> None:
    """An event is taken with its position; half of one is not, nor one of unknown length."""
    event = purchase("t1", user="zoe").encode()
    answer, body = ask(port, "POST", "/v1/events", event, content_type="application/json")
    assert (answer.status, json.loads(body)["accepted"]) == (202, 1)
    offset = json.loads(body)["position"]["offset"]
    head = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    chunk = b"%x\r\n%s\r\n" % (len(event), event)
    assert b" 202 " not in exchange(port, head + b"Content-Length: 2000\r\n\r\n" + event, cut=True)
    assert b" 411 " in exchange(port, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n")
    _answer, body = ask(port, "POST", "/v1/events", event, content_type="application/json")
    assert json.loads(body)["position"]["offset"] == offset + 1


def test_a_host_is_only_asked_of_browsers(port: int) -> None:
    """A request without a Host comes from no web page, and is answered."""
    assert b" 200 " in exchange(port, b"GET /healthz HTTP/1.0\r\n\r\n")
