"""Times of many events at once, as `rung.transaction.times` reads each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rung.campaign.calendar import TIME_MAX, TIME_MIN
from rung.transaction.history import Integers, Mask
from rung.transaction.times import parse_time


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
