"""Parts of a page that may fail by themselves: the others are shown all the same."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from rung.console.console import Asked
from rung.operations.expected import expected

_Value = TypeVar("_Value")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shown(Generic[_Value]):
    """What a part of a page shows: a value, or why there is none."""

    value: _Value | None
    trouble: str = ""


def shown(asked: Asked, read: Callable[[], _Value]) -> Shown[_Value]:
    """Return what `read` gives, or the text of the error that it is expected to end in."""
    try:
        return Shown(read())
    except Exception as error:
        known = expected(error)
        if known is None:
            raise
        _log.warning("part_failed", extra={"request": asked.id, "route": asked.path, "cause": known.text})
        return Shown(None, known.text)
