"""Decoding a batch: what is read, and with which reason the rest is rejected."""

from __future__ import annotations

import json

import pytest

from rung.campaign.model import AttributeType
from rung.transaction.events import EVENT_BYTES_MAX, ID_BYTES_MAX, Batch, decode
from rung.transaction.history import AMOUNT_MAX, STATUSES
from rung.transaction.reasons import Reason

DECLARED = {
    "service": AttributeType.STRING,
    "items": AttributeType.INTEGER,
    "gift": AttributeType.BOOLEAN,
}
USER_DECLARED = {"premium": AttributeType.BOOLEAN}
T1, T2, T3 = "2021-08-01T10:00:00Z", "2021-08-01T10:00:01Z", "2021-08-02T10:00:00+09:00"


def event(**changes: object) -> bytes:
    """Return a valid transaction event with some fields changed; None leaves a field out."""
    fields: dict[str, object] = {
        "transaction_id": "t",
        "user_id": "u",
        "attributes": {"service": "mall", "items": 2, "gift": False},
        "history": [step("CREATED", T1, 500), step("COMPLETED", T2, 500)],
    }
    fields.update(changes)
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def step(status: object, at: object, amount: object) -> dict[str, object]:
    """Return one step."""
    return {"status": status, "at": at, "amount": amount}


def read(*payloads: bytes) -> Batch:
    """Decode with the declared attributes of this module."""
    return decode(payloads, DECLARED, USER_DECLARED)


def history(*steps: tuple[str, str, object]) -> bytes:
    """Return a transaction event with a history."""
    return event(history=[step(*each) for each in steps])


LONGEST = "x" * (EVENT_BYTES_MAX - len(event(note="")))

