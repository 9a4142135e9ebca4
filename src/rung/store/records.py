"""The form of stored records: histories of transactions, figures of users, attributes of users.

Every record starts with one byte that names its format; another byte than expected is refused,
never read as if it were known. Integers are little-endian.

Transaction, 43 bytes for one or two steps, 12 more for each further one:

    format u8 | steps u16 | user digest u64 | attributes digest u64 | steps x (moment u56, amount u40)

A moment is the microseconds since the epoch times 8, plus the status code. There is always room for
two steps, because nearly every transaction gets its second soon: the record is then replaced in place,
where a longer one would split a page of the store.

User: 13 bytes for each figure of a count or sum, then 21 for each of a distinct. Those that are zero are
left out; both parts are in the order of period, series and token:

    format u8 | plain u16 | plain x (series u24, period u16, value i64)
                          | figures x (series u24, period u16, token u64, value i64)
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
from rung.transaction.history import Histories, Integers, StoredTransactions, spans

FORMAT: Final = 1
_ROOM: Final = 2

_HEAD: Final = np.dtype([("format", "u1"), ("steps", "<u2"), ("user", "<u8"), ("attributes", "<u8")])
_STEP: Final = np.dtype(
    [("moment", "<u4"), ("moment_32", "<u2"), ("moment_48", "u1"), ("amount", "<u4"), ("amount_32", "u1")]
)
_STATUS_BITS: Final = 3

FIGURE: Final = np.dtype([("series", "<u4"), ("period", "<i4"), ("token", "<u8"), ("value", "<i8")])
"""A figure in memory. A count or sum has token 0."""
_PLAIN: Final = np.dtype([("series", "<u2"), ("series_16", "u1"), ("period", "<u2"), ("value", "<i8")])
_DISTINCT: Final = np.dtype(
    [("series", "<u2"), ("series_16", "u1"), ("period", "<u2"), ("token", "<u8"), ("value", "<i8")]
)
_USER_HEAD: Final = struct.Struct("<BH")
_PLAIN_FIGURE: Final = struct.Struct("<HBHq")
_DISTINCT_FIGURE: Final = struct.Struct("<HBHQq")
_PERIOD: Final = struct.Struct("<3xH")
_USER_HEAD_BYTES: Final = _USER_HEAD.size
_PLAIN_BYTES: Final = _PLAIN_FIGURE.size
_DISTINCT_BYTES: Final = _DISTINCT_FIGURE.size
_BYTES_SHORT: Final = 256


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
        moments, amounts = (
            (histories.ats[cells] << _STATUS_BITS) | histories.statuses[cells],
            histories.amounts[cells],
        )
        written = table["steps"][:, :steps]
        written["moment"], written["moment_32"], written["moment_48"] = (
            moments & 0xFFFF_FFFF,
            moments >> 32 & 0xFFFF,
            moments >> 48,
        )
        written["amount"], written["amount_32"] = amounts & 0xFFFF_FFFF, amounts >> 32
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
    low, middle, high = (steps[name].astype(np.int64) for name in ("moment", "moment_32", "moment_48"))
    moments = low | middle << 32 | high << 48
    histories = Histories.of_lengths(
        lengths,
        (moments & (1 << _STATUS_BITS) - 1).astype(np.uint8),
        moments >> _STATUS_BITS,
        steps["amount"].astype(np.int64) | steps["amount_32"].astype(np.int64) << 32,
    )
    return StoredTransactions(users, attributes, histories)


def _rows(data: NDArray[np.uint8], starts: Integers, dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """Read a structured value at each start."""
    cells = data[starts[:, None] + np.arange(dtype.itemsize)] if len(starts) else data[:0]
    return np.ascontiguousarray(cells).view(dtype).reshape(-1)


def encode_figures(owners: Integers, figures: NDArray[np.void], count: int) -> list[bytes]:
    """Return `count` user records from sorted `FIGURE` rows; `owners` names each row's record, ascending."""
    plain = figures["token"] == 0
    plain_bytes, plain_ends = _packed(owners[plain], figures[plain], _PLAIN, count)
    distinct_bytes, distinct_ends = _packed(owners[~plain], figures[~plain], _DISTINCT, count)
    records: list[bytes] = []
    start = distinct_start = 0
    for end, distinct_end in zip(plain_ends, distinct_ends, strict=True):
        head = _USER_HEAD.pack(FORMAT, (end - start) // _PLAIN.itemsize)
        records.append(head + plain_bytes[start:end] + distinct_bytes[distinct_start:distinct_end])
        start, distinct_start = end, distinct_end
    return records


def _packed(
    owners: Integers, figures: NDArray[np.void], dtype: np.dtype[np.void], count: int
) -> tuple[bytes, list[int]]:
    """Return figures in their stored form, and where those of each of `count` owners end."""
    packed = np.zeros(len(figures), dtype=dtype)
    packed["series"], packed["series_16"] = figures["series"] & 0xFFFF, figures["series"] >> 16
    for name in ("period", "token", "value"):
        if name in (packed.dtype.names or ()):
            packed[name] = figures[name]
    ends: list[int] = (np.cumsum(np.bincount(owners, minlength=count)) * dtype.itemsize).tolist()
    return packed.tobytes(), ends


def decode_figures(records: Sequence[bytes | None]) -> tuple[Integers, NDArray[np.void]]:
    """Return the figures of many user records, in no order, and for each the index of its record.

    Raises:
        StoreError: a record has an unknown format.
    """
    owners = np.array([index for index, record in enumerate(records) if record is not None], dtype=np.int64)
    found = [record for record in records if record is not None]
    sizes = np.array([len(record) for record in found], dtype=np.int64)
    data = np.frombuffer(b"".join(found), dtype=np.uint8)
    starts = np.cumsum(sizes) - sizes
    if (data[starts] != FORMAT).any():
        raise _refuse("user")
    plain_counts = data[starts + 1].astype(np.int64) | data[starts + 2].astype(np.int64) << 8
    firsts = starts + _USER_HEAD.size
    middles = firsts + plain_counts * _PLAIN.itemsize
    distinct_counts = (starts + sizes - middles) // _DISTINCT.itemsize
    plain = _unpacked(data, firsts, plain_counts, _PLAIN)
    distinct = _unpacked(data, middles, distinct_counts, _DISTINCT)
    return (
        np.concatenate([np.repeat(owners, plain_counts), np.repeat(owners, distinct_counts)]),
        np.concatenate([plain, distinct]),
    )


def _unpacked(
    data: NDArray[np.uint8], firsts: Integers, counts: Integers, dtype: np.dtype[np.void]
) -> NDArray[np.void]:
    """Read `counts[i]` stored figures that follow one another from `firsts[i]` on."""
    within = spans(np.zeros(len(counts), dtype=np.int64), counts)
    packed = _rows(data, np.repeat(firsts, counts) + within * dtype.itemsize, dtype)
    figures = np.zeros(len(packed), dtype=FIGURE)
    figures["series"] = packed["series"] | packed["series_16"].astype(np.uint32) << 16
    for name in ("period", "token", "value"):
        if name in (packed.dtype.names or ()):
            figures[name] = packed[name]
    return figures


def figures(record: bytes | None) -> Iterator[tuple[int, int, int, int]]:
    """Yield (series, period ordinal, token, value) for each figure of one user that is not zero.

    A count or sum has token 0. A distinct measure has a figure for each value, whose token is
    `rung.plan`'s 64-bit hash of the value; it counts those with a value above 0.

    Raises:
        StoreError: the record has an unknown format.
    """
    if record is None:
        return
    middle = _middle_of(record)
    for place in range(_USER_HEAD_BYTES, middle, _PLAIN_BYTES):
        low, high, period, value = _PLAIN_FIGURE.unpack_from(record, place)
        yield low | high << 16, period, 0, value
    for place in range(middle, len(record), _DISTINCT_BYTES):
        low, high, period, token, value = _DISTINCT_FIGURE.unpack_from(record, place)
        yield low | high << 16, period, token, value


def figures_of(record: bytes | None, period: int) -> list[tuple[int, int, int]]:
    """Return (series, token, value) for each figure of one period (its ordinal), as `figures` does.

    Mostly the last periods are asked for, so each part is read from its end; a long one is bisected.

    Raises:
        StoreError: the record has an unknown format.
    """
    if record is None:
        return []
    middle = _middle_of(record)
    found: list[tuple[int, int, int]] = []
    unpack = _PLAIN_FIGURE.unpack_from
    for place in range(_last_of(record, _USER_HEAD_BYTES, middle, _PLAIN_BYTES, period), 0, -_PLAIN_BYTES):
        low, high, ordinal, value = unpack(record, place)
        if ordinal == period:
            found.append((low | high << 16, 0, value))
        elif ordinal < period:
            break
    end = len(record)
    if middle == end:
        return found
    unpack = _DISTINCT_FIGURE.unpack_from
    for place in range(_last_of(record, middle, end, _DISTINCT_BYTES, period), middle - 1, -_DISTINCT_BYTES):
        low, high, ordinal, token, value = unpack(record, place)
        if ordinal == period:
            found.append((low | high << 16, token, value))
        elif ordinal < period:
            break
    return found


def _middle_of(record: bytes) -> int:
    """Return where the figures of distinct measures start in a user's record."""
    if record[0] != FORMAT:
        raise _refuse("user")
    return _USER_HEAD_BYTES + (record[1] | record[2] << 8) * _PLAIN_BYTES


def _last_of(record: bytes, first: int, end: int, size: int, period: int) -> int:
    """Return the place of a part's last figure; in a long part, of the last one not behind a period."""
    if end - first <= _BYTES_SHORT:
        return end - size
    places = range(first, end, size)
    return (
        first
        - size
        + size * bisect_right(places, period, key=lambda place: _PERIOD.unpack_from(record, place)[0])
    )


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


def split_figures(record: bytes, bytes_max: int) -> list[bytes]:
    """Return a user's record in parts of at most so many bytes, each a record, the newest periods last.

    All parts but the last are as full as they can be, so a figure that is added to the newest period changes
    the last part alone. A part has room for one figure at least. `join_figures` makes the record again.
    """
    if len(record) <= bytes_max:
        return [record]
    _, rows = decode_figures([record])
    rows = rows[np.lexsort((rows["token"], rows["series"], rows["period"]))]
    ends = np.cumsum(np.where(rows["token"] == 0, _PLAIN_BYTES, _DISTINCT_BYTES))
    room = max(bytes_max - _USER_HEAD_BYTES, _DISTINCT_BYTES)
    parts: list[bytes] = []
    start = taken = 0
    while start < len(rows):
        end = int(np.searchsorted(ends, taken + room, side="right"))
        parts.append(encode_figures(np.zeros(end - start, dtype=np.int64), rows[start:end], 1)[0])
        start, taken = end, int(ends[end - 1])
    return parts


def join_figures(parts: Sequence[bytes]) -> bytes:
    """Return the record that `split_figures` made parts of.

    Raises:
        StoreError: a part has an unknown format.
    """
    if len(parts) == 1:
        return parts[0]
    _, rows = decode_figures(parts)
    rows = rows[np.lexsort((rows["token"], rows["series"], rows["period"]))]
    return encode_figures(np.zeros(len(rows), dtype=np.int64), rows, 1)[0]
