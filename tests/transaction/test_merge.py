"""Merge: whatever order, duplicates and gaps, the same history remains, and conflicts are told."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rung.store.records import decode_transactions, encode_transactions
from rung.transaction.events import decode
from rung.transaction.history import StoredTransactions
from rung.transaction.merge import distinct, merge
from rung.transaction.reasons import Reason

Steps = tuple[str, ...]
STATUS = {"C": "CREATED", "A": "AUTHORIZED", "D": "COMPLETED", "R": "REFUNDED", "X": "CANCELED"}


def event(transaction_id: str, steps: str, user_id: str = "u", service: str = "mall") -> bytes:
    """Return an event whose steps are single letters; each step's amount tells its place."""
    history = [
        {
            "status": STATUS[letter],
            "at": f"2021-08-01T00:00:{place:02}Z",
            "amount": place if letter == "R" else 60 - place,
        }
        for place, letter in enumerate(steps)
    ]
    return json.dumps(
        {
            "transaction_id": transaction_id,
            "user_id": user_id,
            "attributes": {"service": service},
            "history": history,
        }
    ).encode()


class Known:
    """Transactions as they are stored: merges batches and keeps the records."""

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}
        self.rejected: list[tuple[int, str]] = []
        self.duplicates = 0
        self.grown = 0

    def apply(self, payloads: Sequence[bytes]) -> None:
        """Merge a batch into the records."""
        events = decode(payloads, {}, {}).transactions
        ids, groups = distinct(events.transaction_ids)
        stored = decode_transactions([self.records.get(each) for each in ids])
        merged = merge(events, groups, stored)
        assert (merged.before == stored.histories.lengths[merged.groups]).all()
        histories = events.histories.take(merged.events)
        assert (histories.lengths > merged.before).all()
        winners = StoredTransactions(events.users[merged.events], events.attributes[merged.events], histories)
        for place, record in zip(merged.groups.tolist(), encode_transactions(winners), strict=True):
            self.records[ids[place]] = record
        self.rejected += [(each.row, each.reason.value) for each in merged.rejections]
        self.duplicates += merged.duplicates
        self.grown += len(merged.events)

    def lengths(self) -> dict[str, int]:
        """Return how many steps each transaction has."""
        lengths = decode_transactions(list(self.records.values())).histories.lengths
        return dict(zip([each.decode() for each in self.records], lengths.tolist(), strict=True))


def applied(*batches: Sequence[bytes]) -> Known:
    """Return what is known after some batches."""
    known = Known()
    for batch in batches:
        known.apply(batch)
    return known


def test_the_longest_history_remains() -> None:
    """Within a batch and over batches, the longest history of a chain is kept."""
    assert applied([event("t", "C"), event("t", "CD"), event("t", "CDR")]).lengths() == {"t": 3}
    assert applied([event("t", "CDR")], [event("t", "C"), event("t", "CD")]).lengths() == {"t": 3}
    assert applied([event("t", "C"), event("s", "CD")], [event("t", "CDR")]).lengths() == {"t": 3, "s": 2}


def test_duplicates_are_counted() -> None:
    """An event that is no longer than what came before it is a duplicate, in its batch or later."""
    assert applied([event("t", "C"), event("t", "CD")]).duplicates == 0
    assert applied([event("t", "CD"), event("t", "C"), event("t", "CD")]).duplicates == 2
    assert (
        applied([event("t", "CD")], [event("t", "CD"), event("t", "CDR"), event("t", "CD")]).duplicates == 2
    )


def test_conflicts() -> None:
    """The event that comes later is rejected, with what differs; the earlier one stays and may grow."""
    assert applied([event("t", "CD"), event("t", "CAD"), event("t", "CDR")]).rejected == [
        (1, Reason.HISTORY_CONFLICT)
    ]
    assert applied([event("t", "CD"), event("t", "CADR")]).rejected == [(1, Reason.HISTORY_CONFLICT)]
    assert applied([event("t", "CD")], [event("t", "CAD")]).rejected == [(0, Reason.HISTORY_CONFLICT)]
    assert applied([event("t", "CAD")], [event("t", "CX")]).rejected == [(0, Reason.HISTORY_CONFLICT)]
    assert applied([event("t", "C"), event("t", "CD", user_id="v")]).rejected == [(1, Reason.USER_CHANGED)]
    assert applied([event("t", "CD")], [event("t", "CD", user_id="v")]).rejected == [(0, Reason.USER_CHANGED)]
    assert applied([event("t", "CD")], [event("t", "CDR", service="flea")]).rejected == [
        (0, Reason.ATTRIBUTES_CHANGED)
    ]
    known = applied(
        [event("t", "CAD"), event("t", "CD"), event("t", "CA"), event("t", "CADR"), event("s", "CD")]
    )
    assert known.rejected == [(1, Reason.HISTORY_CONFLICT)]
    assert known.lengths() == {"t": 4, "s": 2}
    assert known.duplicates == 1


