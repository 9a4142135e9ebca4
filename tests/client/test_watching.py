"""Watching: what is shown, what breaks, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest

from client.scripted_server import CUT, Reply, ScriptedServer, problem, stream
from rung.client import BadAnswer, Client, NotAllowed, Refused, Unreachable

Connect = Callable[..., Client]

AGAIN = "retry: 1"
STOPPING = 'event: end\ndata: {"reason":"stopping"}'
EXPIRED = 'event: end\ndata: {"reason":"expired"}'


def shown(offset: int, user: str = "ann") -> str:
    """Return the event of a status."""
    return (
        f'event: status\nid: "tag-{offset}"\ndata: {{"user_id":"{user}",'
        f'"as_of":{{"partition":0,"offset":{offset},"event_at":null}},"campaigns":[]}}'
    )


def offsets(client: Client, number: int | None = None) -> list[int]:
    return [status.as_of.offset for status in islice(client.watch("ann"), number)]


def test_until_the_token_ends(scripted: ScriptedServer, connect: Connect) -> None:
    """Each status is shown, heartbeats are not, and the iteration ends with the token."""
    scripted.script(stream(AGAIN, shown(1), ": heartbeat", shown(2), "event: other\ndata: x", EXPIRED))
    assert offsets(connect(scripted.url)) == [1, 2]
    (heard,) = scripted.heard
    assert heard.target == "/v1/users/ann/status/stream"
    assert heard.headers["accept"] == "text/event-stream"


def test_a_stream_that_breaks(scripted: ScriptedServer, connect: Connect) -> None:
    """A stream that breaks, also amid an event, is opened where it was, and nothing is shown twice."""
    half = shown(3)[:-20]
    scripted.script(
        stream(AGAIN, shown(1), shown(2)),
        CUT,
        Reply(200, f"{shown(2)}\n\n{half}".encode(), {"content-type": "text/event-stream"}, is_stream=True),
        problem(503, "too_many_streams", "0"),
        stream(shown(3), STOPPING),
        stream(shown(3), shown(4), EXPIRED),
    )
    assert offsets(connect(scripted.url)) == [1, 2, 3, 4]
    last = [heard.headers.get("last-event-id") for heard in scripted.heard]
    assert last == [None, '"tag-2"', '"tag-2"', '"tag-2"', '"tag-2"', '"tag-3"']


def test_a_stream_that_never_works(scripted: ScriptedServer, connect: Connect) -> None:
    """Streams that end without a status are opened as often as questions are asked, and no more."""
    scripted.script(stream(AGAIN))
    with pytest.raises(Unreachable, match="The stream of statuses broke"):
        offsets(connect(scripted.url))
    assert len(scripted.heard) == 4


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (problem(404, "unknown_campaign"), Refused),
        (problem(401, "bad_credentials"), NotAllowed),
        (stream("event: status\nid: 1\ndata: {}"), BadAnswer),
        (stream(shown(1, "bob")), BadAnswer),
        (Reply(200, b"<html>", {"content-type": "text/html"}), BadAnswer),
        (stream("event: end\ndata: {}"), BadAnswer),
    ],
)
def test_what_cannot_be_watched(
    scripted: ScriptedServer, connect: Connect, reply: Reply, kind: type[Exception]
) -> None:
    """What will not change is raised at once."""
    scripted.script(reply)
    with pytest.raises(kind):
        offsets(connect(scripted.url))
    assert len(scripted.heard) == 1


def test_a_token_is_followed_by_another(scripted: ScriptedServer, connect: Connect) -> None:
    """Where a function gives the token, the stream goes on with the next one, and ends if there is none."""
    tokens = iter(["one", "two", "two"])
    scripted.script(stream(AGAIN, shown(1), EXPIRED), stream(shown(2), EXPIRED))
    assert offsets(connect(scripted.url, lambda: next(tokens))) == [1, 2]
    assert [heard.headers["authorization"] for heard in scripted.heard] == ["Bearer one", "Bearer two"]


def test_whoever_has_seen_enough(scripted: ScriptedServer, connect: Connect) -> None:
    """A watcher that leaves opens nothing more, and the client goes on."""
    scripted.script(stream(AGAIN, shown(1), shown(2), STOPPING))
    client = connect(scripted.url)
    assert offsets(client, 1) == [1]
    assert len(scripted.heard) == 1
    assert offsets(client, 2) == [1, 2]