REJECTED: list[tuple[str, bytes, Reason, str]] = [
    ("no bytes", b"", Reason.NOT_JSON, "Input data was truncated"),
    ("not JSON", b"{user_id: 1}", Reason.NOT_JSON, "JSON is malformed: object keys must be strings (byte 1)"),
    ("two objects", b"{} {}", Reason.NOT_JSON, "JSON is malformed: trailing characters (byte 4)"),
    ("not UTF-8", b'{"user_id":"\xff"}', Reason.NOT_JSON, "'utf-8' codec can't decode byte 0xff in position 12: invalid start byte"),
    ("not UTF-8 in an attribute", b'{"user_id":"u","transaction_id":"t","attributes":{"x":"\xff"},"history":[]}', Reason.NOT_JSON, "'utf-8' codec can't decode byte 0xff in position 55: invalid start byte"),
    ("not UTF-8 in a field that is ignored", event(note="?").replace(b"?", b"\xff"), Reason.NOT_JSON, "'utf-8' codec can't decode byte 0xff in position 262: invalid start byte"),
    ("nested deeply", b'{"user_id":"u","x":' + b"[" * 9999 + b"]" * 9999 + b"}", Reason.NOT_JSON, "nested too deeply"),
    ("NaN", event().replace(b"500", b"NaN"), Reason.NOT_JSON, "JSON is malformed: invalid character (byte 176)"),
    ("an array", b"[]", Reason.NOT_AN_OBJECT, "Expected `object`, got `array`"),
    ("a number", b"7", Reason.NOT_AN_OBJECT, "Expected `object`, got `int`"),
    ("too large", event(note=LONGEST + "x"), Reason.EVENT_TOO_LARGE, "65537 bytes; the limit is 65536"),
    ("no user id", event(user_id=None), Reason.MISSING_FIELD, "Object missing required field `user_id`"),
    ("no transaction id", event(transaction_id=None), Reason.MISSING_FIELD, "Object missing required field `transaction_id`"),
    ("no history", event(history=None), Reason.MISSING_FIELD, "Object missing required field `history`"),
    ("neither kind", b'{"user_id":"u"}', Reason.MISSING_FIELD, "neither `transaction_id` nor `user_attributes`"),
    ("a step without amount", event(history=[{"status": "CREATED", "at": T1}]), Reason.MISSING_FIELD, "history[0]: Object missing required field `amount`"),
    ("user id is a number", event(user_id=5), Reason.WRONG_TYPE, "user_id: Expected `str`, got `int`"),
    ("history is an object", event(history={}), Reason.WRONG_TYPE, "history: Expected `array`, got `object`"),
    ("a step is a number", event(history=[5]), Reason.WRONG_TYPE, "history[0]: Expected `object`, got `int`"),
    ("empty user id", event(user_id=""), Reason.BAD_ID, "user_id is empty"),
    ("empty transaction id", event(transaction_id=""), Reason.BAD_ID, "transaction_id is empty"),
    ("long id", event(transaction_id="x" * (ID_BYTES_MAX + 1)), Reason.ID_TOO_LONG, "transaction_id has 129 bytes; the limit is 128"),
    ("long id in bytes", event(user_id="円" * 43), Reason.ID_TOO_LONG, "user_id has 129 bytes; the limit is 128"),
    ("no step", event(history=[]), Reason.EMPTY_HISTORY, "history: expected at least one step"),
    ("unknown status", history(("PAID", T1, 1)), Reason.UNKNOWN_STATUS, "history[0].status: Invalid enum value 'PAID'"),
    ("negative amount", history(("CREATED", T1, -1)), Reason.BAD_AMOUNT, "history[0].amount: Expected `int` >= 0"),
    ("amount above the limit", history(("CREATED", T1, 10**18)), Reason.BAD_AMOUNT, "history[0].amount: Expected `int` <= 1000000000000"),
    ("amount with a fraction", history(("CREATED", T1, 1.5)), Reason.BAD_AMOUNT, "history[0].amount: Expected `int`, got `float`"),
    ("amount as text", history(("CREATED", T1, "1")), Reason.BAD_AMOUNT, "history[0].amount: Expected `int`, got `str`"),
    ("time without offset", history(("CREATED", "2021-08-01T10:00:00", 1)), Reason.BAD_TIME, "history[0].at: expected RFC 3339 with an offset, from 1970-01-02 to 2099, got '2021-08-01T10:00:00'"),
    ("time in the second step", history(("CREATED", T1, 1), ("COMPLETED", "soon", 1)), Reason.BAD_TIME, "history[1].at: expected RFC 3339 with an offset, from 1970-01-02 to 2099, got 'soon'"),
    ("a day that is not", history(("CREATED", "2021-02-30T00:00:00Z", 1)), Reason.BAD_TIME, "history[0].at: expected RFC 3339 with an offset, from 1970-01-02 to 2099, got '2021-02-30T00:00:00Z'"),
    ("before the first time", history(("CREATED", "1970-01-01T23:59:59Z", 1)), Reason.BAD_TIME, "history[0].at: expected RFC 3339 with an offset, from 1970-01-02 to 2099, got '1970-01-01T23:59:59Z'"),
    ("completed twice", history(("COMPLETED", T1, 1), ("COMPLETED", T2, 1)), Reason.COMPLETED_TWICE, "history of 2 steps: A history completes more than once."),
    ("completed after the end", history(("CANCELED", T1, 1), ("COMPLETED", T2, 1)), Reason.COMPLETED_AFTER_END, "history of 2 steps: A history completes after it was canceled, failed or expired."),
    ("refund first", history(("REFUNDED", T1, 1), ("COMPLETED", T2, 1)), Reason.REFUND_BEFORE_COMPLETION, "history of 2 steps: A refund comes before the completion."),
    ("refund alone", history(("REFUNDED", T1, 1)), Reason.REFUND_BEFORE_COMPLETION, "history of 1 steps: A refund comes before the completion."),
    ("refunds above the amount", history(("COMPLETED", T1, 5), ("REFUNDED", T2, 3), ("REFUNDED", T3, 3)), Reason.REFUND_ABOVE_AMOUNT, "history of 3 steps: The refunds exceed the completed amount."),
    ("attribute of another type", event(attributes={"service": 5}), Reason.ATTRIBUTE_TYPE, "attributes.service: expected a string as declared, got an integer"),
    ("a boolean is no integer", event(attributes={"items": True}), Reason.ATTRIBUTE_TYPE, "attributes.items: expected an integer as declared, got a boolean"),
    ("a decimal is no integer", event(attributes={"items": 1.0}), Reason.ATTRIBUTE_TYPE, "attributes.items: expected an integer as declared, got a decimal number"),
    ("an integer beyond 2^53", event(attributes={"items": 2**53 + 1}), Reason.ATTRIBUTE_TYPE, "attributes.items: expected an integer within ±2^53, got 9007199254740993"),
    ("attributes are an array", event(attributes=["mall"]), Reason.ATTRIBUTE_TYPE, "attributes: expected an object"),
    ("user attributes without sequence", b'{"user_id":"u","user_attributes":{}}', Reason.MISSING_FIELD, "Object missing required field `sequence`"),
    ("a negative sequence", b'{"user_id":"u","sequence":-1,"user_attributes":{}}', Reason.WRONG_TYPE, "sequence: Expected `int` >= 0"),
    ("user attribute of another type", b'{"user_id":"u","sequence":1,"user_attributes":{"premium":"yes"}}', Reason.ATTRIBUTE_TYPE, "user_attributes.premium: expected a boolean as declared, got a string"),
    ("user attributes for nobody", b'{"user_id":"","sequence":1,"user_attributes":{}}', Reason.BAD_ID, "user_id is empty"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "reason", "detail"), [row[1:] for row in REJECTED], ids=[row[0] for row in REJECTED]
)
def test_bad_event(payload: bytes, reason: Reason, detail: str) -> None:
    """A bad event is rejected with its code and place, and its neighbours are read."""
    batch = read(event(transaction_id="before"), payload, event(transaction_id="after"))
    assert [(each.row, each.reason, each.detail) for each in batch.rejections] == [(1, reason, detail)]
    assert batch.transactions.transaction_ids.to_pylist() == [b"before", b"after"]
    assert batch.transactions.rows.tolist() == [0, 2]
    assert batch.transactions.histories.lengths.tolist() == [2, 2]


