"""What was measured: figures with their targets, as a table for people and as JSON."""

from __future__ import annotations

import json
import operator
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_COMPARE = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity, with one value per repeat; the median is held against the target.

    Attributes:
        target: `>= 100`, `<= 100` or `< 100`; empty where nothing is asked.
    """

    name: str
    unit: str
    repeats: Sequence[float]
    target: str = ""
    note: str = ""

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.repeats)

    @property
    def verdict(self) -> str:
        """`pass`, or by how much of the target the median is `short`; empty without a target."""
        if not self.target:
            return ""
        comparison, bound = self.target.split()
        if _COMPARE[comparison](self.median, float(bound)):
            return "pass"
        return f"short by {abs(self.median / float(bound) - 1):.1%}"


def write(
    folder: Path,
    facts: Mapping[str, Any],
    scale: float,
    figures: Sequence[Figure],
    profiles: Mapping[str, Any],
) -> Path:
    """Write everything as JSON to a file named after the time and the commit, and return it."""
    at = datetime.now(UTC)
    document = {
        "at": at.isoformat(timespec="seconds"),
        "machine": facts,
        "scale": scale,
        "figures": [
            {
                "name": figure.name,
                "unit": figure.unit,
                "repeats": list(figure.repeats),
                "min": min(figure.repeats),
                "median": figure.median,
                "max": max(figure.repeats),
                "target": figure.target,
                "verdict": figure.verdict,
                "note": figure.note,
            }
            for figure in figures
        ],
        "profiles": profiles,
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{at:%Y%m%dT%H%M%SZ}-{facts['commit']}.json"
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return file


def show(facts: Mapping[str, Any], figures: Sequence[Figure]) -> None:
    """Print the machine, and a table with the spread over the repeats."""
    console = Console(highlight=False, markup=False, width=200)
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("figure", "unit"):
        table.add_column(name)
    for name in ("target", "min", "median", "max"):
        table.add_column(name, justify="right")
    for name in ("verdict", "note"):
        table.add_column(name)
    for figure in figures:
        values = (min(figure.repeats), figure.median, max(figure.repeats))
        table.add_row(
            figure.name, figure.unit, figure.target, *map(_number, values), figure.verdict, figure.note
        )
    console.print(table)


def line(figure: Figure) -> str:
    """Return a figure as one line."""
    return f"{figure.name}: {_number(figure.median)} {figure.unit} {figure.verdict}".rstrip()


def show_profile(name: str, lines: Mapping[str, str]) -> None:
    """Print where time goes."""
    print(f"\n{name}:")
    for part, value in lines.items():
        print(f"  {value}  {part}")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.2f}"