def test_another_amount_or_time_is_a_conflict() -> None:
    """Steps are equal only in status, time and amount together."""
    one = event("t", "CD")
    for other in (
        one.replace(b'"amount": 59', b'"amount": 58'),
        one.replace(b"00:00:01Z", b"00:00:01.000001Z"),
    ):
        assert applied([one], [other]).rejected == [(0, Reason.HISTORY_CONFLICT)]
        assert applied([one, other]).rejected == [(1, Reason.HISTORY_CONFLICT)]


CHAINS = ("CADRR", "CDRRRX", "CAX", "D")


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(1, 6)), min_size=1, max_size=40),
    st.lists(st.integers(1, 9), max_size=8),
)
def test_any_order_with_duplicates_and_gaps(picks: list[tuple[int, int]], cuts: list[int]) -> None:
    """Prefixes in any order, any batches, with any duplicates and gaps end at the longest prefix."""
    events = [(f"t{chain}", CHAINS[chain % len(CHAINS)][:length]) for chain, length in picks]
    known, rest = Known(), [event(name, steps) for name, steps in events]
    for cut in [*cuts, len(rest)]:
        known.apply(rest[:cut])
        rest = rest[cut:]
    assert known.rejected == []
    assert known.lengths() == {
        name: max(len(steps) for other, steps in events if other == name) for name, _ in events
    }
    assert known.duplicates + len(events_that_grow(events)) == len(events)


def events_that_grow(events: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the events that are longer than all before them of their transaction."""
    longest: dict[str, int] = {}
    grow: list[tuple[str, str]] = []
    for name, steps in events:
        if len(steps) > longest.get(name, 0):
            longest[name] = len(steps)
            grow.append((name, steps))
    return grow


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["t", "s"]),
            st.sampled_from(["C", "CA", "CD", "CDR", "CAD", "CX"]),
            st.sampled_from("uv"),
        ),
        max_size=14,
    ),
    st.lists(st.integers(1, 5), max_size=6),
)
def test_conflicts_do_not_depend_on_batches(picks: list[tuple[str, str, str]], cuts: list[int]) -> None:
    """Batches of any size reject what one event after the other rejects, and keep the same."""
    payloads = [event(name, steps, user) for name, steps, user in picks]
    alone = applied(*[[payload] for payload in payloads])
    known, rest = Known(), payloads
    rows: list[tuple[int, str]] = []
    for cut in [*cuts, len(payloads)]:
        seen = len(payloads) - len(rest)
        known.rejected = []
        known.apply(rest[:cut])
        rows += [(row + seen, reason) for row, reason in sorted(known.rejected)]
        rest = rest[cut:]
    by_one = Known()
    expected: list[tuple[int, str]] = []
    for row, payload in enumerate(payloads):
        by_one.rejected = []
        by_one.apply([payload])
        expected += [(row, reason) for _, reason in by_one.rejected]
    assert rows == expected
    assert known.records == alone.records
    assert known.duplicates == alone.duplicates


def test_records_have_room_for_two_steps() -> None:
    """A transaction's second step replaces its record in place: the record's size stays the same."""
    sizes = [len(applied([event("t", steps)]).records[b"t"]) for steps in ("C", "CD", "CDR", "CDRR")]
    assert sizes == [43, 43, 55, 67]


@given(st.lists(st.sampled_from(["C", "CA", "CD", "CDR", "CADRR"]), max_size=20))
def test_records_round_trip(histories: list[str]) -> None:
    """What is encoded is decoded, with unknown transactions in between."""
    events = decode([event(f"t{place}", steps) for place, steps in enumerate(histories)], {}, {}).transactions
    records = encode_transactions(StoredTransactions(events.users, events.attributes, events.histories))
    gaps: list[bytes | None] = [None]
    for record in records:
        gaps += [record, None]
    found = decode_transactions(gaps)
    assert found.histories.lengths.tolist()[1::2] == events.histories.lengths.tolist()
    assert not found.histories.lengths[::2].any()
    assert (found.histories.ats == events.histories.ats).all()
    assert (found.histories.amounts == events.histories.amounts).all()
    assert (found.histories.statuses == events.histories.statuses).all()
    assert (found.users[1::2] == events.users).all()
    assert np.array_equal(found.attributes[1::2], events.attributes)
