"""Why an operation is not done."""

from __future__ import annotations


class OperationRefused(Exception):
    """What was asked cannot be done; the text names the place and the fix, and nothing was changed."""


class ScheduleMoved(Exception):
    """Somebody else changed the campaign meanwhile, and nothing was done: look again."""
