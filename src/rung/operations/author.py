"""Who changes something, and why: for the audit list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, and why."""

    who: str
    reason: str