def test_every_reason_of_decoding_has_a_row() -> None:
    """The table covers every reason that a single event can have."""
    between_events = {
        Reason.HISTORY_CONFLICT,
        Reason.USER_CHANGED,
        Reason.ATTRIBUTES_CHANGED,
        Reason.SEQUENCE_CONFLICT,
        Reason.PRUNED,
    }
    # What stands beside an event's bytes in the log, not in them: `tests/speed` has a row for each.
    of_the_log = {Reason.UNKNOWN_SCHEMA, Reason.WRONG_PARTITION}
    assert {row[2] for row in REJECTED} == set(Reason) - between_events - of_the_log


ACCEPTED: list[tuple[str, bytes]] = [
    ("unknown fields", event(note="x", more=[dict[str, int]()])),
    ("no attributes", event(attributes=None)),
    ("null attributes", event().replace(b'{"service": "mall", "items": 2, "gift": false}', b"null")),
    ("an absent and a null attribute", event(attributes={"service": None})),
    ("an undeclared attribute of any type", event(attributes={"other": [1, {"a": 2.5}]})),
    ("the limits", history(("CREATED", T1, 0), ("COMPLETED", T2, AMOUNT_MAX), ("REFUNDED", T2, AMOUNT_MAX))),
    ("long ids", event(transaction_id="x" * ID_BYTES_MAX, user_id="円" * 42)),
    ("canceled before completion", history(("CREATED", T1, 5), ("CANCELED", T2, 5))),
    ("refunded and canceled", history(("COMPLETED", T1, 5), ("REFUNDED", T2, 5), ("CANCELED", T3, 5))),
    ("times that go back", history(("CREATED", T3, 5), ("COMPLETED", T1, 5))),
    ("white space", b"\n " + event().replace(b",", b" ,\r\n\t") + b" \n"),
    ("the largest event", event(note=LONGEST)),
]  # fmt: skip


@pytest.mark.parametrize("payload", [row[1] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_good_event(payload: bytes) -> None:
    """A valid event is read, however unusual."""
    batch = read(payload)
    assert list(batch.rejections) == []
    assert len(batch.transactions.transaction_ids) == 1


def test_columns() -> None:
    """The columns hold what the events say."""
    batch = read(event(), history(("COMPLETED", T3, 7)))
    histories = batch.transactions.histories
    assert histories.lengths.tolist() == [2, 1]
    assert [STATUSES[code] for code in histories.statuses] == ["CREATED", "COMPLETED", "COMPLETED"]
    assert histories.ats.tolist() == [1_627_812_000_000_000, 1_627_812_001_000_000, 1_627_866_000_000_000]
    assert histories.amounts.tolist() == [500, 500, 7]
    chosen = batch.transactions.attribute_sets[int(batch.transactions.sets[0])]
    assert chosen.values == {"service": "mall", "items": 2, "gift": False}


def test_equal_attributes_have_equal_digests() -> None:
    """The order of names, white space, escapes and nulls make no other attributes."""
    same = [
        event(attributes={"service": "mall", "other": "é"}),
        event(attributes={"other": "é", "service": "mall", "gift": None}),
        event(attributes={"service": "mall", "other": "é"}).replace(b": ", b"  :  "),
    ]
    others = [event(attributes={"service": "mall"}), event(attributes={"service": "mall", "other": "e"})]
    digests = read(*same, *others).transactions.attributes.tolist()
    assert digests[0] == digests[1] == digests[2]
    assert len(set(digests)) == 3


def test_user_attributes() -> None:
    """User attributes are read beside transactions, undeclared ones included, nulls left out."""
    payload = b'{"user_id":"u","sequence":7,"user_attributes":{"premium":true,"tier":"x","gone":null}}'
    batch = read(event(), payload)
    (found,) = batch.user_attributes
    assert (found.row, found.user_id, found.sequence, found.values) == (
        1,
        "u",
        7,
        {"premium": True, "tier": "x"},
    )


def test_an_empty_batch() -> None:
    """Nothing decodes to nothing."""
    batch = read()
    assert len(batch.transactions.histories) == 0
    assert list(batch.rejections) == []
