"""Sessions: how they begin, what ends them, and that they stay few."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from console.console_rig import CHEAP, PASSWORD, Rig
from rung.console.accounts import Account
from rung.console.roles import Role
from rung.console.sessions import (
    IDLE_SECONDS,
    SESSION_SECONDS,
    SESSIONS_MAX,
    SESSIONS_OF_ONE_MAX,
    Sessions,
)

ANN = Account("ann", Role.VIEWER, CHEAP.hash(PASSWORD), 1)


@dataclass
class Monotonic:
    """A clock that a test moves."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def monotonic() -> Monotonic:
    """Return a clock."""
    return Monotonic()


@pytest.fixture
def sessions(monotonic: Monotonic) -> Sessions:
    """Return the sessions of a console that has just started."""
    return Sessions(monotonic)


def test_a_session_is_found_by_its_token_alone(sessions: Sessions) -> None:
    """A token is long, opens its own session and is not kept; any other text opens none."""
    token, other = sessions.open(ANN), sessions.open(ANN)
    found = sessions.find(token, passive=False)
    assert found is not None
    assert found.name == "ann"
    assert len(token) >= 43
    assert token != other
    assert found.csrf not in {token, other}
    assert token not in repr(vars(sessions) if hasattr(sessions, "__dict__") else sessions)
    for wrong in ("", token[:-1], f"{token}x", token.swapcase()):
        assert sessions.find(wrong, passive=False) is None


def test_idle(sessions: Sessions, monotonic: Monotonic) -> None:
    """A session ends when nothing is asked for long enough; each request begins that time anew."""
    token = sessions.open(ANN)
    for _ in range(3):
        monotonic.now += IDLE_SECONDS - 0.001
        assert sessions.find(token, passive=False) is not None
    monotonic.now += IDLE_SECONDS
    assert sessions.find(token, passive=False) is None
    assert len(sessions) == 0


def test_what_a_page_asks_by_itself(sessions: Sessions, monotonic: Monotonic) -> None:
    """A page that is left open asks on and on, and its session ends all the same."""
    token = sessions.open(ANN)
    for _ in range(10):
        assert sessions.find(token, passive=True) is not None
        monotonic.now += IDLE_SECONDS / 10
    assert sessions.find(token, passive=True) is None


def test_however_busy(sessions: Sessions, monotonic: Monotonic) -> None:
    """After the longest time a session ends, whoever is working in it."""
    token = sessions.open(ANN)
    while monotonic.now + 60 < 1_000 + SESSION_SECONDS:
        monotonic.now += 60
        assert sessions.find(token, passive=False) is not None
    monotonic.now = 1_000 + SESSION_SECONDS
    assert sessions.find(token, passive=False) is None


def test_sessions_are_bounded(sessions: Sessions) -> None:
    """Of one account, and of all together, the oldest sessions give way."""
    tokens = [sessions.open(ANN) for _ in range(SESSIONS_OF_ONE_MAX + 1)]
    assert [sessions.find(token, passive=True) is not None for token in tokens] == [False] + [
        True
    ] * SESSIONS_OF_ONE_MAX
    for number in range(SESSIONS_MAX + 5):
        sessions.open(Account(f"user-{number}", Role.VIEWER, ANN.hash, 1))
    assert len(sessions) == SESSIONS_MAX
    assert sessions.find(tokens[-1], passive=True) is None


def test_sign_in_and_out(own: Rig) -> None:
    """The cookie is out of reach for scripts and other sites; after signing out it opens nothing."""
    person = own.somebody()
    answer = person.sign_in("ann")
    cookie = answer.headers["set-cookie"]
    name, _, rest = cookie.partition("=")
    assert name == "rung-session"
    assert {part.strip().lower() for part in rest.split(";")[1:]} == {"httponly", "path=/", "samesite=strict"}
    token = rest.split(";")[0]
    assert person.get("/").status_code == 200
    assert person.post("/sign-out").headers["location"] == "/sign-in"
    person.client.cookies.set("rung-session", token)
    assert person.get("/").headers["location"] == "/sign-in"


def test_behind_tls(own: Rig) -> None:
    """Where browsers come by TLS, the cookie is bound to the host and to TLS."""
    own.console.origin = type(own.console.origin)("https://rung.example.com")
    headers = {"origin": "https://rung.example.com", "host": "rung.example.com"}
    answer = own.somebody().client.post(
        "/sign-in", data={"name": "ann", "password": PASSWORD}, headers=headers
    )
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-rung-session=")
    assert {"secure", "httponly", "path=/", "samesite=strict"} <= {
        part.strip().lower() for part in cookie.split(";")
    }
    assert "domain" not in cookie.lower()


def test_a_new_session_at_each_sign_in(own: Rig) -> None:
    """Whoever signs in again gets another token, and the old one ends."""
    person = own.somebody()
    person.sign_in("ann")
    before = person.client.cookies["rung-session"]
    person.sign_in("bob")
    assert person.client.cookies["rung-session"] != before
    assert "bob" in person.get("/").text
    stranger = own.somebody()
    stranger.client.cookies.set("rung-session", before)
    assert stranger.get("/").status_code == 303


@pytest.mark.parametrize("change", ["password", "removed", "role"])
def test_when_the_account_changes(own: Rig, change: str) -> None:
    """A new password and a removal end a session at once; another role holds from the next request on."""
    bob = own.person("bob")
    assert bob.get("/changes/new").status_code == 200
    accounts = own.console.accounts
    if change == "password":
        accounts.set_password("bob", PASSWORD * 2)
        assert bob.get("/").headers["location"] == "/sign-in"
        return
    accounts.remove("bob")
    assert bob.get("/").headers["location"] == "/sign-in"
    if change == "role":
        accounts.add("bob", Role.VIEWER, PASSWORD, 1)
        again = own.somebody()
        again.sign_in("bob")
        assert again.get("/changes/new").status_code == 403


def test_a_part_of_a_page_when_signed_out(rig: Rig) -> None:
    """What a page asks for by itself tells it to go to sign in as a whole."""
    answer = rig.somebody().get("/live", **{"hx-request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"], answer.text) == (401, "/sign-in", "")
