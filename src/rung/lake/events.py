"""Rows of the lake as events again: the bytes that the log held, or others that say the same.

Of an event that was read all that counts is in the columns, so its bytes are written anew, in one form;
those of a rejected one were kept. Decoding them gives the same rows, attributes that were not
declared at the time included.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Raw

from rung.lake.rows import REJECTED, TRANSACTION
from rung.log.port import Slice
from rung.transaction.history import STATUSES
from rung.transaction.reasons import Reason

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_encode: Final = msgspec.json.Encoder().encode


def slices_of(rows: pa.Table, events_max: int) -> Iterator[Slice]:
    """Yield rows of one partition, in the order of their offsets, as slices of at most so many events."""
    if not rows.num_rows:
        return
    cuts = np.flatnonzero(np.diff(rows.column("offset").to_numpy()) != 1) + 1
    for low, high in pairwise([0, *cuts.tolist(), rows.num_rows]):
        for first in range(low, high, events_max):
            yield _slice(rows.slice(first, min(events_max, high - first)))


def _slice(rows: pa.Table) -> Slice:
    found = rows.to_pylist()
    times: list[int] = rows.column("appended_at").cast(pa.int64()).to_pylist()
    first_offset: int = found[0]["offset"]
    unreadable = {
        index: row["detail"]
        for index, row in enumerate(found)
        if row["kind"] == REJECTED and row["reason"] == Reason.UNKNOWN_SCHEMA.value
    }
    return Slice(
        found[0]["partition"],
        first_offset,
        [_payload(row) for row in found],
        times[0],
        unreadable,
        lambda offset: times[offset - first_offset],
    )


def _payload(row: dict[str, Any]) -> bytes:
    if row["kind"] == REJECTED:
        return row["payload"]
    attributes = Raw(row["attributes"].encode())
    if row["kind"] == TRANSACTION:
        steps = zip(row["status"], row["at"], row["amount"], strict=True)
        return _encode(
            {
                "transaction_id": row["transaction_id"],
                "user_id": row["user_id"],
                "history": [
                    {"status": STATUSES[status], "at": _time_text(at), "amount": amount}
                    for status, at, amount in steps
                ],
                "attributes": attributes,
            }
        )
    return _encode({"user_id": row["user_id"], "sequence": row["sequence"], "user_attributes": attributes})


def _time_text(at: int) -> str:
    """Return the shortest form of a time: no event must become too long for being written anew."""
    text = (_EPOCH + timedelta(microseconds=at)).replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0') if '.' in text else text}Z"
