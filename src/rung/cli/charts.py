"""Charts in the terminal: bars and histograms of block characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_PARTS: Final = " ▏▎▍▌▋▊▉"
_FULL: Final = "█"
_HEIGHTS: Final = "▁▂▃▄▅▆▇█"


def bar(value: int, most: int, cells: int) -> str:
    """Return a bar of at most so many cells, to an eighth of one; `most` is the value that fills them all."""
    if most <= 0 or value <= 0:
        return ""
    eighths = max(1, round(value * cells * 8 / most))
    full, part = divmod(eighths, 8)
    return _FULL * full + (_PARTS[part] if part else "")


def histogram(counts: Sequence[int]) -> str:
    """Return a character for each count, as high as its share of the largest; a dot where there is none."""
    most = max(counts, default=0)
    return "".join(_HEIGHTS[-(-count * len(_HEIGHTS) // most) - 1] if count else "·" for count in counts)
