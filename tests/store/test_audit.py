"""The audit list: entries and their records, the chain, and appending beside others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from itertools import count

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.store.audit import (
    RECORD_BYTES_MAX,
    AuditEntry,
    append_audit,
    check_chain,
    decode_entry,
    due_audit,
    encode_entry,
    next_entry,
)
from rung.store.memory import MemoryStore
from rung.store.port import Overtaken, StoreError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def ticking() -> Callable[[], int]:
    """Return a clock that moves on by one microsecond at each look."""
    return count(1).__next__


def chain(length: int) -> list[AuditEntry]:
    """Return so many entries that follow one another."""
    entries: list[AuditEntry] = []
    for number in range(1, length + 1):
        last = entries[-1] if entries else None
        entries.append(
            next_entry(last, number, "ann", "activate", "step", {"v": number - 1}, {"v": number}, "due")
        )
    return entries


def test_entries_follow_one_another() -> None:
    """Numbers count from 1, and each entry names the hash of the one before; the first names none."""
    entries = chain(3)
    assert [entry.number for entry in entries] == [1, 2, 3]
    assert [entry.previous for entry in entries] == ["", entries[0].hash, entries[1].hash]
    assert len({entry.hash for entry in entries}) == 3
    assert check_chain(entries) is None
    assert check_chain([]) is None


def test_the_hash_of_an_entry() -> None:
    """The hash is the SHA-256 of the record without a hash, and the record is JSON whose bytes are fixed."""
    entry = next_entry(None, 7, "ann", "note", "step", None, {"b": 1, "a": [1.0, "ü"]}, "why")
    record = (
        '{"format":1,"entry":{"number":1,"at":7,"who":"ann","action":"note","subject":"step","before":null,'
        '"after":{"a":[1.0,"ü"],"b":1},"reason":"why","previous":"","hash":""}}'
    ).encode()
    assert entry.hash == hashlib.sha256(record).hexdigest()
    assert encode_entry(entry) == record.replace(b'"hash":""', f'"hash":"{entry.hash}"'.encode())


@given(st.dictionaries(st.text(), JSON) | st.none(), st.text(), st.integers(0, 1 << 62))
def test_an_entry_is_read_back(values: Mapping[str, object] | None, words: str, at: int) -> None:
    """Whatever JSON an entry holds, it is read back equal, and its hash still fits."""
    entry = next_entry(None, at, words, words, words, values, values, words)
    again = decode_entry(encode_entry(entry))
    assert again == entry
    assert encode_entry(again) == encode_entry(entry)
    assert check_chain([again]) is None


BROKEN: list[tuple[str, Callable[[list[AuditEntry]], object], str]] = [
    ("the first is taken out", lambda e: e.pop(0), "entry 1 is missing: entry 2 stands in its place"),
    ("one is taken out", lambda e: e.pop(2), "entry 3 is missing: entry 4 stands in its place"),
    ("two are exchanged", lambda e: e.insert(1, e.pop(2)), "entry 2 is missing: entry 3 stands in its place"),
    ("one comes twice", lambda e: e.insert(1, e[1]), "entry 3 is missing: entry 2 stands in its place"),
    (
        "one is changed",
        lambda e: e.__setitem__(1, msgspec.structs.replace(e[1], who="bob")),
        "entry 2 was changed: its hash is not that of its content",
    ),
    (
        "one is written anew",
        lambda e: e.__setitem__(1, next_entry(e[0], 2, "bob", "activate", "step", None, None, "due")),
        "entry 3 does not follow the entry before: it names another hash",
    ),
]


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_chain(change: Callable[[list[AuditEntry]], object], message: str) -> None:
    """The first entry that does not fit is named, with what is wrong."""
    entries = chain(5)
    change(entries)
    assert check_chain(entries) == message


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b'{"format":2,"entry":{"number":1}}', "has the format 2, not 1: it was written by another release"),
        (b'{"format":1,"entry":{"number":1}}', "is damaged: Object missing required field `at`"),
        (b"\x00", "is damaged: JSON is malformed"),
    ],
)
def test_a_record_that_is_refused(record: bytes, message: str) -> None:
    """A record of another format, or a damaged one, is refused with the reason."""
    with pytest.raises(StoreError, match=message):
        decode_entry(record)


def test_a_large_entry_is_refused() -> None:
    """An entry that a store has no room for is refused before anything is written."""
    entry = next_entry(None, 1, "ann", "note", "step", None, {"text": "x" * RECORD_BYTES_MAX}, "")
    with pytest.raises(StoreError, match="there is room for 262,144: tell less"):
        encode_entry(entry)


def test_append() -> None:
    """Entries are appended behind those that others append meanwhile, whose chain goes on."""
    store, clock = MemoryStore(), ticking()

    def others() -> int:
        if store.audit_end()[0] < 3:
            store.record_audit(*due_audit(store, ticking(), "bob", "note", "step", None, None, "first"))
        return clock()

    append_audit(store, others, "ann", "note", "step", {"a": 1}, None, "last")
    entries = [decode_entry(record) for record in store.audit(0, 10)]
    assert [entry.who for entry in entries] == ["bob", "bob", "bob", "ann"]
    assert check_chain(entries) is None
    assert (entries[-1].number, entries[-1].before, entries[-1].after) == (4, {"a": 1}, None)


def test_append_gives_up() -> None:
    """Who is overtaken again and again is told so, rather than waiting for ever."""
    store = MemoryStore()

    def always_others() -> int:
        store.record_audit(*due_audit(store, ticking(), "bob", "note", "step", None, None, ""))
        return 1

    with pytest.raises(Overtaken):
        append_audit(store, always_others, "ann", "note", "step", None, None, "")
