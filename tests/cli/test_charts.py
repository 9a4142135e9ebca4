"""Charts of block characters."""

from __future__ import annotations

from rung.cli.charts import bar, histogram


def test_charts() -> None:
    """Bars are as long as their share, to an eighth; what is there at all is seen."""
    assert [bar(value, 8, 2) for value in (0, 1, 4, 6, 8)] == ["", "▎", "█", "█▌", "██"]
    assert (bar(1, 1_000_000, 2), bar(0, 0, 2)) == ("▏", "")
    assert histogram([0, 1, 4, 8, 800]) == "·▁▁▁█"
    assert (histogram([]), histogram([0, 0])) == ("", "··")
