"""What is wrong with a spec, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpecError:
    """One error; `line` and `column` start at 1, `suggestion` is what to write instead."""

    file: str
    line: int
    column: int
    message: str
    suggestion: str | None

    def __str__(self) -> str:
        """Return `file:line:column: message (suggestion)`."""
        suggestion = "" if self.suggestion is None else f" ({self.suggestion})"
        return f"{self.file}:{self.line}:{self.column}: {self.message}{suggestion}"


class InvalidSpec(Exception):
    """A spec has errors; `errors` are all of them, in the order of their places."""

    def __init__(self, errors: Sequence[SpecError]) -> None:
        self.errors = tuple(sorted(errors, key=lambda error: (error.line, error.column)))
        super().__init__("\n".join(map(str, self.errors)))
