"""What was measured: figures with their targets, as a table for people and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is to reach: at least `bound`, or at most."""

    bound: float
    at_least: bool

    def met(self, value: float) -> bool:
        """Tell whether a measured value reaches it."""
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity: a sample per repeat. The median is held against the target."""

    name: str
    unit: str
    samples: Sequence[float]
    target: Target | None = None
    note: str = ""

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    @property
    def verdict(self) -> str:
        """`pass`, `short`, or nothing where there is no target."""
        if self.target is None:
            return ""
        return "pass" if self.target.met(self.median) else "short"

    def as_json(self) -> dict[str, Any]:
        """Return what is written to the results."""
        return {
            "name": self.name,
            "unit": self.unit,
            "target": None if self.target is None else asdict(self.target),
            "samples": list(self.samples),
            "min": min(self.samples),
            "median": self.median,
            "max": max(self.samples),
            "verdict": self.verdict or None,
            "note": self.note or None,
        }


@dataclass(slots=True)
class Report:
    """All figures of a run, and the profiles that explain them."""

    figures: list[Figure] = field(default_factory=list)
    profiles: dict[str, Any] = field(default_factory=dict)

    def add(
        self,
        name: str,
        unit: str,
        samples: Sequence[float],
        target: Target | None = None,
        note: str = "",
    ) -> None:
        """Add a figure."""
        self.figures.append(Figure(name, unit, samples, target, note))

    def write(self, file: Path, facts: Mapping[str, Any]) -> None:
        """Write everything as JSON."""
        document = {
            **facts,
            "figures": [figure.as_json() for figure in self.figures],
            "profiles": self.profiles,
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def show(self) -> None:
        """Print the table of figures, then the profiles."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("figure", "unit"):
            table.add_column(column)
        for column in ("target", "min", "median", "max"):
            table.add_column(column, justify="right")
        table.add_column("verdict")
        table.add_column("note")
        for figure in self.figures:
            table.add_row(
                figure.name,
                figure.unit,
                _target_text(figure.target),
                _number(min(figure.samples)),
                _number(figure.median),
                _number(max(figure.samples)),
                figure.verdict,
                figure.note,
            )
        console = Console(highlight=False, markup=False, width=180)
        console.print(table)
        for name, shares in self.profiles.items():
            console.print(f"\n{name}")
            for part, value in shares.items():
                console.print(f"  {part:<44} {value}")


def _target_text(target: Target | None) -> str:
    if target is None:
        return ""
    return f"{'>=' if target.at_least else '<='} {_number(target.bound)}"


def _number(value: float) -> str:
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}"
