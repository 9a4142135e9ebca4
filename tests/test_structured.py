"""What an unattended process writes: one JSON object per line, with all that was given."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from rung.structured import EVERY_SECONDS, Lines, Sparing, Words


def _record(**more: object) -> logging.LogRecord:
    record = logging.makeLogRecord(
        {
            "name": "rung",
            "levelno": 40,
            "levelname": "ERROR",
            "msg": "halted %d",
            "args": (3,),
            "created": 0.5,
        }
    )
    vars(record).update(more)
    return record


def _line(**more: object) -> dict[str, object]:
    return json.loads(Lines().format(_record(**more)))


def test_a_line() -> None:
    """A record is its time, its level, its event, and what came as extra."""
    assert _line(partition=3, place=Path("x")) == {
        "time": "1970-01-01T00:00:00.500+00:00",
        "level": "error",
        "event": "halted 3",
        "partition": 3,
        "place": "x",
    }


def test_an_exception() -> None:
    """A traceback stands within the line."""
    try:
        raise ValueError("why")
    except ValueError as error:
        line = _line(exc_info=(type(error), error, error.__traceback__))
    assert "ValueError: why" in str(line["exception"])


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"msg": "worker_waits", "args": ()}, "error: worker waits"),
        ({"msg": "worker_waits", "args": (), "cause": "no_one"}, "error: worker waits: no_one"),
        ({"msg": "FAIL topic_%d", "partition": 3}, "error: FAIL topic_3"),
    ],
)
def test_words(more: dict[str, object], text: str) -> None:
    """For people a record is its level, its event, and the cause."""
    assert Words().format(_record(**more)) == text


def test_a_traceback_in_words() -> None:
    """For people, too, a traceback is shown."""
    try:
        raise ValueError("why")
    except ValueError as error:
        text = Words().format(_record(exc_info=(type(error), error, error.__traceback__)))
    assert text.startswith("error: halted 3\nTraceback ")
    assert text.endswith("ValueError: why")


def test_the_same_again_and_again() -> None:
    """The same thing is written once in a while; the next time tells how often it came, and others pass."""
    now = 0.0
    sparing = Sparing(lambda: now)
    waits = _record(cause="away")
    assert [sparing.filter(waits) for _ in range(4)] == [True, False, False, False]
    assert sparing.filter(_record(cause="slow"))
    assert sparing.filter(_record(cause="away", partition=3))
    assert sparing.filter(_record(cause="away", args=(4,)))
    now = EVERY_SECONDS
    again = _record(cause="away")
    assert sparing.filter(again)
    assert vars(again)["repeated"] == 3
    now *= 2
    assert sparing.filter(waits)
    assert "repeated" not in vars(waits)


def test_what_is_remembered_is_bounded() -> None:
    """However many different things are written, what is remembered of them does not grow for ever."""
    sparing = Sparing(lambda: 0.0)
    assert all(sparing.filter(_record(args=(number,))) for number in range(3_000))
    assert len(sparing._passed) <= 1_000
