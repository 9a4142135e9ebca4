"""Requests that change something come from a page of the console, or nothing happens."""

from __future__ import annotations

import pytest

from console.console_rig import ORIGIN, Rig
from rung.console.forms import BODY_BYTES_MAX, FIELDS_MAX
from rung.console.origin import Origin, OriginWrong
from rung.operations.audited import read_audit

HTTPS = "https://rung.example.com"


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"origin": ORIGIN}, True),
        ({"origin": ORIGIN, "sec-fetch-site": "same-origin"}, True),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({}, False),
        ({"origin": "null"}, False),
        ({"origin": "null", "sec-fetch-site": "cross-site"}, False),
        ({"origin": ORIGIN, "sec-fetch-site": "cross-site"}, False),
        ({"origin": ORIGIN, "sec-fetch-site": "same-site"}, False),
        ({"origin": "http://127.0.0.1:8091"}, False),
        ({"origin": "https://127.0.0.1:8090"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": f"{ORIGIN}.evil.example"}, False),
    ],
)
def test_where_a_form_comes_from(rig: Rig, headers: dict[str, str], passes: bool) -> None:
    """A form of another site, or one that tells nothing of where it is from, is refused before all else."""
    ann = rig.person("ann")
    fields = {"csrf": ann.csrf, "spec": ""}
    answer = ann.client.post("/simulate", data=fields, headers=headers)
    assert answer.status_code == (422 if passes else 403)
    assert ("does not come from a page of this console" in answer.text) is not passes
    assert ("Nothing was changed." in answer.text) is not passes


@pytest.mark.parametrize("token", [None, "", "x", "of somebody else"])
def test_without_the_token(own: Rig, token: str | None) -> None:
    """Without the session's own token nothing is changed, on any route that changes something."""
    bob = own.person("bob")
    wrong = own.person("ann").csrf if token == "of somebody else" else token
    before = len(read_audit(own.console.services.store).entries)
    for path in ("/batch/verify", "/quarantine/retry", "/changes", "/requests", "/simulate", "/sign-out"):
        fields = {"reason": "bad_amount"} if wrong is None else {"reason": "bad_amount", "csrf": wrong}
        answer = bob.client.post(path, data=fields, headers={"origin": ORIGIN})
        assert answer.status_code == 403, path
        assert "load the page anew" in answer.text
    assert len(read_audit(own.console.services.store).entries) == before
    assert own.console.jobs.recent() == []
    assert bob.get("/").status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "status", "text"),
    [
        (b"{}", "application/json", 415, "This path takes a form"),
        (b"--x--", "multipart/form-data; boundary=x", 415, "This path takes a form"),
        (b"csrf=%ff", "application/x-www-form-urlencoded", 400, "are not UTF-8"),
        (
            b"&".join([b"a=1"] * (FIELDS_MAX + 1)),
            "application/x-www-form-urlencoded",
            400,
            f"or more than {FIELDS_MAX}",
        ),
        (
            b"a" * (BODY_BYTES_MAX + 1),
            "application/x-www-form-urlencoded",
            413,
            "A form has at most 1,048,576 bytes",
        ),
    ],
)
def test_what_is_no_form(rig: Rig, content: bytes, kind: str, status: int, text: str) -> None:
    """What is no form, or too large a one, is refused with what is due."""
    answer = rig.person("ann").client.post(
        "/simulate", content=content, headers={"origin": ORIGIN, "content-type": kind}
    )
    assert answer.status_code == status
    assert text in answer.text


def test_a_form_at_the_limit(rig: Rig) -> None:
    """A form of just the greatest size is read."""
    ann = rig.person("ann")
    head = f"csrf={ann.csrf}&periods=2021-08&spec=".encode()
    answer = ann.client.post(
        "/simulate",
        content=head + b"a" * (BODY_BYTES_MAX - len(head)),
        headers={"origin": ORIGIN, "content-type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == 422
    assert "a spec has at most 262144 bytes" in answer.text


def test_an_address_that_is_too_long(rig: Rig) -> None:
    """An address beyond the limit is refused."""
    assert rig.person("ann").get(f"/users?id={'a' * 2_100}").status_code == 414


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rung.example.com", "is no origin"),
        ("https://rung.example.com/", "is no origin"),
        ("https://rung.example.com/console", "is no origin"),
        ("https://ann@rung.example.com", "is no origin"),
        ("http://rung.example.com", "is not https"),
        ("ftp://rung.example.com", "is not https"),
    ],
)
def test_no_origin(text: str, problem: str) -> None:
    """An origin that is none, or that would have passwords pass in the clear, is refused at the start."""
    with pytest.raises(OriginWrong, match=problem):
        Origin(text)


@pytest.mark.parametrize(
    ("origin", "host", "answers"),
    [
        ("", "127.0.0.1:8090", True),
        ("", "localhost", True),
        ("", "[::1]:8090", True),
        ("", "rung.example.com", False),
        ("", "127.0.0.1.evil.example", False),
        ("", "", False),
        (HTTPS, "rung.example.com", True),
        (HTTPS, "rung.example.com:8090", False),
        (HTTPS, "localhost", False),
        ("http://localhost:9", "localhost:9", True),
    ],
)
def test_hosts(origin: str, host: str, answers: bool) -> None:
    """The console answers to its own name: that of its origin, or of loopback if it has none."""
    assert Origin(origin).answers_to(host) is answers
