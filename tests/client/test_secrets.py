"""What a client never tells, and where it sends nothing."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

import pytest

from callers import KEY
from client.faces import Make
from client.scripted_server import CUT, Reply, ScriptedServer, problem, stream
from rung.client import Client, ClientError, NotAllowed, Refused

Connect = Callable[..., Client]


def test_the_key_is_shown_to_the_server_alone(
    scripted: ScriptedServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a log line of any level, nor an error and its trace, nor a `repr` has the key."""
    caplog.set_level(logging.DEBUG)
    for credential in (KEY, lambda: KEY):
        client = connect(scripted.url, credential, etags_max=1)
        told = [repr(client), str(vars(client).keys())]
        for reply in (
            CUT,
            problem(401, "bad_credentials"),
            Reply(200, b"<html>"),
            stream("event: status\ndata: x"),
        ):
            scripted.script(reply)
            for ask in (client.my_status, lambda client=client: next(iter(client.my_watch()))):
                with pytest.raises(ClientError) as caught:
                    ask()
                told.extend(traceback.format_exception(caught.value))
                told += [repr(caught.value), str(vars(caught.value))]
        assert {heard.headers["authorization"] for heard in scripted.heard} == {f"Bearer {KEY}"}
        assert not any(KEY in text for text in told)
    assert caplog.records
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("credential", "code"),
    [
        ("", "missing_credentials"),
        (" \n", "missing_credentials"),
        ("se cret", "bad_credentials"),
        ("secret\r\nx-other: 1", "bad_credentials"),
        ("secrét", "bad_credentials"),
    ],
)
def test_what_can_be_no_key(
    scripted: ScriptedServer, face: Make, connect: Connect, credential: str, code: str
) -> None:
    """What can be no key is refused before anything is sent, and is not in the error."""
    with pytest.raises(NotAllowed) as caught:
        face(scripted.url, credential)
    with pytest.raises(NotAllowed) as later:
        connect(scripted.url, lambda: credential).campaigns()
    for error in (caught.value, later.value):
        assert (error.status, error.code) == (None, code)
        assert "secr" not in str(error)
    assert scripted.heard == []


def test_white_space_around_a_key(scripted: ScriptedServer, connect: Connect) -> None:
    """A key as a file holds it, with its line end, is good."""
    scripted.script(Reply(200, b'{"campaigns": []}'))
    for credential in (f"{KEY}\n", lambda: f" {KEY}\n"):
        connect(scripted.url, credential).campaigns()
    assert {heard.headers["authorization"] for heard in scripted.heard} == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("rung.example", "it has to start with https:// and the server's name"),
        ("ftp://rung.example", "it has to start with https:// and the server's name"),
        ("https://", "it has to start with https:// and the server's name"),
        ("", "it has to start with https:// and the server's name"),
        ("https://rung.example:99999", "it cannot be read"),
        ("https://[::1", "it cannot be read"),
        ("https://me:secret@rung.example", "it holds a user or password; give the key or token beside it"),
        ("https://rung.example/?key=secret", "it has to end before any ? or #"),
        ("https://rung.example#secret", "it has to end before any ? or #"),
        ("http://rung.example", "http:// beyond this machine would show the key to the network"),
        ("http://127.0.0.1.example", "http:// beyond this machine would show the key to the network"),
        ("http://10.0.0.7:8080", "http:// beyond this machine would show the key to the network"),
    ],
)
def test_addresses_that_cannot_be_used(face: Make, address: str, reason: str) -> None:
    """A wrong address is refused with what is wrong, and is not repeated: it may hold a secret."""
    with pytest.raises(Refused) as caught:
        face(address, KEY)
    assert caught.value.code == "bad_server"
    assert caught.value.detail.startswith(f"The server's address: {reason}")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://rung.example/", "https://rung.example"),
        ("https://rung.example/behind/a/path/", "https://rung.example/behind/a/path"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_addresses(face: Make, address: str, shown: str) -> None:
    """Plain http is for this machine; anywhere else it is https, behind any path."""
    client = face(address, KEY)
    assert repr(client).endswith(f"Client('{shown}')")
    client.close()


def test_plain_http_that_is_allowed(face: Make) -> None:
    """Whoever says that the network is their own may use http."""
    face("http://rung.internal:8080", KEY, allow_plain_http=True).close()


def test_a_path_before_the_api(scripted: ScriptedServer, connect: Connect) -> None:
    """A server behind a path is asked there."""
    scripted.script(Reply(200, b'{"campaigns": []}'))
    connect(f"{scripted.url}/behind/").campaigns()
    assert scripted.heard[0].target == "/behind/v1/campaigns"
