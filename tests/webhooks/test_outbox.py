"""The outbox: order, waiting, parking, and that a change is whole or not there."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from rung.webhooks.changes import Change
from rung.webhooks.deliver import WAIT_SECONDS_MAX, wait_seconds
from rung.webhooks.outbox import Outbox, OutboxUnreadable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "webhooks.sqlite"


@pytest.fixture
def outbox(path: Path) -> Generator[Outbox]:
    with closing(Outbox(path)) as found:
        yield found


def tell(outbox: Outbox, user: bytes, *names: str, ladder: bytes = b"") -> None:
    messages = [Change(name, f"about {user.decode()}".encode()) for name in names]
    with outbox.change():
        outbox.tell(ladder or user, 100, {"gold": len(names)}, user, messages)


def due(outbox: Outbox, at: int = 0) -> list[str]:
    return [message.message_id for message in outbox.due(at, 10)]


def test_one_message_of_a_user_at_a_time(outbox: Outbox) -> None:
    """Of each user the oldest message is due, whatever becomes of those of others."""
    tell(outbox, b"ann", "a1", "a2")
    tell(outbox, b"bob", "b1", "b2")
    assert due(outbox) == ["a1", "b1"]
    a1, b1 = outbox.due(0, 10)
    with outbox.change():
        outbox.delivered(a1)
        outbox.failed(b1, 50, "answered 503", is_parked=False)
    assert due(outbox) == ["a2"]
    assert due(outbox, 50) == ["a2", "b1"]
    assert outbox.due(50, 10)[1].attempts == 1


def test_parked(outbox: Outbox) -> None:
    """A parked message is not due, nor are those behind it, until all are tried again."""
    tell(outbox, b"ann", "a1", "a2")
    with outbox.change():
        outbox.failed(outbox.due(0, 1)[0], 0, "answered 410", is_parked=True)
    assert due(outbox, 1_000) == []
    assert outbox.waiting() == (2, 1, 2, "answered 410")
    assert outbox.retry() == 1
    assert (due(outbox), outbox.waiting().parked) == (["a1"], 0)


def test_a_change_is_whole(outbox: Outbox, path: Path) -> None:
    """What fails in between leaves nothing; what was changed is there when it is opened again."""

    def broken() -> None:
        with outbox.change():
            outbox.follow_from({0: 5})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert outbox.positions() == {}
    tell(outbox, b"ann", "a1")
    with outbox.change():
        outbox.follow_from({0: 7, 1: 2})
        outbox.note("log", "x")
    with closing(Outbox(path)) as again:
        assert (again.positions(), again.noted("log"), again.noted("other")) == ({0: 7, 1: 2}, "x", None)
        assert again.told([b"ann", b"bob"]) == [{"gold": 1}, {}]
        assert due(again) == ["a1"]


def test_the_same_message_once(outbox: Outbox) -> None:
    """A message that waits already is not added again."""
    tell(outbox, b"ann", "a1")
    tell(outbox, b"ann", "a1")
    assert outbox.waiting().messages == 1


def test_forgetting(outbox: Outbox, path: Path) -> None:
    """Periods that ended and users who are erased leave nothing, in the file's bytes neither."""
    tell(outbox, b"ann", "a1", ladder=b"of ann, january")
    tell(outbox, b"bob", "b1", ladder=b"of bob, january")
    with outbox.change():
        assert outbox.forget_user(b"ann") == 1
    assert outbox.told([b"of ann, january", b"of bob, january"]) == [{}, {"gold": 1}]
    assert b"about ann" not in path.read_bytes()
    assert b"of ann" not in path.read_bytes()
    with outbox.change():
        outbox.forget_before(101)
    assert outbox.told([b"of bob, january"]) == [{}]
    assert due(outbox) == ["b1"]


def test_only_the_owner_reads_it(outbox: Outbox, path: Path) -> None:
    """Messages name users: nobody else may read the file."""
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_outbox(tmp_path: Path, path: Path) -> None:
    """A file of something else, or of another release, is refused and stays."""
    (tmp_path / "text").write_text("no database " * 100, encoding="ascii")
    with pytest.raises(OutboxUnreadable, match="file is not a database. Move it away"):
        Outbox(tmp_path / "text")
    with closing(Outbox(path)), closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE meta SET value = 'rung-webhooks-9'")
        other.commit()
    with pytest.raises(OutboxUnreadable, match="has the format 'rung-webhooks-9'"):
        Outbox(path)


@pytest.mark.parametrize(
    ("attempts", "least", "most"), [(1, 0.5, 1.0), (2, 1.0, 2.0), (5, 8.0, 16.0), (1_000, WAIT_SECONDS_MAX / 2, WAIT_SECONDS_MAX)]
)  # fmt: skip
def test_waits(attempts: int, least: float, most: float) -> None:
    """Waits double up to an hour, and half of each is at random."""
    assert wait_seconds(attempts, 1.0, 0.0) == least
    assert wait_seconds(attempts, 1.0, 1.0) == most
