"""Asking again: what, how often, and when."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from socket import create_server

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.scripted_server import CUT, Reply, ScriptedServer, problem
from rung.client import Client, ClientError, NotAllowed, Refused, Retries, Unavailable, Unreachable

Connect = Callable[..., Client]

GOOD = Reply(200, b'{"campaigns": []}')
ACCEPTED = Reply(202, b'{"accepted": 1, "position": {"partition": 0, "offset": 7}, "after": "AQ"}')
BUSY = problem(503, "store_busy")


@pytest.mark.parametrize(
    "failing",
    [
        BUSY,
        problem(429, "too_many_requests"),
        Reply(502, b"<html>"),
        Reply(504),
        CUT,
        Reply(200, b'{"campaigns"', announced_bytes=100),
    ],
    ids=["503", "429", "502", "504", "cut off", "half an answer"],
)
def test_what_passes_is_asked_again(scripted: ScriptedServer, connect: Connect, failing: Reply) -> None:
    """What the server cannot answer just now is asked until it can: three times again, and no more."""
    client = connect(scripted.url)
    scripted.script(failing, failing, failing, GOOD)
    assert client.campaigns().campaigns == ()
    assert len(scripted.heard) == 4
    scripted.script(failing)
    with pytest.raises((Unavailable, Unreachable)):
        client.campaigns()
    assert len(scripted.heard) == 4


@pytest.mark.parametrize(
    "refused", [problem(400, "bad_at"), problem(404, "unknown_campaign"), problem(500, "internal_error")]
)
def test_what_stays_is_not_asked_again(scripted: ScriptedServer, connect: Connect, refused: Reply) -> None:
    """What would be answered the same again is asked once."""
    scripted.script(refused)
    with pytest.raises(ClientError):
        connect(scripted.url).campaigns()
    assert len(scripted.heard) == 1


def test_events_are_sent_again(scripted: ScriptedServer, connect: Connect) -> None:
    """Events whose answer got lost are sent again, the same bytes: they are counted once anyway."""
    scripted.script(CUT, BUSY, ACCEPTED)
    assert connect(scripted.url).send('{"transaction_id": "t1"}').accepted == 1
    assert [heard.body for heard in scripted.heard] == [b'{"transaction_id": "t1"}'] * 3


def test_retry_after(scripted: ScriptedServer, connect: Connect) -> None:
    """The server is never asked earlier than it said."""
    scripted.script(problem(503, "overloaded", "1"), GOOD)
    began = time.monotonic()
    connect(scripted.url).campaigns()
    assert time.monotonic() - began >= 1
    assert len(scripted.heard) == 2


def test_retry_after_that_is_too_long(scripted: ScriptedServer, connect: Connect) -> None:
    """A server that asks for more patience than there is ends it at once, and the error tells when."""
    scripted.script(problem(429, "too_many_requests", "3"))
    with pytest.raises(Unavailable) as caught:
        connect(scripted.url, retries=Retries(pause_seconds_max=2)).campaigns()
    assert (len(scripted.heard), caught.value.retry_after_seconds) == (1, 3.0)


def test_nobody_listens(connect: Connect) -> None:
    """Without a server the error names the address, after as many attempts as are allowed."""
    with create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(Unreachable) as caught:
        connect(url).campaigns()
    assert (caught.value.status, caught.value.code) == (None, "unreachable")
    assert caught.value.detail.startswith(f"{url} does not answer: ")


def test_a_server_that_is_silent(connect: Connect) -> None:
    """No question waits for ever, even if nothing is set."""
    with create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unreachable, match="it took too long"):
            connect(url, timeout_seconds=0.05, retries=Retries(attempts_max=1)).campaigns()


def test_a_new_key_is_tried(scripted: ScriptedServer, connect: Connect) -> None:
    """Where a function gives the key, one that has ended is followed by the next one, once."""
    keys = iter(["old", "new", "new"])
    scripted.script(problem(401, "token_expired"), GOOD)
    connect(scripted.url, lambda: next(keys)).campaigns()
    assert [heard.headers["authorization"] for heard in scripted.heard] == ["Bearer old", "Bearer new"]
    many = iter("abcdefgh")
    scripted.script(problem(401, "token_expired"))
    with pytest.raises(NotAllowed):
        connect(scripted.url, lambda: next(many)).campaigns()
    assert len(scripted.heard) == 2


def test_the_same_key_is_not_tried_again(scripted: ScriptedServer, connect: Connect) -> None:
    """A key that was refused is not shown twice: the server counts failures."""
    for credential in ("key", lambda: "key"):
        scripted.script(problem(401, "bad_credentials"))
        with pytest.raises(NotAllowed):
            connect(scripted.url, credential).campaigns()
        assert len(scripted.heard) == 1


def test_waiting_for_events(scripted: ScriptedServer, connect: Connect) -> None:
    """A status that waits is asked for until its time is over, each time for as long as is left."""
    status = b'{"user_id":"ann","as_of":{"partition":0,"offset":3,"event_at":null},"campaigns":[]}'
    waits = problem(503, "not_applied_yet", "0")
    scripted.script(*[waits] * 6, Reply(200, status))
    assert connect(scripted.url).status("ann", after="AQ", wait_seconds=60).as_of.offset == 3
    assert len(scripted.heard) == 7
    waited = [int(heard.target.rpartition("=")[2]) for heard in scripted.heard]
    assert waited == [10_000] * 7
    scripted.script(waits)
    with pytest.raises(Unavailable) as caught:
        connect(scripted.url).status("ann", after="AQ", wait_seconds=0.2)
    assert caught.value.code == "not_applied_yet"
    asked = [int(heard.target.rpartition("=")[2]) for heard in scripted.heard]
    assert all(one >= after for one, after in pairwise(asked))
    assert asked[0] <= 200


def test_a_receipt_without_a_place(scripted: ScriptedServer, connect: Connect) -> None:
    """If the server told no place to wait for, waiting for it is refused, and nothing is asked."""
    scripted.script(Reply(202, b'{"accepted": 1, "position": {"partition": 0, "offset": 7}}'))
    client = connect(scripted.url)
    receipt = client.send("{}")
    assert receipt.after is None
    with pytest.raises(Refused) as caught:
        client.status("ann", after=receipt)
    assert (caught.value.code, len(scripted.heard)) == ("bad_after", 1)


def test_an_interrupted_question_leaves_the_client_usable(scripted: ScriptedServer) -> None:
    """An error in the function that gives the key is the caller's own, and the next question works."""
    keys = iter([KeyError("vault"), "key"])

    def present() -> str:
        found = next(keys)
        if isinstance(found, Exception):
            raise found
        return found

    scripted.script(GOOD)
    with closing(Client(scripted.url, present)) as client:
        with pytest.raises(KeyError):
            client.campaigns()
        assert client.campaigns().campaigns == ()


