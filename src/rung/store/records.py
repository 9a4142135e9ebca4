"""The form of stored records: histories of transactions, figures of users, attributes of users.

Every record starts with one byte that names its format; another byte than expected is refused,
never read as if it were known. Integers are little-endian.

Transaction, 53 bytes for one or two steps, 17 more for each further one:

    format u8 | steps u16 | user digest u64 | attributes digest u64 | steps x (status u8, at i64, amount i64)

There is always room for two steps, because nearly every transaction gets its second soon: the
record is then replaced in place, where a longer one would split a page of the store.

User: 24 bytes for each figure that is not zero, in the order of period, series and token:

    format u8 | figures x (series u32, period i32, token u64, value i64)
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from rung.store.port import StoreError
from rung.transaction.history import Histories, Integers, spans
from rung.transaction.merge import StoredTransactions

FORMAT: Final = 1
_FORMAT_BYTE: Final = bytes([FORMAT])
_ROOM: Final = 2

_HEAD: Final = np.dtype([("format", "u1"), ("steps", "<u2"), ("user", "<u8"), ("attributes", "<u8")])
_STEP: Final = np.dtype([("status", "u1"), ("at", "<i8"), ("amount", "<i8")])
FIGURE: Final = np.dtype([("series", "<u4"), ("period", "<i4"), ("token", "<u8"), ("value", "<i8")])
_FIGURE: Final = struct.Struct("<IiQq")
_PERIOD: Final = struct.Struct("<4xi")
_FIGURES_SHORT: Final = 16


def _refuse(kind: str) -> StoreError:
    return StoreError(
        f"a {kind} record has a format other than {FORMAT}: it was written by another release of Rung. "
        "Use that release, or empty the store and apply the log again with `rung replay`."
    )


def encode_transactions(transactions: StoredTransactions) -> list[bytes]:
    """Return one record per transaction; every history must have a step."""
    histories = transactions.histories
    records: list[bytes] = [b""] * len(histories)
    for steps in np.unique(histories.lengths):
        chosen = np.flatnonzero(histories.lengths == steps)
        room = max(int(steps), _ROOM)
        table = np.zeros(len(chosen), dtype=[("head", _HEAD), ("steps", _STEP, (room,))])
        table["head"]["format"] = FORMAT
        table["head"]["steps"] = steps
        table["head"]["user"] = transactions.users[chosen]
        table["head"]["attributes"] = transactions.attributes[chosen]
        cells: Integers = histories.starts[chosen][:, None] + np.arange(int(steps))
        table["steps"]["status"][:, :steps] = histories.statuses[cells]
        table["steps"]["at"][:, :steps] = histories.ats[cells]
        table["steps"]["amount"][:, :steps] = histories.amounts[cells]
        width, encoded = table.dtype.itemsize, table.tobytes()
        for place, index in enumerate(chosen.tolist()):
            records[index] = encoded[place * width : (place + 1) * width]
    return records


def decode_transactions(records: Sequence[bytes | None]) -> StoredTransactions:
    """Read records; None is a transaction without steps.

    Raises:
        StoreError: a record has an unknown format.
    """
    count = len(records)
    present = np.array([index for index, record in enumerate(records) if record is not None], dtype=np.int64)
    found = [record for record in records if record is not None]
    users, attributes = np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=np.uint64)
    lengths = np.zeros(count, dtype=np.int64)
    data = np.frombuffer(b"".join(found), dtype=np.uint8)
    sizes = np.array([len(record) for record in found], dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    heads = _rows(data, starts, _HEAD)
    if (heads["format"] != FORMAT).any():
        raise _refuse("transaction")
    users[present], attributes[present] = heads["user"], heads["attributes"]
    lengths[present] = heads["steps"]
    first = np.repeat(starts + _HEAD.itemsize, lengths[present])
    within = spans(np.zeros(len(present), dtype=np.int64), lengths[present])
    steps = _rows(data, first + within * _STEP.itemsize, _STEP)
    histories = Histories.of_lengths(
        lengths,
        np.ascontiguousarray(steps["status"]),
        np.ascontiguousarray(steps["at"]),
        np.ascontiguousarray(steps["amount"]),
    )
    return StoredTransactions(users, attributes, histories)


def _rows(data: NDArray[np.uint8], starts: Integers, dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """Read a structured value at each start."""
    cells = data[starts[:, None] + np.arange(dtype.itemsize)] if len(starts) else data[:0]
    return np.ascontiguousarray(cells).view(dtype).reshape(-1)


def encode_figures(owners: Integers, figures: NDArray[np.void], count: int) -> list[bytes]:
    """Return `count` user records from sorted `FIGURE` rows; `owners` names each row's record, ascending."""
    ends = np.cumsum(np.bincount(owners, minlength=count)) * FIGURE.itemsize
    encoded = figures.tobytes()
    records: list[bytes] = []
    start = 0
    for end in ends.tolist():
        records.append(_FORMAT_BYTE + encoded[start:end])
        start = end
    return records


