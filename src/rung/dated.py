"""Ids of what was begun at a moment: they sort by it, and may stand in a file's name."""

from __future__ import annotations

from datetime import UTC, datetime


def dated_id(at: int) -> str:
    """Return the id of what was begun at microseconds since the epoch, such as 20261130T033330.980025Z."""
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
