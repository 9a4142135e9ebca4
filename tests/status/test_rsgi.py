"""The API under Granian's own interface, over real connections: what only a real server shows."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callers import AUTHORIZED, KEY, KEYS, key_of
from cli.command import SPEC, purchase
from end_to_end.test_kill import serving
from rung.access.keys import Keys
from rung.access.permissions import Scope
from rung.cli.main import run
from rung.durable import put
from rung.status.serve import HEAD_BYTES_MAX


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with the small campaign."""
    folder = tmp_path_factory.mktemp("rsgi")
    spec = folder / "small.yaml"
    spec.write_text(SPEC, encoding="utf-8")
    for arguments in (["init"], ["campaign", "apply", str(spec)]):
        assert run(["--home", str(folder / "home"), *arguments]) == 0
    return folder / "home"


@pytest.fixture(scope="module")
def port(home: Path) -> Generator[int]:
    """Return the port of a server of the home."""
    with serving(home) as (_process, port):
        yield port


def ask(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """Return the answer to one request, and its body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {**AUTHORIZED, **given})
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
    is_status = status == 200 and path.startswith("/v1/users/")
    assert answer.headers["cache-control"] == ("private, no-cache" if is_status else "no-store")
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


def test_not_modified(port: int) -> None:
    """A status that the client has already is told so, without a body or its length."""
    first, _body = ask(port, "GET", "/v1/users/ned/status?at=2021-08-04")
    etag = str(first.headers["etag"])
    answer, body = ask(port, "GET", "/v1/users/ned/status?at=2021-08-04", None, if_none_match=etag)
    assert (answer.status, body, answer.headers["etag"]) == (304, b"", etag)
    assert answer.headers["content-length"] is None


@pytest.mark.parametrize(("size", "is_taken"), [(8_000, True), (HEAD_BYTES_MAX + 4_096, False)])
def test_large_heads(port: int, size: int, is_taken: bool) -> None:
    """Headers of 8 KiB are taken; beyond the bound the server itself refuses, and holds no more of them."""
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Large: %s\r\n\r\n" % (
        b"x" * size
    )
    answer = exchange(port, request)
    assert (b" 200 " in answer) is is_taken
    assert is_taken or answer.startswith(b"HTTP/1.1 431 ")


def test_a_head_that_does_not_end(port: int) -> None:
    """A connection that sends headers without end is closed, and others are answered meanwhile."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        assert ask(port, "GET", "/healthz")[0].status == 200
        slow.settimeout(60)
        assert b" 200 " not in slow.recv(65_536)


def test_an_explanation(port: int) -> None:
    """Each transaction of a period is told with its reason, from the log, once it is applied."""
    event = purchase("x1", user="eve").encode()
    _answer, body = ask(port, "POST", "/v1/events", event, content_type="application/json")
    after = json.loads(body)["after"]
    answer, body = ask(port, "GET", f"/v1/users/eve/status?at=2021-08-04&wait_ms=10000&after={after}")
    assert answer.status == 200, body
    answer, body = ask(port, "GET", "/v1/users/eve/explain?campaign=small&period=2021-08")
    assert answer.status == 200, body
    found = json.loads(body)
    assert (found["exact"], found["measures"], found["user_id"]) == (
        True,
        {"payments": 1, "total": 1_000},
        "eve",
    )
    assert [(one["transaction_id"], one["reason"]) for one in found["transactions"]] == [("x1", "counted")]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("campaign=smal&period=2021-08", 404, "unknown_campaign"),
        ("campaign=small&period=2021-W31", 400, "bad_period"),
        ("campaign=small&period=" + "9" * 100, 400, "bad_period"),
        ("campaign=small&period=2020-12", 404, "not_counted"),
        ("campaign=small&period=2021-08&version=9", 404, "not_counted"),
    ],
)
def test_what_cannot_be_explained(port: int, query: str, status: int, code: str) -> None:
    """A campaign, a period or a version that there is not is named."""
    answer, body = ask(port, "GET", f"/v1/users/eve/explain?{query}")
    assert (answer.status, json.loads(body)["code"]) == (status, code)


def events_of(answer: http.client.HTTPResponse) -> Generator[tuple[str, str]]:
    """Yield the events of a stream: their name and data."""
    name, data = "", ""
    for line in answer:
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data = value
        elif not field and name:
            yield name, data
            name, data = "", ""


def test_a_stream(port: int) -> None:
    """A stream begins with a snapshot, tells each change, and many clients may leave at any time."""
    path = "/v1/users/sue/status/stream"
    for _ in range(20):
        left = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        left.request("GET", path, headers=AUTHORIZED)
        assert left.getresponse().status == 200
        left.close()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers=AUTHORIZED)
    answer = connection.getresponse()
    assert answer.headers["content-type"] == "text/event-stream"
    events = events_of(answer)
    name, data = next(events)
    assert (name, json.loads(data)["user_id"]) == ("status", "sue")
    for number in range(1, 4):
        at = datetime.now(UTC).isoformat()
        event = purchase(f"s{number}", user="sue", at=at).encode()
        assert ask(port, "POST", "/v1/events", event, content_type="application/json")[0].status == 202
        name, data = next(events)
        assert name == "status"
        assert json.loads(data)["campaigns"][0]["counting"]["measures"]["payments"] == number
    connection.close()
    answer, body = ask(port, "HEAD", path)
    assert (answer.status, body, answer.headers["content-type"]) == (200, b"", "text/event-stream")


def test_a_stream_ends_with_its_key(port: int, home: Path) -> None:
    """A stream whose key is revoked is told so, and ended."""
    keys, text = key_of(7, Scope.STATUS_READ)
    (stored,) = keys.stored
    both = Keys((*KEYS.stored, stored))
    put(home / "keys.json", both.encode(), 0o600)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def opened() -> http.client.HTTPResponse:
        connection.request("GET", "/v1/users/sam/status/stream", headers={"authorization": f"Bearer {text}"})
        return connection.getresponse()

    deadline = time.monotonic() + 20
    while (answer := opened()).status != 200:
        answer.read()
        assert time.monotonic() < deadline
    events = events_of(answer)
    assert next(events)[0] == "status"
    put(home / "keys.json", both.revoke(stored.id, 1)[0].encode(), 0o600)
    assert next(events) == ("end", '{"reason":"revoked"}')
    assert answer.read() == b""
    connection.close()


def test_an_event_by_post(port: int) -> None:
    """An event is taken with its position; half of one is not, nor one of unknown length."""
    event = purchase("t1", user="zoe").encode()
    answer, body = ask(port, "POST", "/v1/events", event, content_type="application/json")
    assert (answer.status, json.loads(body)["accepted"]) == (202, 1)
    offset = json.loads(body)["position"]["offset"]
    head = (
        b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
        + f"Authorization: Bearer {KEY}\r\n".encode()
    )
    chunk = b"%x\r\n%s\r\n" % (len(event), event)
    assert b" 202 " not in exchange(port, head + b"Content-Length: 2000\r\n\r\n" + event, cut=True)
    assert b" 411 " in exchange(port, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n")
    _answer, body = ask(port, "POST", "/v1/events", event, content_type="application/json")
    assert json.loads(body)["position"]["offset"] == offset + 1


def test_a_host_is_only_asked_of_browsers(port: int) -> None:
    """A request without a Host comes from no web page, and is answered."""
    assert b" 200 " in exchange(port, b"GET /healthz HTTP/1.0\r\n\r\n")
