"""Paths and queries, with whatever a user id or a name may hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final, TypeAlias
from urllib.parse import quote

from rung.client.errors import Refused

At: TypeAlias = str | date
"""A time with an offset (RFC 3339), or a date, which starts in each campaign's time zone."""

_OWN: Final = "/v1/me"


def path_of(user_id: str | None, question: str) -> str:
    """Return the path of a question about a user; None is the user whose token it is."""
    if user_id is None:
        return f"{_OWN}/{question}"
    # A dot stands escaped as well: a part that is only dots would be taken for a way up.
    return f"/v1/users/{_escaped(user_id, 'user_id').replace('.', '%2E')}/{question}"


def target_of(path: str, query: Mapping[str, str | None]) -> str:
    """Return path and query; what is None is left out."""
    asked = [f"{name}={_escaped(value, name)}" for name, value in query.items() if value is not None]
    return f"{path}?{'&'.join(asked)}" if asked else path


def time_text(at: At | None) -> str | None:
    """Return a time or date as the API takes it."""
    return at.isoformat() if isinstance(at, date) else at


def check_text(text: str, place: str) -> str:
    """Return a text that UTF-8 can hold.

    Raises:
        Refused: it holds half a character.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused(f"bad_{place}", f"{place}: it is no text that UTF-8 can hold.") from None
    return text


def _escaped(text: str, place: str) -> str:
    return quote(check_text(text, place), safe="")