ERRORS = st.one_of(
    st.builds(
        Unavailable,
        st.just("store_busy"),
        st.just(""),
        status=st.sampled_from([429, 502, 503, 504]),
        retry_after_seconds=st.none() | st.floats(0, 100),
    ),
    st.just(Unreachable("unreachable", "")),
)
RETRIES = st.floats(0, 10).flatmap(
    lambda first: st.builds(Retries, st.integers(1, 50), st.just(first), st.floats(first, 100))
)


@given(retries=RETRIES, error=ERRORS, attempts=st.integers(1, 5_000))
def test_pauses(retries: Retries, error: ClientError, attempts: int) -> None:
    """A pause is never shorter than the server asked for, and never much longer than the rules say."""
    pause = retries.pause_seconds(error, attempts)
    asked = error.retry_after_seconds or 0.0
    if attempts >= retries.attempts_max or asked > retries.pause_seconds_max:
        assert pause is None
        return
    assert pause is not None
    assert asked <= pause <= asked + retries.pause_seconds_max
    if not asked:
        assert pause >= min(retries.pause_seconds_first * 2 ** (attempts - 1), retries.pause_seconds_max) / 2


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"attempts_max": 0}, "attempts_max: at least 1, got 0"),
        (
            {"pause_seconds_first": -1},
            "pause_seconds_first: from 0 to pause_seconds_max (10.0), got -1",
        ),
        (
            {"pause_seconds_first": 3, "pause_seconds_max": 2},
            "pause_seconds_first: from 0 to pause_seconds_max (2), got 3",
        ),
    ],
)
def test_rules_that_make_no_sense(rules: dict[str, int], message: str) -> None:
    """Rules that could never work are refused."""
    with pytest.raises(ValueError, match=re.escape(message)):
        Retries(**rules)
