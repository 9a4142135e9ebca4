"""Times of events: RFC 3339 text to microseconds since the epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from rung.campaign.calendar import TIME_MAX, TIME_MIN

_RFC_3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-]\d\d:[0-5]\d))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def parse_time(text: str) -> int | None:
    """Return microseconds since the epoch, or None if the text is not RFC 3339 with an offset.

    Digits behind the microsecond are cut off. A leap second (:60) has no place on this scale and
    is refused, as is a time outside `TIME_MIN` to `TIME_MAX`.
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        return None
    date, clock, fraction, offset = match.groups()
    try:
        local = datetime.fromisoformat(f"{date}T{clock}.{(fraction or '0')[:6]:0<6}{offset or '+00:00'}")
    except ValueError:
        return None
    at = (local - _EPOCH) // _MICROSECOND
    return at if TIME_MIN <= at < TIME_MAX else None