def decode_figures(records: Sequence[bytes | None]) -> tuple[Integers, NDArray[np.void]]:
    """Return the figures of many user records, and for each the index of its record, ascending.

    Raises:
        StoreError: a record has an unknown format.
    """
    sizes = np.array([0 if record is None else len(record) for record in records], dtype=np.int64)
    data = np.frombuffer(b"".join([record for record in records if record is not None]), dtype=np.uint8)
    present = sizes > 0
    formats = (np.cumsum(sizes) - sizes)[present]
    if (data[formats] != FORMAT).any():
        raise _refuse("user")
    is_figure = np.ones(len(data), dtype=np.bool_)
    is_figure[formats] = False
    figures = data[is_figure].view(FIGURE)
    return np.repeat(np.arange(len(records)), sizes // FIGURE.itemsize), figures


def figures(record: bytes | None) -> Iterator[tuple[int, int, int, int]]:
    """Yield (series, period ordinal, token, value) for each figure of one user that is not zero.

    A count or sum has token 0. A distinct measure has a figure for each value, whose token is
    `rung.plan`'s 64-bit hash of the value; it counts those with a value above 0.

    Raises:
        StoreError: the record has an unknown format.
    """
    if record is None:
        return iter(())
    if record[0] != FORMAT:
        raise _refuse("user")
    return _FIGURE.iter_unpack(memoryview(record)[1:])


def figures_of(record: bytes | None, period: int) -> list[tuple[int, int, int]]:
    """Return (series, token, value) for each figure of one period (its ordinal), as `figures` does.

    A record is in the order of the periods and mostly asked for the last ones: a short one is read
    from its end, and in a long one the period is found by bisection.

    Raises:
        StoreError: the record has an unknown format.
    """
    if record is None:
        return []
    if record[0] != FORMAT:
        raise _refuse("user")
    places = range(1, len(record), _FIGURE.size)
    if len(places) > _FIGURES_SHORT:
        places = places[
            : bisect_right(places, period, key=lambda place: _PERIOD.unpack_from(record, place)[0])
        ]
    found: list[tuple[int, int, int]] = []
    unpack = _FIGURE.unpack_from
    for place in reversed(places):
        series, ordinal, token, value = unpack(record, place)
        if ordinal == period:
            found.append((series, token, value))
        elif ordinal < period:
            break
    return found


@dataclass(frozen=True, slots=True)
class UserAttributes:
    """A user's attributes and the sequence number of the event that told them."""

    sequence: int
    values: Mapping[str, object]


class _StoredAttributes(msgspec.Struct, array_like=True):
    format: int
    sequence: int
    values: dict[str, object]


def encode_user_attributes(attributes: UserAttributes) -> bytes:
    """Return the record of one user's attributes; equal attributes give equal bytes, others do not.

    It is JSON, because an event may hold any JSON: MessagePack has no integers beyond 64 bits.
    """
    stored = _StoredAttributes(FORMAT, attributes.sequence, dict(attributes.values))
    return msgspec.json.encode(stored, order="deterministic")


_decode_attributes: Final = msgspec.json.Decoder(_StoredAttributes).decode
_NO_ATTRIBUTES: Final = UserAttributes(-1, {})


def decode_user_attributes(record: bytes | None) -> UserAttributes:
    """Read the record of one user's attributes; None is a user with sequence -1 and no values.

    Raises:
        StoreError: the record has an unknown format.
    """
    if record is None:
        return _NO_ATTRIBUTES
    stored = _decode_attributes(record)
    if stored.format != FORMAT:
        raise _refuse("user attributes")
    return UserAttributes(stored.sequence, stored.values)
