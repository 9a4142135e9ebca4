"""Events as rows of the lake: what each kind has, and that nothing that counts is lost on the way there and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.rows import AT, DAY, PARTITIONS, purchase, rows, slice_of, user_in
from rung.batch.resolve import transaction_events
from rung.campaign.declared import NOTHING_DECLARED, Declared
from rung.campaign.model import AttributeType
from rung.lake.events import slices_of
from rung.lake.rows import REJECTED, SCHEMA, TRANSACTION, USER_ATTRIBUTES, rows_of
from rung.log.port import Slice
from rung.transaction.events import TransactionEvents, decode
from rung.transaction.routing import partition_of_event
from strategies import (
    ATTRIBUTES,
    POISON,
    deliveries,
    transaction_lists,
    user_attribute_event,
    user_attribute_events,
)
from strategies import (
    USER_ATTRIBUTES as USER_NAMES,
)

DECLARED = Declared(
    {name: AttributeType(kind) for name, kind in ATTRIBUTES.items()},
    {name: AttributeType(kind) for name, kind in USER_NAMES.items()},
)
FULL = json.dumps(
    {
        "transaction_id": "取引-1",
        "user_id": user_in(2),
        "attributes": {"b": 1, "a": None, "country": "日本", "Ä": [1, {"x": None}]},
        "history": [
            {"status": "CREATED", "at": "2021-08-03T10:00:00.000001+09:00", "amount": 0},
            {"status": "COMPLETED", "at": "2021-08-03T10:00:00Z", "amount": 700},
            {"status": "REFUNDED", "at": "2021-08-02T10:00:00Z", "amount": 10**11},
        ],
    }
).encode()


def one(*payloads: bytes, partition: int = 2) -> dict[str, Any]:
    """Return the only row of events."""
    (row,) = rows(Slice(partition, 7, payloads, AT + 5)).to_pylist()
    return row


def test_a_transaction() -> None:
    """Its row has ids, steps and attributes, these as JSON with sorted names and no nulls, and no bytes."""
    payload = FULL.replace(b"100000000000", b"300")
    row = one(payload)
    assert (row["partition"], row["offset"], row["kind"]) == (2, 7, TRANSACTION)
    assert row["appended_at"].timestamp() * 1e6 == AT + 5
    assert str(row["day"]) == "2021-08-03"
    assert (row["transaction_id"], row["user_id"]) == ("取引-1", user_in(2))
    assert row["status"] == [0, 2, 3]
    assert row["at"] == [1_627_952_400_000_001, 1_627_984_800_000_000, 1_627_898_400_000_000]
    assert row["amount"] == [0, 700, 300]
    assert row["attributes"] == '{"b":1,"country":"日本","Ä":[1,{"x":null}]}'
    assert [row[name] for name in ("sequence", "reason", "detail", "payload")] == [None] * 4


def test_without_attributes() -> None:
    """Attributes that are not there, null and empty are the same text."""
    payloads = [purchase(1, 2), purchase(1, 2, attributes=None), purchase(1, 2, attributes={})]
    texts = {one(payload)["attributes"] for payload in payloads}
    assert texts == {"{}"}


def test_user_attributes() -> None:
    """Its row has the user, the sequence and the attributes, and none of a transaction's columns."""
    row = one(user_attribute_event(user_in(2), 9, {"z": 1, "premium": True, "gone": None}))
    assert (row["kind"], row["user_id"], row["sequence"]) == (USER_ATTRIBUTES, user_in(2), 9)
    assert row["attributes"] == '{"premium":true,"z":1}'
    others = ("transaction_id", "status", "at", "amount", "reason", "detail", "payload")
    assert [row[name] for name in others] == [None] * len(others)


