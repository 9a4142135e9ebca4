"""Hypothesis strategies for events, and tables of events that belong in quarantine.

Everything shrinks towards one small, plain purchase: few steps, small amounts, one instant, no attributes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

Scalar = str | int | bool | None

ATTRIBUTES = {"country": "string", "lines": "integer", "gift": "boolean"}
USER_ATTRIBUTES = {"premium": "boolean", "points": "integer"}
"""What the campaigns of the tests declare."""

ATTRIBUTE_VALUES: Mapping[str, Sequence[str | int | bool]] = {
    "country": ("United Kingdom", "Germany", "France"),
    "lines": (1, 6, 7),
    "gift": (True, False),
}
USER_ATTRIBUTE_VALUES: Mapping[str, Sequence[str | int | bool]] = {"premium": (True, False), "points": (1, 5)}
"""What generated traffic tells of them."""

USERS = ("alice", "bob", "carol", "ユーザー")
COUNTRIES = ("United Kingdom", "Germany", "France", "")


@dataclass(frozen=True)
class StepData:
    """One step of a history, as an event carries it."""

    status: str
    at: str
    amount: int


@dataclass(frozen=True)
class TransactionData:
    """One transaction with its full history."""

    transaction_id: str
    user_id: str
    attributes: Mapping[str, object]
    history: tuple[StepData, ...]

    def event(self, steps: int | None = None) -> bytes:
        """Return the event of the first steps (all of them: None)."""
        fields = {
            "transaction_id": self.transaction_id,
            "user_id": self.user_id,
            "attributes": self.attributes,
            "history": [vars(step) for step in self.history[:steps]],
        }
        return json.dumps(fields, ensure_ascii=False).encode()


# --- valid histories --------------------------------------------------------------------------------------

# Instants around the edges of months, weeks and days in UTC, Tokyo, London and New York, some on both sides
# of a change of the clock.
_EDGES = [
    datetime(2011, 5, 31, 12, tzinfo=UTC),
    datetime(2011, 5, 31, 14, 59, 59, 999_999, tzinfo=UTC),
    datetime(2011, 5, 31, 15, tzinfo=UTC),
    datetime(2011, 5, 31, 22, 59, 59, 999_999, tzinfo=UTC),
    datetime(2011, 5, 31, 23, tzinfo=UTC),
    datetime(2011, 6, 1, tzinfo=UTC),
    datetime(2011, 6, 1, 4, tzinfo=UTC),
    datetime(2011, 7, 4, tzinfo=UTC),
    datetime(2011, 11, 6, 5, 30, tzinfo=UTC),
    datetime(2011, 11, 6, 6, 30, tzinfo=UTC),
    datetime(2011, 11, 30, 15, tzinfo=UTC),
    datetime(2011, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(2012, 2, 29, 12, tzinfo=UTC),
]


@st.composite
def times(draw: st.DrawFn) -> str:
    """Return an RFC 3339 time: mostly near the edge of a period, with any offset and any precision."""
    at = draw(
        st.sampled_from(_EDGES)
        | st.datetimes(datetime(2011, 4, 1), datetime(2012, 3, 1), timezones=st.just(UTC))  # noqa: DTZ001
    )
    minutes = draw(st.sampled_from([0, 540, -300, 345]))
    text = at.astimezone(timezone(timedelta(minutes=minutes))).isoformat()
    return text.replace("+00:00", "Z") if draw(st.booleans()) else text


def amounts() -> st.SearchStrategy[int]:
    """Return amounts: mostly near the minimum of a campaign, sometimes nothing and sometimes very large."""
    return st.integers(0, 400) | st.sampled_from([0, 99, 100, 299, 300, 10_000, 50_000, 10**12])


@st.composite
def histories(draw: st.DrawFn) -> tuple[StepData, ...]:
    """Return a valid history: open, ended early, or completed and then refunded, ended, or both.

    Refunds are partial and full, in one step or several, also of nothing; `at` goes up and down.
    """
    amount = draw(amounts())
    fate = draw(st.sampled_from(["completed", "completed", "completed", "open", "ended"]))
    steps = [("CREATED", amount)] if draw(st.booleans()) or fate == "open" else []
    if draw(st.booleans()):
        steps.append(("AUTHORIZED", draw(st.sampled_from([amount, 0]))))
    if fate == "completed":
        steps.append(("COMPLETED", amount))
        left = amount
        for manner in draw(st.lists(st.sampled_from(["part", "rest", "nothing"]), max_size=3)):
            part = {"part": draw(st.integers(0, left)), "rest": left, "nothing": 0}[manner]
            left -= part
            steps.append(("REFUNDED", part))
    if fate == "ended" or draw(st.integers(0, 4)) == 4:
        steps.append(
            (draw(st.sampled_from(["CANCELED", "FAILED", "EXPIRED"])), draw(st.sampled_from([0, amount])))
        )
    first = draw(times())
    return tuple(
        StepData(status, first if draw(st.booleans()) else draw(times()), value) for status, value in steps
    )


def attributes() -> st.SearchStrategy[dict[str, Scalar]]:
    """Return attributes of a transaction: declared ones present, null or absent, and undeclared ones."""
    return st.fixed_dictionaries(
        {},
        optional={
            "country": st.sampled_from(COUNTRIES) | st.none(),
            "lines": st.sampled_from([0, 1, 7, -1, 2**53]) | st.none(),
            "gift": st.booleans() | st.none(),
            "note": st.sampled_from(["", "x", 1, True]),
        },
    )


ODD_VALUES: Sequence[object] = (
    *("", "7", "true", "null", " 7", "1e3", 'a"b\\c\n', "日本"),
    *(0, 1, 7, -1, 2**53, -(2**53), 2**53 + 1, 2**63, 2**64 + 1, -(2**63) - 1, 10**30),
    *(True, False, None, 0.0, 1.0, 7.5, 1e15, 1e16, 1e-5),
    *([], [7], ["x"], {}, {"lines": 7}, {"country": "Germany"}),
)
"""What attributes may have for a value while they are not declared."""


def odd_attributes(names: Sequence[str]) -> st.SearchStrategy[dict[str, object]]:
    """Return attributes with values of any type: those told before a campaign declares their types."""
    common = st.sampled_from(["Germany", 6, True])
    return st.dictionaries(st.sampled_from(names), common | st.sampled_from(ODD_VALUES))


def odd_transactions(transaction_ids: st.SearchStrategy[str]) -> st.SearchStrategy[TransactionData]:
    """Return transactions whose attributes have values of the declared types, or of any type."""
    told = attributes() | odd_attributes([*ATTRIBUTES, "note"])
    return st.builds(TransactionData, transaction_ids, st.sampled_from(USERS), told, histories())


def transactions(transaction_ids: st.SearchStrategy[str]) -> st.SearchStrategy[TransactionData]:
    """Return transactions of a few users."""
    return st.builds(TransactionData, transaction_ids, st.sampled_from(USERS), attributes(), histories())


def transaction_lists(count_max: int = 6) -> st.SearchStrategy[list[TransactionData]]:
    """Return transactions with distinct ids."""
    ids = [f"t{number}" for number in range(count_max)]
    return st.lists(
        transactions(st.sampled_from(ids)),
        min_size=1,
        max_size=count_max,
        unique_by=lambda t: t.transaction_id,
    )


# --- sequences of events ----------------------------------------------------------------------------------


def in_order(whole: Sequence[TransactionData]) -> list[bytes]:
    """Return every event of the transactions, one after the other."""
    return [t.event(steps) for t in whole for steps in range(1, len(t.history) + 1)]


@st.composite
def deliveries(draw: st.DrawFn, whole: Sequence[TransactionData]) -> list[bytes]:
    """Return the transactions' events as a network may deliver them: permuted, repeated and with gaps.

    The last event of each transaction is among them, at any place.
    """
    events: list[bytes] = []
    for transaction in whole:
        last = len(transaction.history)
        earlier = draw(st.lists(st.integers(1, last), max_size=last + 1))
        events += [transaction.event(steps) for steps in [*earlier, last]]
    return draw(st.permutations(events))


def user_attribute_events() -> st.SearchStrategy[bytes]:
    """Return user-attribute events: few sequences, so that some come late, twice, or contradict another."""
    values = st.fixed_dictionaries(
        {},
        optional={
            "premium": st.booleans() | st.none(),
            "points": st.integers(0, 2),
            "nickname": st.sampled_from(["", "x"]),
        },
    )
    return st.builds(user_attribute_event, st.sampled_from(USERS), st.integers(0, 5), values)


def user_attribute_event(user_id: str, sequence: int, values: Mapping[str, object]) -> bytes:
    """Return one user-attribute event."""
    fields = {"user_id": user_id, "sequence": sequence, "user_attributes": values}
    return json.dumps(fields, ensure_ascii=False).encode()


@st.composite
def contradictions(draw: st.DrawFn, transaction: TransactionData) -> bytes:
    """Return an event that contradicts each event of a transaction with a CREATED step of amount > 0."""
    manner = draw(st.sampled_from(["amount", "at", "status", "user", "attributes"]))
    first, *rest = transaction.history
    changed = {
        "amount": replace(first, amount=first.amount + 1),
        "at": replace(first, at="2011-04-30T00:00:00Z"),
        "status": replace(first, status="EXPIRED"),
    }
    if manner in changed:
        return replace(transaction, history=(changed[manner],)).event()
    if manner == "user":
        return replace(transaction, user_id=transaction.user_id + "2").event()
    return replace(transaction, attributes={**transaction.attributes, "other": len(rest)}).event()


# --- events that belong in quarantine ---------------------------------------------------------------------

_AT = "2011-06-15T12:00:00Z"
_PLAIN = TransactionData(
    "poison", "alice", {}, (StepData("CREATED", _AT, 500), StepData("COMPLETED", _AT, 500))
)


def _with(**changes: object) -> bytes:
    """Return the plain event with changed fields."""
    return json.dumps({**json.loads(_PLAIN.event()), **changes}, ensure_ascii=False).encode()


def _without(*names: str) -> bytes:
    """Return the plain event without some fields."""
    return json.dumps(
        {n: value for n, value in json.loads(_PLAIN.event()).items() if n not in names}
    ).encode()


def _history(*steps: tuple[object, object, object]) -> bytes:
    return _with(history=[{"status": status, "at": at, "amount": amount} for status, at, amount in steps])


def _first_step(**changes: object) -> bytes:
    """Return the plain event with a changed first step; None leaves a field out."""
    step = {"status": "CREATED", "at": _AT, "amount": 500, **changes}
    return _with(history=[{name: value for name, value in step.items() if value is not None}])


def _user(**changes: object) -> bytes:
    """Return a user-attribute event with changed fields; None leaves a field out."""
    fields = {"user_id": "alice", "sequence": 1, "user_attributes": {"premium": True}, **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


POISON: Mapping[str, tuple[bytes, str]] = {
    "no bytes": (b"", "not_json"),
    "not JSON": (b"<event/>", "not_json"),
    "cut off": (_PLAIN.event()[:-9], "not_json"),
    "two events in one": (_PLAIN.event() + _PLAIN.event(), "not_json"),
    "not UTF-8": (_PLAIN.event().replace(b"alice", b"al\xffce"), "not_json"),
    "half a surrogate pair": (_PLAIN.event().replace(b"alice", b"\\ud800"), "not_json"),
    "NaN": (_PLAIN.event().replace(b": 500", b": NaN"), "not_json"),
    "brackets without end": (b'{"user_id":"alice","note":' + b"[" * 60_000, "not_json"),
    "a number": (b"17", "not_an_object"),
    "a list": (b"[%b]" % _PLAIN.event(), "not_an_object"),
    "null": (b"null", "not_an_object"),
    "an empty object": (b"{}", "missing_field"),
    "no transaction id": (_without("transaction_id"), "missing_field"),
    "no user id": (_without("user_id"), "missing_field"),
    "no history": (_without("history"), "missing_field"),
    "a user id only": (_without("transaction_id", "history"), "missing_field"),
    "a step without status": (_first_step(status=None), "missing_field"),
    "a step without time": (_first_step(at=None), "missing_field"),
    "a step without amount": (_first_step(amount=None), "missing_field"),
    "a transaction id that is a number": (_with(transaction_id=17), "wrong_type"),
    "a user id that is null": (_with(user_id=None), "wrong_type"),
    "a history that is an object": (_with(history={}), "wrong_type"),
    "a step that is a text": (_with(history=["CREATED"]), "wrong_type"),
    "an empty transaction id": (_with(transaction_id=""), "bad_id"),
    "an empty user id": (_with(user_id=""), "bad_id"),
    "a transaction id of 129 bytes": (_with(transaction_id="x" * 129), "id_too_long"),
    "a user id of 129 bytes": (_with(user_id="é" * 64 + "x"), "id_too_long"),
    "an event of 64 KiB and a byte": (
        _with(note="x" * (64 * 1024 + 1 - len(_with(note="")))),
        "event_too_large",
    ),
    "an empty history": (_with(history=[]), "empty_history"),
    "an unknown status": (_first_step(status="BOUGHT"), "unknown_status"),
    "a status in small letters": (_first_step(status="created"), "unknown_status"),
    "a status that is a number": (_first_step(status=1), "unknown_status"),
    "a negative amount": (_first_step(amount=-1), "bad_amount"),
    "an amount with a fraction": (_first_step(amount=1.5), "bad_amount"),
    "an amount with a decimal point": (_first_step(amount=1.0), "bad_amount"),
    "an amount that is a text": (_first_step(amount="500"), "bad_amount"),
    "an amount that is true": (_first_step(amount=True), "bad_amount"),
    "an amount above 10^12": (_first_step(amount=10**12 + 1), "bad_amount"),
    "an amount beyond 64 bits": (_first_step(amount=10**30), "bad_amount"),
    "a time without offset": (_first_step(at="2011-06-15T12:00:00"), "bad_time"),
    "a time with a space": (_first_step(at="2011-06-15 12:00:00Z"), "bad_time"),
    "a date": (_first_step(at="2011-06-15"), "bad_time"),
    "a day that does not exist": (_first_step(at="2011-02-29T12:00:00Z"), "bad_time"),
    "a leap second": (_first_step(at="2008-12-31T23:59:60Z"), "bad_time"),
    "the hour 24": (_first_step(at="2011-06-15T24:00:00Z"), "bad_time"),
    "a time as a number": (_first_step(at=1_308_139_200), "bad_time"),
    "a time in 1969": (_first_step(at="1969-12-31T23:59:59Z"), "bad_time"),
    "a time after 2099": (_first_step(at="2100-01-01T00:00:00Z"), "bad_time"),
    "two completions": (_history(("COMPLETED", _AT, 1), ("COMPLETED", _AT, 1)), "completed_twice"),
    "completed after it was canceled": (
        _history(("CANCELED", _AT, 1), ("COMPLETED", _AT, 1)),
        "completed_after_end",
    ),
    "completed after it failed": (_history(("FAILED", _AT, 1), ("COMPLETED", _AT, 1)), "completed_after_end"),
    "completed after it expired": (
        _history(("EXPIRED", _AT, 1), ("COMPLETED", _AT, 1)),
        "completed_after_end",
    ),
    "a refund without completion": (_history(("REFUNDED", _AT, 1)), "refund_before_completion"),
    "a refund before the completion": (
        _history(("CREATED", _AT, 5), ("REFUNDED", _AT, 1), ("COMPLETED", _AT, 5)),
        "refund_before_completion",
    ),
    "a refund above the amount": (
        _history(("COMPLETED", _AT, 5), ("REFUNDED", _AT, 6)),
        "refund_above_amount",
    ),
    "refunds above the amount": (
        _history(("COMPLETED", _AT, 5), ("REFUNDED", _AT, 3), ("REFUNDED", _AT, 3)),
        "refund_above_amount",
    ),
    "a text attribute that is a number": (_with(attributes={"country": 44}), "attribute_type"),
    "an integer attribute that is a text": (_with(attributes={"lines": "7"}), "attribute_type"),
    "an integer attribute that is true": (_with(attributes={"lines": True}), "attribute_type"),
    "an integer attribute with a fraction": (_with(attributes={"lines": 7.5}), "attribute_type"),
    "an integer attribute beyond 2^53": (_with(attributes={"lines": 2**53 + 1}), "attribute_type"),
    "a boolean attribute that is 1": (_with(attributes={"gift": 1}), "attribute_type"),
    "attributes that are a list": (_with(attributes=[]), "attribute_type"),
    "user attributes without user": (_user(user_id=None), "missing_field"),
    "user attributes without sequence": (_user(sequence=None), "missing_field"),
    "a sequence without user attributes": (_user(user_attributes=None), "missing_field"),
    "a negative sequence": (_user(sequence=-1), "wrong_type"),
    "a sequence that is a text": (_user(sequence="1"), "wrong_type"),
    "user attributes with an empty user id": (_user(user_id=""), "bad_id"),
    "user attributes of a long user id": (_user(user_id="x" * 129), "id_too_long"),
    "user attributes that are a list": (_user(user_attributes=[]), "attribute_type"),
    "a user attribute of another type": (_user(user_attributes={"premium": "yes"}), "attribute_type"),
}
"""What no event may be: name -> (bytes, reason code). Each has exactly one fault."""


CONFLICTS: Mapping[str, tuple[bytes, bytes, str]] = {
    "another amount": (_first_step(), _first_step(amount=501), "history_conflict"),
    "another time": (_first_step(), _first_step(at="2011-06-15T12:00:00.000001Z"), "history_conflict"),
    "another status": (_first_step(), _first_step(status="AUTHORIZED"), "history_conflict"),
    "a longer history that begins otherwise": (_first_step(amount=499), _PLAIN.event(), "history_conflict"),
    "a shorter history that begins otherwise": (_PLAIN.event(), _first_step(amount=499), "history_conflict"),
    "another second step": (
        _PLAIN.event(),
        _history(("CREATED", _AT, 500), ("CANCELED", _AT, 500)),
        "history_conflict",
    ),
    "another user": (_PLAIN.event(1), _with(user_id="bob"), "user_changed"),
    "another attribute": (_PLAIN.event(1), _with(attributes={"country": "France"}), "attributes_changed"),
    "another undeclared attribute": (_PLAIN.event(1), _with(attributes={"note": "x"}), "attributes_changed"),
    "true instead of 1": (
        _with(attributes={"note": 1}),
        _with(attributes={"note": True}),
        "attributes_changed",
    ),
    "the same sequence with other values": (
        _user(),
        _user(user_attributes={"premium": False}),
        "sequence_conflict",
    ),
    "the same sequence with true instead of 1": (
        _user(user_attributes={"note": 1}),
        _user(user_attributes={"note": True}),
        "sequence_conflict",
    ),
}
"""What contradicts an earlier event: name -> (that one, the later one, the later one's reason code)."""


ODD: Mapping[str, bytes] = {
    "unknown fields": _with(note="x", extra={"a": [1, None]}),
    "a field of the other kind of event": _with(sequence="A-17", user_attributes="none"),
    "a transaction id of 128 bytes": _with(transaction_id="é" * 64),
    "a user id of 128 bytes": _with(user_id="x" * 128),
    "an event of 64 KiB": _with(note="x" * (64 * 1024 - len(_with(note="")))),
    "no attributes": _without("attributes"),
    "attributes that are null": _with(attributes=None),
    "a null attribute": _with(attributes={"country": None}),
    "an undeclared attribute of any type": _with(attributes={"note": {"a": [1.5, {"b": 1}]}}),
    "an undeclared attribute beyond 64 bits": _with(attributes={"note": 10**30}),
    "an integer attribute of 2^53": _with(attributes={"lines": -(2**53)}),
    "an amount of nothing": _history(("COMPLETED", _AT, 0)),
    "an amount of 10^12": _first_step(amount=10**12),
    "a time in small letters": _first_step(at="2011-06-15t12:00:00z"),
    "a time finer than a microsecond": _first_step(at="2011-06-15T12:00:00.123456789+09:00"),
    "the offset -00:00": _first_step(at="2011-06-15T12:00:00-00:00"),
    "the first time": _first_step(at="1970-01-02T00:00:00Z"),
    "the last time": _first_step(at="2100-01-01T08:59:59.999999+09:00"),
    "times that fall": _history(("CREATED", _AT, 5), ("COMPLETED", "2011-01-01T00:00:00Z", 5)),
    "ended twice": _history(("CANCELED", _AT, 5), ("EXPIRED", _AT, 5)),
    "refunded after it was canceled": _history(
        ("COMPLETED", _AT, 5), ("CANCELED", _AT, 5), ("REFUNDED", _AT, 5)
    ),
    "created after the completion": _history(("COMPLETED", _AT, 5), ("CREATED", _AT, 5)),
    "a largest sequence": _user(sequence=2**63 - 1),
    "a user attribute beyond 64 bits": _user(sequence=7, user_attributes={"note": -(10**30)}),
    "null user attributes": _user(user_attributes={"premium": None, "note": "x"}),
}
"""Odd, but right: name -> bytes."""
