"""The known bugs: patches with a head that tells what is wrong and what must catch it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[2]
_BUG = "Bug: "
_CAUGHT_BY = "Caught by: "


class Patch(NamedTuple):
    """One bug: the file, what is wrong, and the tests that have to fail."""

    file: Path
    bug: str
    caught_by: tuple[str, ...]


def patches() -> list[Patch]:
    """Return all bugs, in the order of their numbers."""
    found: list[Patch] = []
    for file in sorted(Path(__file__).parent.glob("*.patch")):
        bug, caught_by = file.read_text(encoding="utf-8").splitlines()[:2]
        assert bug.startswith(_BUG), file
        assert caught_by.startswith(_CAUGHT_BY), file
        found.append(Patch(file, bug[len(_BUG) :], tuple(caught_by[len(_CAUGHT_BY) :].split())))
    return found
