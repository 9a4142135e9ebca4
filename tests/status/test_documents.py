"""Statuses as documents: tags, conditions, heads, and several users in one question."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from cli.command import purchase
from rung.status.messages import USERS_MAX
from rung.status.routes import QUESTION_BYTES_MAX
from rung.status.users import etag_of, is_current
from status.api_rig import ANN, Rig, running

USERS = "/v1/users/status"
JSON = {"content-type": "application/json"}


@pytest.fixture
def rig(tmp_path: Path) -> Generator[Rig]:
    """Return an API with the small campaign."""
    with running(tmp_path) as made:
        yield made


def test_conditional_requests(rig: Rig) -> None:
    """Who has the present document is told so without it; any change gives another tag."""
    first = rig.client.get(ANN)
    etag = first.headers["etag"]
    again = rig.client.get(ANN, headers={"if-none-match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert again.headers["cache-control"] == first.headers["cache-control"] == "private, no-cache"
    assert again.headers["vary"] == first.headers["vary"] == "Authorization"
    assert "content-type" not in again.headers
    rig.post(purchase("t1"))
    rig.work()
    changed = rig.client.get(ANN, headers={"if-none-match": etag})
    assert (changed.status_code, changed.headers["etag"] != etag) == (200, True)


@pytest.mark.parametrize(
    ("header", "is_it"),
    [
        ("", False), ('"x"', False), ("{etag}", True), ("W/{etag}", True), ("*", True),
        ('"x", {etag}', True), ('"x",W/{etag},"y"', True), ('"x", "y"', False), ("{etag}x", False),
    ],
)  # fmt: skip
def test_tags(header: str, is_it: bool) -> None:
    """A list of tags, weak ones and any tag are understood (RFC 9110, 13.1.2)."""
    etag = etag_of(b"document")
    assert is_current(header.replace("{etag}", etag), etag) is is_it


def test_heads(rig: Rig) -> None:
    """HEAD is answered as GET is, with the same tag."""
    got, head = rig.client.get(ANN), rig.client.head(ANN)
    assert (head.status_code, head.headers["etag"]) == (200, got.headers["etag"])
    assert rig.client.head(ANN, headers={"if-none-match": got.headers["etag"]}).status_code == 304


def test_several_users(rig: Rig) -> None:
    """Several users are told in the order in which they were asked for, each as it is alone."""
    rig.post(purchase("t1"), purchase("t2", user="bob"), purchase("t3", user="bob"))
    rig.work()
    asked = {"user_ids": ["bob", "ann", "a/b", "bob"], "at": "2021-08-04", "campaign": "small"}
    answer = rig.client.post(USERS, json=asked)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    alone = [
        rig.client.get(f"/v1/users/{user}/status?at=2021-08-04&campaign=small").json()
        for user in ("bob", "ann", "a%2Fb", "bob")
    ]
    assert answer.json() == {"statuses": alone}
    assert [one["campaigns"][0]["counting"]["measures"]["payments"] for one in alone] == [2, 1, 0, 2]


@pytest.mark.parametrize(
    ("count", "status"), [(0, 400), (1, 200), (USERS_MAX - 1, 200), (USERS_MAX, 200), (USERS_MAX + 1, 400)]
)
def test_how_many_users(rig: Rig, count: int, status: int) -> None:
    """One to a hundred users may be asked for at once."""
    answer = rig.client.post(USERS, json={"user_ids": [f"u{number}" for number in range(count)]})
    assert answer.status_code == status
    if status == 200:
        assert [one["user_id"] for one in answer.json()["statuses"]] == [f"u{n}" for n in range(count)]
    else:
        assert answer.json()["detail"] == f"body: user_ids: it has {count} ids; ask for 1 to 100."


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "bad_body", "body: Input data was truncated."),
        (b"[]", "bad_body", "Expected `object`, got `array`"),
        (b'{"user_ids":["a"],"is_admin":true}', "bad_body", "unknown field `is_admin`"),
        (b'{"user_ids":["a"],"user_id":"b"}', "bad_body", "unknown field `user_id`"),
        (b'{"user_ids":"ann"}', "bad_body", "Expected `array`, got `str`"),
        (b'{"user_ids":[1]}', "bad_body", "$.user_ids[0]"),
        (b'{"user_ids":[' * 5_000, "bad_body", "body: "),
        (b"[" * 100_000, "bad_body", "body: "),
        (b'{"user_ids":["\\ud800"]}', "bad_body", "body: "),
        (b'{"user_ids":["\xff"]}', "bad_body", "body: "),
        (b'{"user_ids":[""]}', "bad_user_id", "it is empty"),
        (b'{"user_ids":["' + b"x" * 129 + b'"]}', "bad_user_id", "129 bytes"),
        (b'{"user_ids":["a"],"at":"now"}', "bad_at", "got 'now'"),
        (b'{"user_ids":["a"],"campaign":"smal"}', "unknown_campaign", "none is named 'smal'"),
    ],
)
def test_bad_questions(rig: Rig, content: bytes, code: str, words: str) -> None:
    """A question that is not closed, typed and small is refused with its place."""
    problem = rig.problem("POST", USERS, content=content, headers=JSON)
    assert (problem["code"], words in problem["detail"]) == (code, True), problem
    assert problem["status"] == (404 if code == "unknown_campaign" else 400)


@pytest.mark.parametrize("length", [QUESTION_BYTES_MAX - 1, QUESTION_BYTES_MAX, QUESTION_BYTES_MAX + 1])
def test_how_long_a_question_may_be(rig: Rig, length: int) -> None:
    """A question has 128 KiB at most."""
    content = b'{"user_ids":["ann"]}'
    answer = rig.client.post(USERS, content=content + b" " * (length - len(content)), headers=JSON)
    assert answer.status_code == (200 if length <= QUESTION_BYTES_MAX else 413)


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"content": b"{}"}, 415, "unsupported_media_type"),
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "unsupported_media_type"),
        ({"content": iter([b"{}"]), "headers": JSON}, 411, "length_required"),
        ({"content": b"{}", "headers": {**JSON, "content-length": "9"}}, 400, "incomplete_body"),
    ],
)
def test_bodies_refused(rig: Rig, more: dict[str, Any], status: int, code: str) -> None:
    """A question comes as JSON, whole, and tells its length."""
    problem = rig.problem("POST", USERS, **more)
    assert (problem["status"], problem["code"]) == (status, code)


@pytest.mark.parametrize("path", ["/v1/campaigns", "/healthz", "/readyz", "/metrics"])
def test_routes_without_parameters(rig: Rig, path: str) -> None:
    """A route that takes no parameters says so, rather than passing over one."""
    problem = rig.problem("GET", f"{path}?user_id=bob")
    assert (problem["code"], problem["detail"]) == (
        "unknown_parameter",
        "'user_id': no such parameter; this route takes none.",
    )


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "missing_parameter"), ("?campaign=small", "missing_parameter"), ("?period=2021-08", "missing_parameter"),
        ("?campaign=small&period=2021-08&version=x", "bad_version"), ("?campaign=small&period=2021-08&at=1", "unknown_parameter"),
    ],
)  # fmt: skip
def test_bad_explanations(rig: Rig, query: str, code: str) -> None:
    """An explanation is of one campaign and period, both named."""
    assert rig.problem("GET", f"/v1/users/ann/explain{query}")["code"] == code


def test_readiness_is_told_with_care(rig: Rig) -> None:
    """Whoever asks learns whether the server is ready; why it is not is for those who may read metrics."""
    rig.post(purchase("t1"))
    rig.clock.now += 61_000_000
    assert "An event has waited 61 seconds" in rig.problem("GET", "/readyz")["detail"]
    del rig.client.headers["authorization"]
    problem = rig.problem("GET", "/readyz")
    assert (problem["status"], problem["code"]) == (503, "not_ready")
    assert (
        problem["detail"] == "Events are not applied as they should be; a key with metrics:read is told more."
    )