@pytest.mark.parametrize("what", POISON)
def test_a_rejected_event(what: str) -> None:
    """Its row has the reason, the place and the bytes, and nothing that was read from it."""
    payload, reason = POISON[what]
    part = Slice(partition_of_event(payload, PARTITIONS), 0, [payload], AT)
    (row,) = rows_of([part], PARTITIONS, DECLARED).to_pylist()
    # Its user, if there is one, may belong elsewhere: what decides is that it is no event at all.
    assert (row["kind"], row["reason"], row["payload"]) == (REJECTED, reason, payload)
    assert row["detail"] is not None
    others = ("transaction_id", "user_id", "status", "at", "amount", "attributes", "sequence")
    assert [row[name] for name in others] == [None] * len(others)


@pytest.mark.parametrize(
    "payload",
    [payload for payload, reason in POISON.values() if reason == "attribute_type" and b": []" not in payload],
)
def test_a_type_that_is_not_declared(payload: bytes) -> None:
    """What campaigns declare makes no difference to a row: it has what the event says."""
    row = one(payload, partition=partition_of_event(payload, PARTITIONS))
    assert row["kind"] in {TRANSACTION, USER_ATTRIBUTES}
    told = json.loads(payload)
    said = {
        name: value
        for name, value in (told.get("attributes") or told.get("user_attributes")).items()
        if value is not None
    }
    assert row["attributes"] == json.dumps(said, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize("payload", [purchase(1, 0), user_attribute_event(user_in(0), 1, {})])
def test_a_wrong_partition(payload: bytes) -> None:
    """An event that stands in another partition than its user's is rejected with its bytes."""
    row = one(payload, partition=3)
    assert (row["kind"], row["reason"], row["payload"]) == (REJECTED, "wrong_partition", payload)
    assert row["detail"].startswith("it stands in partition 3, and its user belongs to partition 0")


def test_an_unreadable_schema() -> None:
    """An event that says of itself to be of another form is rejected with what it says, and with its bytes."""
    part = Slice(0, 0, [purchase(0), purchase(1), purchase(2)], AT, {1: "schema 9: this release reads 1"})
    found = rows(slice_of(1, 4, 2), part).to_pylist()
    assert [row["kind"] for row in found] == [TRANSACTION] * 3 + [REJECTED, TRANSACTION]
    assert (found[3]["reason"], found[3]["detail"]) == ("unknown_schema", "schema 9: this release reads 1")
    assert found[3]["payload"] == purchase(1)


def test_the_order_of_the_log() -> None:
    """Rows come in the order of the slices, whatever kinds of events they are; a day is that of the append."""
    mixed = [b"x", purchase(0, 2), user_attribute_event(user_in(2), 1, {}), b"y", purchase(1, 2)]
    table = rows(
        Slice(2, 10, mixed, AT), Slice(1, 0, [purchase(0, 1)], AT + DAY - 1), slice_of(2, 15, 1, AT + DAY)
    )
    assert table.schema.equals(SCHEMA)
    assert table.column("offset").to_pylist() == [10, 11, 12, 13, 14, 0, 15]
    assert table.column("partition").to_pylist() == [2, 2, 2, 2, 2, 1, 2]
    assert [str(day)[-2:] for day in table.column("day").to_pylist()] == ["03"] * 6 + ["04"]
    kinds = [REJECTED, TRANSACTION, USER_ATTRIBUTES, REJECTED, TRANSACTION, TRANSACTION, TRANSACTION]
    assert table.column("kind").to_pylist() == kinds


def test_nothing() -> None:
    """No events are no rows, with the same columns."""
    assert rows().schema.equals(SCHEMA)
    assert rows().num_rows == 0


def same_events(one: TransactionEvents, other: TransactionEvents) -> None:
    """Demand that events are the same, but for the values of their attributes."""
    assert one.transaction_ids.to_pylist() == other.transaction_ids.to_pylist()
    assert one.user_ids.to_pylist() == other.user_ids.to_pylist()
    for name in ("rows", "users", "attributes"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("lengths", "statuses", "ats", "amounts"):
        np.testing.assert_array_equal(getattr(one.histories, name), getattr(other.histories, name))


@st.composite
def payloads(draw: st.DrawFn) -> list[bytes]:
    """Return events of all kinds, good and bad, as a network may deliver them."""
    events = draw(deliveries(draw(transaction_lists())))
    others = draw(
        st.lists(user_attribute_events() | st.sampled_from([one for one, _ in POISON.values()]), max_size=4)
    )
    return draw(st.permutations([*events, *others]))


def placed(found: Sequence[bytes]) -> list[Slice]:
    """Return events as slices, each in its partition."""
    groups: dict[int, list[bytes]] = {}
    for payload in found:
        groups.setdefault(partition_of_event(payload, PARTITIONS), []).append(payload)
    return [Slice(partition, 3, group, AT) for partition, group in sorted(groups.items())]


@given(payloads())
def test_the_same_histories_come_back(found: list[bytes]) -> None:
    """Histories, users and digests of rows are those of the events' own bytes."""
    for part in placed(found):
        read = decode(part.payloads, *DECLARED).transactions
        table = rows_of([part], PARTITIONS, DECLARED)
        table = table.filter(pa.array([kind == TRANSACTION for kind in table.column("kind").to_pylist()]))
        back = transaction_events(table)
        same_events(back, read.take(np.arange(len(read.rows))) if not len(read.rows) else renumbered(read))


def renumbered(events: TransactionEvents) -> TransactionEvents:
    """Return events with rows from 0 on."""
    return TransactionEvents(
        np.arange(len(events.rows), dtype=np.int64),
        events.transaction_ids,
        events.user_ids,
        events.users,
        events.attributes,
        events.sets,
        events.attribute_sets,
        events.histories,
    )


@given(payloads(), st.integers(1, 9))
def test_events_written_anew(found: list[bytes], events_max: int) -> None:
    """Rows as events again give the same rows, also when attributes are declared that were not before."""
    for part in placed(found):
        table = rows_of([part], PARTITIONS)
        again = list(slices_of(table, events_max))
        assert max((len(one.payloads) for one in again), default=0) <= events_max
        for declared in (NOTHING_DECLARED, DECLARED):
            due = rows_of([part], PARTITIONS, declared)
            assert without_places(rows_of(again, PARTITIONS, declared)) == without_places(due)


def without_places(table: pa.Table) -> list[dict[str, Any]]:
    """Return rows, those that are rejected without their bytes, which may have been written anew."""
    kept = ("day", "partition", "offset", "appended_at", "kind", "transaction_id", "user_id", "status", "at")
    return table.select([*kept, "amount", "attributes", "sequence", "reason"]).to_pylist()


def test_slices_of_gaps() -> None:
    """A slice ends where offsets have a gap, and tells what is unreadable and when each event was appended."""
    part = Slice(1, 9, [purchase(9, 1), purchase(10, 1)], AT + 1, {1: "schema 2: this release reads 1"})
    table = rows(slice_of(1, 0, 3), slice_of(1, 5, 4), part)
    found = list(slices_of(table, 100))
    told = [(one.first_offset, one.appended_at, one.times(), dict(one.unreadable)) for one in found]
    unreadable = {5: "schema 2: this release reads 1"}
    assert told == [(0, AT, [AT] * 3, {}), (5, AT, [AT] * 4 + [AT + 1] * 2, unreadable)]
    assert list(slices_of(rows(), 100)) == []


def test_no_event_grows() -> None:
    """An event that is written anew is no longer than it was in its shortest form: none becomes too large."""
    event = {
        "transaction_id": "t",
        "user_id": user_in(0),
        "history": [{"status": "COMPLETED", "at": "2021-08-03T10:00:00.5Z", "amount": 1}],
        "attributes": {"a": "é\n"},
    }
    payload = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    (part,) = slices_of(rows(Slice(0, 0, [payload], AT)), 1)
    assert part.payloads == [payload]
