"""Times of events: RFC 3339 text to microseconds since the epoch, many at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rung.campaign.calendar import TIME_MAX, TIME_MIN
from rung.transaction.history import Integers, Mask

_USUAL: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$"
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


def parse_times(texts: Sequence[str]) -> tuple[Integers, Mask]:
    """Return the times as `parse_time` does, and a mask of those that are not one (their value is 0)."""
    column = pa.array(texts, pa.string())
    if pc.all(pc.match_substring_regex(column, _USUAL)).as_py() is not False:
        try:
            parsed = pc.cast(column, pa.timestamp("us", "UTC"))
        except pa.ArrowInvalid:
            # Of the right form, but not all of them a day of the calendar: told apart one by one.
            return _one_by_one(texts)
        ats = parsed.cast(pa.int64()).to_numpy(zero_copy_only=False)
        bad = (ats < TIME_MIN) | (ats >= TIME_MAX)
        return np.where(bad, 0, ats), bad
    return _one_by_one(texts)


def _one_by_one(texts: Sequence[str]) -> tuple[Integers, Mask]:
    ats = [parse_time(text) for text in texts]
    bad = np.array([at is None for at in ats], dtype=np.bool_)
    return np.array([at or 0 for at in ats], dtype=np.int64), bad
