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
    if not _usual(column):
        return _one_by_one(texts)
    try:
        ats = pc.cast(column, pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        # More digits than a microsecond has, or a time that is none: told apart one by one.
        return _one_by_one(texts)
    bad = (ats < TIME_MIN) | (ats >= TIME_MAX)
    return np.where(bad, 0, ats), bad


def _usual(column: pa.StringArray) -> bool:
    """Tell whether all texts have the marks of RFC 3339 in upper case at their places.

    Arrow reads digits and days strictly, but also takes a blank for the T, times without seconds and
    offsets without a colon; these marks leave just the forms of RFC 3339.
    """
    if len(column) == 0:
        return True
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[: len(column) + 1]
    starts, ends = ends[:-1], ends[1:]
    if (ends - starts).min() < len("2021-08-01T00:00:00Z"):
        return False
    text = np.frombuffer(data, dtype=np.uint8)
    in_utc = text[ends - 1] == ord("Z")
    sign = text[ends - 6]
    with_offset = (text[ends - 3] == ord(":")) & ((sign == ord("+")) | (sign == ord("-")))
    marks = (text[starts + 10] == ord("T")) & (text[starts + 16] == ord(":")) & (in_utc | with_offset)
    return bool(marks.all())


def _one_by_one(texts: Sequence[str]) -> tuple[Integers, Mask]:
    ats = [parse_time(text) for text in texts]
    bad = np.array([at is None for at in ats], dtype=np.bool_)
    return np.array([at or 0 for at in ats], dtype=np.int64), bad
