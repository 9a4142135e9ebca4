"""What a request for a status asks: checked, and nothing guessed."""

from __future__ import annotations

import difflib
import re
from datetime import date
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from rung.campaign.calendar import TIME_MAX, TIME_MIN, Period, PeriodKind
from rung.status.problem import Problem
from rung.transaction.times import parse_time

USER_ID_BYTES_MAX: Final = 128
QUERY_BYTES_MAX: Final = 2_048
_CAMPAIGN_NAME_BYTES_MAX: Final = 256
_PARAMETERS: Final = ("at", "campaign")
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MICROSECONDS_PER_DAY: Final = 86_400_000_000


class Query(NamedTuple):
    """Which status is asked for; `at` None is the present, a day Period starts in each campaign's zone."""

    at: int | Period | None
    campaign: str | None


NOTHING_ASKED: Final = Query(None, None)


def check_user_id(text: str) -> bytes:
    """Return the user id of an unescaped path, as UTF-8.

    Raises:
        Problem: 400, the id is empty, longer than 128 bytes or not UTF-8.
    """
    if not text:
        raise Problem(
            HTTPStatus.BAD_REQUEST, "bad_user_id", "user_id: it is empty; write /v1/users/USER/status."
        )
    user_id = text.encode()
    if len(user_id) > USER_ID_BYTES_MAX:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "bad_user_id",
            f"user_id: it has {len(user_id)} bytes; an id has at most {USER_ID_BYTES_MAX}.",
        )
    if not text.isascii():
        _refuse_replaced(text, "user_id", "bad_user_id")
    return user_id


def check_campaign_name(name: str) -> str:
    """Return the campaign name of an unescaped path.

    Raises:
        Problem: 400, the name is too long for any campaign, or not UTF-8.
    """
    if len(name.encode()) > _CAMPAIGN_NAME_BYTES_MAX:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "bad_campaign",
            f"campaign: no campaign has a name of more than {_CAMPAIGN_NAME_BYTES_MAX} bytes.",
        )
    _refuse_replaced(name, "campaign", "bad_campaign")
    return name


def read_query(query_string: bytes) -> Query:
    """Return what the query asks. A `+` stands for itself, so that an offset need not be escaped.

    Raises:
        Problem: 400, a parameter is unknown, repeated or has no proper value.
    """
    if not query_string:
        return NOTHING_ASKED
    if len(query_string) > QUERY_BYTES_MAX:
        raise Problem(
            HTTPStatus.BAD_REQUEST, "bad_query", f"query: it is longer than {QUERY_BYTES_MAX:,} bytes."
        )
    found: dict[str, str] = {}
    for pair in filter(None, query_string.split(b"&")):
        raw_name, _, raw_value = pair.partition(b"=")
        name = _text(_unescaped(raw_name, "query", "bad_query"), "query", "bad_query")
        if name not in _PARAMETERS:
            close = difflib.get_close_matches(name, _PARAMETERS, n=1)
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                "unknown_parameter",
                f"{name[:64]!r}: no such parameter; there are at and campaign.",
                suggestion=close[0] if close else None,
            )
        if name in found:
            raise Problem(
                HTTPStatus.BAD_REQUEST, "repeated_parameter", f"{name}: it is given more than once."
            )
        found[name] = _text(_unescaped(raw_value, name, f"bad_{name}"), name, f"bad_{name}")
    at = found.get("at")
    campaign = found.get("campaign")
    return Query(
        None if at is None else read_at(at),
        None if campaign is None else check_campaign_name(campaign),
    )


def read_at(text: str) -> int | Period:
    """Return microseconds since the epoch, or for a date its day.

    Raises:
        Problem: 400, the text is neither, or not within the years that a calendar has.
    """
    at = _day(text) if _DATE.fullmatch(text) else parse_time(text)
    if at is None:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "bad_at",
            f"at: expected an RFC 3339 time with an offset, such as 2021-08-01T00:00:00+09:00, or a date, "
            f"such as 2021-08-01, from 1970-01-03 to 2099-12-30; got {text[:64]!r}.",
        )
    return at


def _day(text: str) -> Period | None:
    try:
        ordinal = (date.fromisoformat(text) - date(1970, 1, 1)).days
    except ValueError:
        return None
    # A day more at both ends: wherever the zone, the day then starts within the calendar.
    within = TIME_MIN // _MICROSECONDS_PER_DAY < ordinal < TIME_MAX // _MICROSECONDS_PER_DAY - 1
    return Period(PeriodKind.DAY, ordinal) if within else None


def _refuse_replaced(text: str, place: str, code: str) -> None:
    """Refuse a text with the character that a server puts where a path is not UTF-8."""
    if "\ufffd" in text:
        raise Problem(HTTPStatus.BAD_REQUEST, code, f"{place}: it is not UTF-8.")


def _unescaped(raw: bytes, place: str, code: str) -> bytes:
    if _BAD_ESCAPE.search(raw):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            code,
            f"{place}: a % stands without two hexadecimal digits; write a percent sign as %25.",
        )
    return unquote_to_bytes(raw)


def _text(value: bytes, place: str, code: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Problem(HTTPStatus.BAD_REQUEST, code, f"{place}: it is not UTF-8.") from None
