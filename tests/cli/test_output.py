"""What commands print: numbers, tables and the live line."""

from __future__ import annotations

import sys

import pytest

from rung.cli.output import LiveLine, bytes_text, count_of, print_table, time_text


class _Terminal:
    """Standard error that says it is a terminal."""

    def __init__(self) -> None:
        self.written = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.written += text

    def flush(self) -> None:
        """Do nothing."""


def test_the_live_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the line is written over, at most four times a second, and ended once."""
    terminal, now = _Terminal(), [0.0]
    monkeypatch.setattr(sys, "stderr", terminal)
    line = LiveLine(lambda: now[0])
    for moment, text in ((0.0, "a"), (0.1, "b"), (0.25, "c")):
        now[0] = moment
        line.show(text)
    line.close("d")
    assert terminal.written == "\r\x1b[2Ka\r\x1b[2Kc\r\x1b[2Kd\n"


def test_the_live_line_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """In a file there is a line every two seconds and one at the end, and no control characters."""
    now = [0.0]
    line = LiveLine(lambda: now[0])
    for moment, text in ((0.0, "a"), (1.9, "b"), (2.0, "c"), (3.0, "d")):
        now[0] = moment
        line.show(text)
    line.close("e")
    assert capsys.readouterr().err == "c\ne\n"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 events"), (1, "1 event"), (1_234, "1,234 events")],
)
def test_counts(count: int, text: str) -> None:
    """Counts have a noun that fits, and thousands are grouped."""
    assert count_of(count, "event") == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1_023, "1,023 bytes"),
        (1_024, "1.0 KiB"),
        (3 << 29, "1.5 GiB"),
        (1 << 50, "1,024.0 TiB"),
    ],
)
def test_bytes(count: int, text: str) -> None:
    """Sizes are in binary units."""
    assert bytes_text(count) == text


def test_times() -> None:
    """Times are RFC 3339 in UTC, to the second."""
    assert time_text(1_627_776_000_999_999) == "2021-08-01T00:00:00Z"


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns line up, figures stand on the right, and nothing is cut or left at a line's end."""
    print_table(("name", "count"), [("a", "1"), ("[b]longer[/b]\n", "1,000")], ["count"])
    assert capsys.readouterr().out.splitlines() == [
        "name               count",
        "a                      1",
        "[b]longer[/b]\\x0a  1,000",
    ]
