"""The audit list: who did what and why, each entry chained to the one before by its hash.

An entry's record is JSON with its format's version. Its hash is the SHA-256 of the same record without a
hash, so whoever changes an entry, takes one out or puts one in has to write all that follow anew, or the
chain is broken there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from rung.store.again import until_stored
from rung.store.port import Store, StoreError

FORMAT: Final = 1
RECORD_BYTES_MAX: Final = 256 << 10
"""What every store has room for."""
_APPEND_ATTEMPTS_MAX: Final = 100


class AuditEntry(msgspec.Struct, frozen=True):
    """One entry.

    `number` counts from 1, `at` is in microseconds since the epoch, `before` and `after` are what was
    changed, as JSON (None: there was or is nothing, or it is not told). `previous` is the hash of the entry
    before, "" for the first.
    """

    number: int
    at: int
    who: str
    action: str
    subject: str
    before: dict[str, object] | None
    after: dict[str, object] | None
    reason: str
    previous: str
    hash: str


class _Stored(msgspec.Struct, frozen=True):
    format: int
    entry: AuditEntry


class _Formatted(msgspec.Struct, frozen=True):
    format: int


_decode_format: Final = msgspec.json.Decoder(_Formatted).decode
_decode_stored: Final = msgspec.json.Decoder(_Stored).decode
_decode_json: Final = msgspec.json.Decoder(dict[str, object]).decode


def next_entry(
    last: AuditEntry | None,
    at: int,
    who: str,
    action: str,
    subject: str,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
    reason: str,
) -> AuditEntry:
    """Return the entry that follows another one (None: the first)."""
    entry = AuditEntry(
        1 if last is None else last.number + 1,
        at,
        who,
        action,
        subject,
        _plain(before),
        _plain(after),
        reason,
        "" if last is None else last.hash,
        "",
    )
    return msgspec.structs.replace(entry, hash=_hash_of(entry))


def _plain(values: Mapping[str, object] | None) -> dict[str, object] | None:
    """Return values as they are read back, so that the hash is of what is stored."""
    return None if values is None else _decode_json(msgspec.json.encode(dict(values), order="deterministic"))


def _hash_of(entry: AuditEntry) -> str:
    return hashlib.sha256(_encoded(msgspec.structs.replace(entry, hash=""))).hexdigest()


def _encoded(entry: AuditEntry) -> bytes:
    return msgspec.json.encode(_Stored(FORMAT, entry), order="deterministic")


def encode_entry(entry: AuditEntry) -> bytes:
    """Return an entry's record.

    Raises:
        StoreError: it has more bytes than a store has room for.
    """
    record = _encoded(entry)
    if len(record) > RECORD_BYTES_MAX:
        raise StoreError(
            f"an audit entry has {len(record):,} bytes, and there is room for {RECORD_BYTES_MAX:,}: "
            "tell less of what was changed"
        )
    return record


def decode_entry(record: bytes) -> AuditEntry:
    """Read an entry's record.

    Raises:
        StoreError: it has an unknown format, or is damaged.
    """
    try:
        found = _decode_format(record).format
        if found == FORMAT:
            return _decode_stored(record).entry
    except msgspec.MsgspecError as error:
        raise StoreError(f"an audit entry is damaged: {error}") from error
    raise StoreError(
        f"an audit entry has the format {found}, not {FORMAT}: it was written by another release of Rung; "
        "use that release"
    )


def check_chain(entries: Iterable[AuditEntry]) -> str | None:
    """Return what is wrong with the first entry that does not fit, None if all, from the first on, do."""
    last: AuditEntry | None = None
    for number, entry in enumerate(entries, 1):
        if entry.number != number:
            return f"entry {number} is missing: entry {entry.number} stands in its place"
        if entry.hash != _hash_of(entry):
            return f"entry {number} was changed: its hash is not that of its content"
        if entry.previous != ("" if last is None else last.hash):
            return f"entry {number} does not follow the entry before: it names another hash"
        last = entry
    return None


def due_audit(
    store: Store,
    clock: Callable[[], int],
    who: str,
    action: str,
    subject: str,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
    reason: str,
) -> tuple[int, bytes]:
    """Return the next entry of a store's audit list as `put_catalog` and `Change.audit` take it.

    Raises:
        StoreError: the last entry cannot be read, or this one is too large.
    """
    count, record = store.audit_end()
    last = None if record is None else decode_entry(record)
    return count, encode_entry(next_entry(last, clock(), who, action, subject, before, after, reason))


def append_audit(
    store: Store,
    clock: Callable[[], int],
    who: str,
    action: str,
    subject: str,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
    reason: str,
) -> None:
    """Append an entry to a store's audit list, behind whatever others append meanwhile.

    Raises:
        StoreError: the last entry cannot be read, or this one is too large.
        Overtaken: others came first again and again.
    """
    until_stored(
        lambda: store.record_audit(*due_audit(store, clock, who, action, subject, before, after, reason)),
        _APPEND_ATTEMPTS_MAX,
        pause_seconds=0.0,
    )
