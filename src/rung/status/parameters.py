"""What a request for a status asks: checked, and nothing guessed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from datetime import date
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from rung.campaign.calendar import TIME_MAX, TIME_MIN, Period, PeriodKind
from rung.status.after import WAIT_MS, After, read_token
from rung.status.messages import WAIT_MS_MAX
from rung.status.problem import Problem
from rung.transaction.times import parse_time

USER_ID_BYTES_MAX: Final = 128
_CAMPAIGN_NAME_BYTES_MAX: Final = 256
_VERSION_MAX: Final = 1_000_000_000
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MICROSECONDS_PER_DAY: Final = 86_400_000_000


class Query(NamedTuple):
    """Which status is asked for.

    `at` None is the present, a day Period starts in each campaign's zone. `after` has the positions that the
    status has to hold, for which `wait_ms` milliseconds may be waited.
    """

    at: int | Period | None = None
    campaign: str | None = None
    after: After | None = None
    wait_ms: int = WAIT_MS


NOTHING_ASKED: Final = Query()


class ExplainQuery(NamedTuple):
    """Which period is to be explained; `version` None is the period's own."""

    campaign: str
    period: str
    version: int | None


def check_user_id(text: str) -> bytes:
    """Return the user id of an unescaped path or a document, as UTF-8.

    Raises:
        Problem: 400, the id is empty, longer than 128 bytes or not UTF-8.
    """
    if not text:
        raise Problem(
            HTTPStatus.BAD_REQUEST, "bad_user_id", "user_id: it is empty; an id has 1 byte at least."
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


def read_query(query_string: bytes, known: Sequence[str] = ("at", "campaign", "after", "wait_ms")) -> Query:
    """Return what a query for a status asks. A `+` stands for itself, so that an offset need not be escaped.

    Raises:
        Problem: 400, a parameter is unknown, repeated or has no proper value.
    """
    found = read_parameters(query_string, known)
    at, campaign, after = found.get("at"), found.get("campaign"), found.get("after")
    wait_ms = found.get("wait_ms")
    return Query(
        None if at is None else read_at(at),
        None if campaign is None else check_campaign_name(campaign),
        None if after is None else read_token(after),
        WAIT_MS if wait_ms is None else _number(wait_ms, "wait_ms", WAIT_MS_MAX),
    )


def read_explain_query(query_string: bytes, known: Sequence[str]) -> ExplainQuery:
    """Return which period a query asks about.

    Raises:
        Problem: 400, a parameter is unknown, repeated or missing, or has no proper value.
    """
    found = read_parameters(query_string, known)
    for name in ("campaign", "period"):
        if name not in found:
            detail = f"{name}: it is missing; ask for ?campaign=NAME&period=PERIOD."
            raise Problem(HTTPStatus.BAD_REQUEST, "missing_parameter", detail)
    version = found.get("version")
    return ExplainQuery(
        check_campaign_name(found["campaign"]),
        found["period"],
        None if version is None else _number(version, "version", _VERSION_MAX),
    )


def read_parameters(query_string: bytes, known: Sequence[str]) -> dict[str, str]:
    """Return the parameters of a query by their names; each is one of those known, and there once.

    Raises:
        Problem: 400, that is not so, or the query is not well escaped UTF-8.
    """
    found: dict[str, str] = {}
    for pair in filter(None, query_string.split(b"&")):
        raw_name, _, raw_value = pair.partition(b"=")
        name = _text(_unescaped(raw_name, "query", "bad_query"), "query", "bad_query")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            there = f"there are {', '.join(known)}" if known else "this route takes none"
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                "unknown_parameter",
                f"{name[:64]!r}: no such parameter; {there}.",
                suggestion=close[0] if close else None,
            )
        if name in found:
            raise Problem(
                HTTPStatus.BAD_REQUEST, "repeated_parameter", f"{name}: it is given more than once."
            )
        found[name] = _text(_unescaped(raw_value, name, f"bad_{name}"), name, f"bad_{name}")
    return found


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


def _number(text: str, name: str, highest: int) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(highest)) or int(text) > highest:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"bad_{name}",
            f"{name}: expected a whole number from 0 to {highest:,}, got {text[:64]!r}.",
        )
    return int(text)


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
