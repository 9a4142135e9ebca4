"""Keys and values of the embedded store, other than records: what `rung.store.lmdb` lists, in bytes."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from rung.store.port import Applied, Counters, Quarantined

_PARTITION: Final = struct.Struct(">H")
_APPLIED: Final = struct.Struct("<qq")
_POSITION: Final = struct.Struct(">HQ")
_REVISION: Final = struct.Struct("<Q")
_NUMBER: Final = struct.Struct(">Q")
_NO_TIME: Final = -(1 << 63)
_AUDIT: Final = b"audit/"


class _Counters(msgspec.Struct, array_like=True):
    events: int
    duplicates: int
    batches: int
    quarantined: dict[str, int]
    last_batch_events: int
    last_batch_at: int


class _Quarantined(msgspec.Struct, array_like=True):
    reason: str
    detail: str
    at: int
    payload: bytes


_decode_counters: Final = msgspec.msgpack.Decoder(_Counters).decode
_decode_quarantined: Final = msgspec.msgpack.Decoder(_Quarantined).decode


def partition_of_key(key: bytes) -> int:
    """Return the partition that a key of a state is for."""
    return _PARTITION.unpack(key)[0]


def partition_key(partition: int) -> bytes:
    """Return the key of a partition's state."""
    return _PARTITION.pack(partition)


def unpack_applied(value: bytes) -> Applied:
    """Return a partition's state."""
    offset, event_at = _APPLIED.unpack(value)
    return Applied(offset, None if event_at == _NO_TIME else event_at)


def pack_applied(applied: Applied) -> bytes:
    """Return the value of a partition's state."""
    return _APPLIED.pack(applied.offset, _NO_TIME if applied.event_at is None else applied.event_at)


def unpack_revision(value: bytes) -> int:
    """Return a catalog's revision."""
    return _REVISION.unpack(value)[0]


def pack_revision(revision: int) -> bytes:
    """Return the value of a catalog's revision."""
    return _REVISION.pack(revision)


def unpack_counters(value: bytes) -> Counters:
    """Return counters."""
    return Counters(*msgspec.structs.astuple(_decode_counters(value)))


def pack_counters(counters: Counters) -> bytes:
    """Return the value of counters."""
    stored = _Counters(
        counters.events,
        counters.duplicates,
        counters.batches,
        dict(counters.quarantined),
        counters.last_batch_events,
        counters.last_batch_at,
    )
    return msgspec.msgpack.encode(stored)


def position_key(partition: int, offset: int) -> bytes:
    """Return the key of a quarantined event; keys are in the order of positions."""
    return _POSITION.pack(partition, offset)


def unpack_quarantined(key: bytes, value: bytes) -> Quarantined:
    """Return a quarantined event."""
    partition, offset = _POSITION.unpack(key)
    stored = _decode_quarantined(value)
    return Quarantined(partition, offset, stored.reason, stored.detail, stored.at, stored.payload)


def pack_quarantined(event: Quarantined) -> tuple[bytes, bytes]:
    """Return the key and the value of a quarantined event."""
    stored = _Quarantined(event.reason, event.detail, event.at, event.payload)
    return position_key(event.partition, event.offset), msgspec.msgpack.encode(stored)


def audit_key(number: int) -> bytes:
    """Return the key of an audit entry; keys are in the order of numbers."""
    return _AUDIT + _NUMBER.pack(number)


def audit_number(key: bytes) -> int | None:
    """Return the number of an audit entry, None for another key of the same database."""
    return _NUMBER.unpack(key[len(_AUDIT) :])[0] if key.startswith(_AUDIT) else None
