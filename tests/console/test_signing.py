"""Signing in: what is told, how often it may fail, and where it leads."""

from __future__ import annotations

import pytest

from console.console_rig import OWN, PASSWORD, Rig
from rung.console.application import local_path
from rung.console.attempts import ALL_BURST, BURST, SECONDS_EACH, Attempts


@pytest.mark.parametrize(
    ("name", "password", "status", "text"),
    [
        ("", PASSWORD, 422, "Write your name and your password."),
        ("ann", "", 422, "Write your name and your password."),
        ("ann", "wrong", 403, "Name and password do not belong together."),
        ("nobody", PASSWORD, 403, "Name and password do not belong together."),
        ("ann\0", PASSWORD, 403, "Name and password do not belong together."),
        ("<b>", "wrong", 403, "&lt;b&gt;"),
    ],
)
def test_refused(own: Rig, name: str, password: str, status: int, text: str) -> None:
    """A wrong name and a wrong password are told alike; the name is kept, the password is not."""
    answer = own.somebody().sign_in(name, password)
    assert answer.status_code == status
    assert text in answer.text
    assert "set-cookie" not in answer.headers
    assert not password or f'value="{password}"' not in answer.text
    assert "<title>Error: Sign in" in answer.text


def test_too_many_failures(own: Rig) -> None:
    """After some failures a name has to wait, with the right password as well; another name need not."""
    person = own.somebody()
    for _ in range(BURST):
        assert person.sign_in("ann", "wrong").status_code == 403
    answer = person.sign_in("ann")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= SECONDS_EACH + 1
    assert "Too many attempts failed. Try again in " in answer.text
    assert person.sign_in("bob").status_code == 303


def test_how_often() -> None:
    """The limits hold to the attempt: per name, for all names together, and they pass with time."""
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(BURST):
        assert attempts.wait_seconds("ann") == 0
        attempts.failed("ann")
    assert attempts.wait_seconds("ann") == pytest.approx(SECONDS_EACH)
    assert attempts.wait_seconds("bob") == 0
    now[0] += SECONDS_EACH + 0.001
    assert attempts.wait_seconds("ann") == 0
    attempts.failed("ann")
    assert attempts.wait_seconds("ann") > 0
    now[0] += 10_000
    for number in range(ALL_BURST):
        assert attempts.wait_seconds(f"name-{number}") == 0
        attempts.failed(f"name-{number}")
    assert attempts.wait_seconds("another") > 0


def test_it_leads_on(rig: Rig) -> None:
    """Whoever is asked to sign in comes to the page that was asked for, with its query."""
    person = rig.somebody()
    asked = person.get("/users?id=a%26b")
    assert asked.headers["location"] == "/sign-in?next=%2Fusers%3Fid%3Da%2526b"
    form = person.get(asked.headers["location"])
    assert 'name="next" value="/users?id=a%26b"' in form.text
    fields = {"name": "ann", "password": PASSWORD, "next": "/users?id=a%26b"}
    answer = person.client.post("/sign-in", data=fields, headers=OWN)
    assert answer.headers["location"] == "/users?id=a%26b"
    assert person.get("/sign-in").headers["location"] == "/"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/users?id=1", "/users?id=1"),
        ("", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\\b", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nset-cookie: a=b", "/"),
        ("users", "/"),
    ],
)
def test_it_leads_nowhere_else(text: str, path: str) -> None:
    """What was asked for is a path of this console, or it is the first page."""
    assert local_path(text) == path


def test_nobody_yet(own: Rig) -> None:
    """Without an account the page says how to make one, and nobody gets in."""
    for name in ("vera", "bob", "ann", "cat"):
        own.console.accounts.remove(name)
    assert "rung accounts add NAME --role approver" in own.somebody().get("/sign-in").text
    assert own.somebody().sign_in("ann").status_code == 403


def test_accounts_that_cannot_be_read(own: Rig) -> None:
    """A damaged file of accounts is told, and lets nobody in, not even who is signed in."""
    ann = own.person("ann")
    own.console.accounts.path.write_text("{")
    answer = ann.get("/")
    assert answer.status_code == 503
    assert "is damaged" in answer.text
