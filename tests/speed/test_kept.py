"""Which events of unknown transactions may be of one that was pruned."""

from __future__ import annotations

import json

import pytest

from rung.speed.kept import not_kept
from rung.store.records import decode_transactions, encode_transactions
from rung.transaction.events import TransactionEvents, decode
from rung.transaction.history import StoredTransactions
from rung.transaction.merge import distinct

KEPT_FROM = 1_627_776_000_000_000
OLD, NEW = "2021-07-31T23:59:59.999999Z", "2021-08-01T00:00:00Z"


def events_of(*rows: tuple[str, list[str]]) -> TransactionEvents:
    payloads = [
        json.dumps(
            {
                "transaction_id": name,
                "user_id": "u",
                "history": [{"status": "CREATED", "at": at, "amount": 5} for at in ats],
            }
        ).encode()
        for name, ats in rows
    ]
    return decode(payloads, {}, {}).transactions


def record(events: TransactionEvents) -> bytes:
    return encode_transactions(StoredTransactions(events.users, events.attributes, events.histories))[0]


@pytest.mark.parametrize(
    ("ats", "known", "kept_from", "rejected"),
    [
        ([OLD], False, KEPT_FROM, True),
        ([OLD, NEW], False, KEPT_FROM, True),
        ([NEW], False, KEPT_FROM, False),
        ([NEW, OLD], False, KEPT_FROM, False),
        ([OLD], True, KEPT_FROM, False),
        ([OLD], False, 0, False),
    ],
)
def test_one_event(ats: list[str], known: bool, kept_from: int, rejected: bool) -> None:
    """An event waits if its transaction is unknown and began before what is kept."""
    events = events_of(("t", ats))
    stored = decode_transactions([record(events_of(("t", [OLD]))) if known else None])
    found = not_kept(events, distinct(events.transaction_ids)[1], stored, kept_from)
    assert [(one.row, one.reason.value) for one in found] == ([(0, "pruned")] if rejected else [])
    if rejected:
        assert found[0].detail == (
            "transaction 't': The transaction may be older than what is kept; it is settled from the lake."
        )


def test_among_others() -> None:
    """Only the events of such transactions wait; the others of the batch are merged as ever."""
    events = events_of(("b", [OLD]), ("a", [NEW]), ("b", [OLD, NEW]), ("c", [OLD]))
    ids, groups = distinct(events.transaction_ids)
    assert ids == [b"a", b"b", b"c"]
    stored = decode_transactions([None, None, record(events_of(("c", [OLD])))])
    assert [one.row for one in not_kept(events, groups, stored, KEPT_FROM)] == [0, 2]


def test_nothing() -> None:
    """A batch without transactions has no such event."""
    nothing = events_of()
    assert not_kept(nothing, distinct(nothing.transaction_ids)[1], decode_transactions([]), KEPT_FROM) == []
