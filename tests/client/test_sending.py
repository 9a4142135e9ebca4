"""Events in batches: nothing is lost, moved or split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.scripted_server import Reply, ScriptedServer, problem
from rung.client import Client, Event, NotAllowed, Refused
from rung.client.sending import BATCH_BYTES, BATCH_EVENTS, batches_of, lines_of
from rung.status.messages import EVENTS_BYTES_MAX, EVENTS_MAX

Connect = Callable[..., Client]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    lines=st.lists(st.binary(min_size=1, max_size=30).filter(lambda line: b"\n" not in line), max_size=60),
    bytes_max=st.integers(1, 80),
    events_max=st.integers(1, 10),
)
def test_batches(lines: list[bytes], bytes_max: int, events_max: int) -> None:
    """All lines in their order, none of the batches empty or too large, and none smaller than it had to be."""
    batches = list(batches_of(lines, bytes_max, events_max))
    assert [line for batch in batches for line in batch] == lines
    for batch in batches:
        size = sum(len(line) + 1 for line in batch)
        assert 0 < len(batch) <= events_max
        assert size <= bytes_max or len(batch) == 1
    for batch, following in pairwise(batches):
        fits = sum(len(line) + 1 for line in (*batch, following[0])) <= bytes_max
        assert len(batch) == events_max or not fits


def test_batches_are_what_the_server_takes() -> None:
    """A batch of the usual size is within the server's limits."""
    assert BATCH_BYTES < EVENTS_BYTES_MAX
    assert BATCH_EVENTS < EVENTS_MAX


class Payment(msgspec.Struct):
    """An event as a struct of somebody's program."""

    transaction_id: str
    user_id: str


@given(event=st.dictionaries(st.text(max_size=5), VALUES, max_size=4), indent=st.integers(1, 3))
def test_lines(event: Mapping[str, object], indent: int) -> None:
    """A mapping, and its JSON however it is written, is one line that means the same."""
    pretty = msgspec.json.format(msgspec.json.encode(event), indent=indent)
    found = list(lines_of([event, pretty, pretty.decode()]))
    assert all(b"\n" not in line for line in found)
    assert [msgspec.json.decode(line) for line in found] == [event] * 3


def test_structs() -> None:
    """A struct of msgspec is an event, too, and one event need not be a list."""
    assert list(lines_of(Payment("t1", "ann"))) == [b'{"transaction_id":"t1","user_id":"ann"}']
    assert list(lines_of({"a": 1})) == [b'{"a":1}']
    assert list(lines_of("{}")) == list(lines_of(b"{}")) == [b"{}"]


@pytest.mark.parametrize(
    ("event", "code", "detail"),
    [
        ("", "no_events", "event 2: it is empty."),
        (b" \n ", "no_events", "event 2: it is empty."),
        ({"a": object()}, "bad_event", "event 2: it cannot be JSON: Encoding objects of type object"),
        ({"a": "\ud800"}, "bad_event", "event 2: it cannot be JSON: 'utf-8' codec can't encode"),
        ("\ud800", "bad_event", "event 2: it cannot be JSON: 'utf-8' codec can't encode"),
    ],
)
def test_what_is_no_event(
    scripted: ScriptedServer, connect: Connect, event: object, code: str, detail: str
) -> None:
    """What cannot be sent is refused by its number, before its batch is sent."""
    events = cast("list[Event]", [{}, event])
    with pytest.raises(Refused) as caught:
        connect(scripted.url).send(events)
    assert (caught.value.status, caught.value.code) == (None, code)
    assert caught.value.detail.startswith(detail)
    assert scripted.heard == []


def accepted(count: int) -> Reply:
    return Reply(
        202, b'{"accepted": %d, "position": {"partition": 0, "offset": 7}, "after": "A%d"}' % (count, count)
    )


def test_what_takes_less_than_the_server(scripted: ScriptedServer, connect: Connect) -> None:
    """A batch that something on the way refuses as too large is halved until it passes, in order."""
    too_large = Reply(413, b"<html>Request Entity Too Large</html>")
    scripted.script(too_large, too_large, accepted(1), accepted(2), accepted(4))
    receipt = connect(scripted.url).send(str(number) for number in range(7))
    assert [heard.body.split(b"\n") for heard in scripted.heard] == [
        [b"0", b"1", b"2", b"3", b"4", b"5", b"6"],
        [b"0", b"1", b"2"],
        [b"0"],
        [b"1", b"2"],
        [b"3", b"4", b"5", b"6"],
    ]
    assert (receipt.accepted, receipt.after) == (7, ("A1", "A2", "A4"))
    assert {heard.headers["content-type"] for heard in scripted.heard} == {"application/x-ndjson"}


def test_one_event_that_is_too_large(scripted: ScriptedServer, connect: Connect) -> None:
    """What cannot be halved is an error that tells how many events were accepted before."""
    scripted.script(Reply(413), accepted(1), problem(413, "body_too_large"))
    with pytest.raises(Refused) as caught:
        connect(scripted.url).send(["1", "2"])
    assert caught.value.code == "body_too_large"
    assert caught.value.__notes__ == ["1 events were accepted before it. Sending all of them again is safe."]


def test_a_receipt_of_several_batches(scripted: ScriptedServer, connect: Connect) -> None:
    """A status after such a receipt waits for each batch, and is the last answer."""
    client = connect(scripted.url)
    lines = BATCH_EVENTS + 1
    scripted.script(accepted(BATCH_EVENTS), accepted(1))
    receipt = client.send("{}" for _ in range(lines))
    assert (receipt.accepted, len(scripted.heard)) == (lines, 2)
    status = b'{"user_id":"ann","as_of":{"partition":0,"offset":%d,"event_at":null},"campaigns":[]}'
    scripted.script(Reply(200, status % 1), Reply(200, status % 2))
    assert client.status("ann", after=receipt).as_of.offset == 2
    assert [heard.target.partition("after=")[2][:3] for heard in scripted.heard] == [
        f"A{BATCH_EVENTS}"[:3],
        "A1&",
    ]


def test_a_refused_sender(scripted: ScriptedServer, connect: Connect) -> None:
    """An error without anything accepted before it tells nothing of that."""
    scripted.script(problem(403, "missing_permission"))
    with pytest.raises(NotAllowed) as caught:
        connect(scripted.url).send("{}")
    assert not hasattr(caught.value, "__notes__")
