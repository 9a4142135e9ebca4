"""From the bytes of a batch of events to columns; what cannot be read is rejected with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from msgspec import UNSET, Meta, Raw, UnsetType
from numpy.typing import NDArray

from rung.campaign.model import AttributeType
from rung.transaction.attributes import (
    Attributes,
    BadAttributes,
    declared_value,
    read_attributes,
    read_object,
)
from rung.transaction.history import AMOUNT_MAX, STATUSES, Histories, Integers, Mask
from rung.transaction.reasons import Reason, Rejection
from rung.transaction.time_columns import parse_times

EVENT_BYTES_MAX: Final = 64 * 1024
ID_BYTES_MAX: Final = 128

_PART_EVENTS: Final = 8_192
"""How many events are objects at one time: more than fit a processor's cache take longer each."""

_NOTHING: Final[Mapping[int, str]] = {}
_Reject: TypeAlias = Callable[[int, Reason, str], None]
_STATUS_CODES: Final = {status: code for code, status in enumerate(STATUSES)}


class _Step(msgspec.Struct, gc=False):
    status: Literal["CREATED", "AUTHORIZED", "COMPLETED", "REFUNDED", "CANCELED", "FAILED", "EXPIRED"]
    at: str
    amount: Annotated[int, Meta(ge=0, le=AMOUNT_MAX)]


class _Transaction(msgspec.Struct, gc=False):
    transaction_id: str
    user_id: str
    history: list[_Step]
    attributes: Raw = Raw(b"")


class _UserAttributes(msgspec.Struct, gc=False):
    user_id: str
    sequence: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    user_attributes: Raw


class _Kind(msgspec.Struct, gc=False):
    transaction_id: Raw | UnsetType = UNSET
    history: Raw | UnsetType = UNSET
    user_attributes: Raw | UnsetType = UNSET


_decode_transaction: Final = msgspec.json.Decoder(_Transaction).decode
_decode_user_attributes: Final = msgspec.json.Decoder(_UserAttributes).decode
_decode_kind: Final = msgspec.json.Decoder(_Kind).decode


@dataclass(frozen=True, slots=True)
class TransactionEvents:
    """The transaction events of a batch, as columns.

    `rows` are their rows in the batch, ascending. The ids are Arrow binary arrays of UTF-8. `users`
    and `attributes` are 64-bit digests (uint64) of the user id and the attributes. Event i has the
    attribute values `attribute_sets[sets[i]]`.
    """

    rows: Integers
    transaction_ids: pa.BinaryArray
    user_ids: pa.BinaryArray
    users: NDArray[np.uint64]
    attributes: NDArray[np.uint64]
    sets: Integers
    attribute_sets: Sequence[Attributes]
    histories: Histories

    def take(self, chosen: Integers) -> TransactionEvents:
        """Return chosen events in the order of `chosen`."""
        return TransactionEvents(
            self.rows[chosen],
            self.transaction_ids.take(pa.array(chosen, pa.int64())),
            self.user_ids.take(pa.array(chosen, pa.int64())),
            self.users[chosen],
            self.attributes[chosen],
            self.sets[chosen],
            self.attribute_sets,
            self.histories.take(chosen),
        )


class UserAttributesEvent(NamedTuple):
    """One event that tells a user's attributes; nulls are left out of `values`."""

    row: int
    user_id: str
    sequence: int
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Batch:
    """A decoded batch: what it holds, and what cannot be applied (in no order)."""

    transactions: TransactionEvents
    user_attributes: Sequence[UserAttributesEvent]
    rejections: Sequence[Rejection]


def decode(
    payloads: Sequence[bytes],
    attributes: Mapping[str, AttributeType],
    user_attributes: Mapping[str, AttributeType],
    unreadable: Mapping[int, str] = _NOTHING,
) -> Batch:
    """Decode and validate events; the declared attributes must have their declared types.

    Unknown fields are ignored. Every payload becomes a row of one of the three parts of the
    batch, never of two. The rows of `unreadable` are rejected without a look at them; it says why.
    """
    if unreadable:
        return _decode_the_readable(payloads, attributes, user_attributes, unreadable)
    rejections: list[Rejection] = []
    changes: list[UserAttributesEvent] = []
    parts: list[TransactionEvents] = []
    for first in range(0, max(len(payloads), 1), _PART_EVENTS):
        part = payloads[first : first + _PART_EVENTS]
        events = _decode_all(part)
        rows = list(range(first, first + len(events)))
        if len(events) < len(part):
            for row, payload in enumerate(part, first):
                try:
                    if len(payload) > EVENT_BYTES_MAX:
                        detail = f"{len(payload)} bytes; the limit is {EVENT_BYTES_MAX}"
                        raise _Rejected(Reason.EVENT_TOO_LARGE, detail)
                    try:
                        payload.decode()
                        events.append(_decode_transaction(payload))
                        rows.append(row)
                    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                        changes.append(_user_attributes(payload, row, user_attributes, error))
                except _Rejected as rejected:
                    rejections.append(Rejection(row, rejected.reason, rejected.detail))
        parts.append(_columns(events, rows, attributes, rejections))
    return Batch(joined(parts), changes, rejections)


def _decode_the_readable(
    payloads: Sequence[bytes],
    attributes: Mapping[str, AttributeType],
    user_attributes: Mapping[str, AttributeType],
    unreadable: Mapping[int, str],
) -> Batch:
    """Decode with an empty payload in place of each unreadable one, which is rejected one way or another."""
    blanked = [b"" if row in unreadable else payload for row, payload in enumerate(payloads)]
    batch = decode(blanked, attributes, user_attributes)
    return replace(
        batch,
        rejections=[
            Rejection(found.row, Reason.UNKNOWN_SCHEMA, unreadable[found.row])
            if found.row in unreadable
            else found
            for found in batch.rejections
        ],
    )


def _decode_all(payloads: Sequence[bytes]) -> list[_Transaction]:
    """Decode all payloads, or none if one of them is bad or tells user attributes."""
    if len(max(payloads, key=len, default=b"")) > EVENT_BYTES_MAX:
        return []
    try:
        # The decoder skips what it need not know: that this is text, too, is seen here.
        b"\n".join(payloads).decode()
        return [_decode_transaction(payload) for payload in payloads]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []


class _Rejected(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


_PLACE: Final = re.compile(r"(?P<what>.*) - at `\$\.?(?P<place>.*)`")
_BY_FIELD: Final = {"status": Reason.UNKNOWN_STATUS, "amount": Reason.BAD_AMOUNT, "at": Reason.BAD_TIME}


def _explained(error: Exception) -> _Rejected:
    """Turn the decoder's sentence into a reason code and "place: what"."""
    if isinstance(error, RecursionError):
        return _Rejected(Reason.NOT_JSON, "nested too deeply")
    if not isinstance(error, msgspec.ValidationError):
        return _Rejected(Reason.NOT_JSON, str(error))
    match = _PLACE.fullmatch(str(error))
    what, place = (match["what"], match["place"]) if match else (str(error), "")
    detail = f"{place}: {what}" if place else what
    if what.startswith("Object missing required field"):
        return _Rejected(Reason.MISSING_FIELD, detail)
    if not place:
        return _Rejected(Reason.NOT_AN_OBJECT, detail)
    if place.startswith("history["):
        return _Rejected(_BY_FIELD.get(place.rpartition(".")[2], Reason.WRONG_TYPE), detail)
    return _Rejected(Reason.WRONG_TYPE, detail)


def _bad_id(name: str, size: int) -> tuple[Reason, str]:
    if size == 0:
        return Reason.BAD_ID, f"{name} is empty"
    return Reason.ID_TOO_LONG, f"{name} has {size} bytes; the limit is {ID_BYTES_MAX}"


def _user_attributes(
    payload: bytes, row: int, declared: Mapping[str, AttributeType], error: Exception
) -> UserAttributesEvent:
    """Read an event that is no valid transaction, with that error, as one of user attributes.

    Raises:
        _Rejected: it is not that either; the reason is of the kind that its fields show.
    """
    try:
        kind = _decode_kind(payload)
        told = kind.transaction_id is not UNSET or kind.history is not UNSET
        if told or not isinstance(error, msgspec.ValidationError):
            raise _explained(error)
        if kind.user_attributes is UNSET:
            raise _Rejected(Reason.MISSING_FIELD, "neither `transaction_id` nor `user_attributes`")
        event = _decode_user_attributes(payload)
        size = len(event.user_id.encode())
        if not 0 < size <= ID_BYTES_MAX:
            raise _Rejected(*_bad_id("user_id", size))
        values = read_object(bytes(event.user_attributes), "user_attributes")
        for name, due in declared.items():
            declared_value(values.get(name), due, f"user_attributes.{name}")
    except BadAttributes as bad:
        raise _Rejected(Reason.ATTRIBUTE_TYPE, str(bad)) from bad
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as bad:
        raise _explained(bad) from bad
    return UserAttributesEvent(row, event.user_id, event.sequence, values)


def _columns(
    events: list[_Transaction],
    rows: list[int],
    declared: Mapping[str, AttributeType],
    rejections: list[Rejection],
) -> TransactionEvents:
    texts = np.array([xxhash.xxh3_64_intdigest(event.attributes) for event in events], dtype=np.uint64)
    _, first, sets = np.unique(texts, return_index=True, return_inverse=True)
    firsts: list[int] = first.tolist()
    attribute_sets, bad_sets = _attribute_sets([events[index].attributes for index in firsts], declared)
    histories = [event.history for event in events]
    steps = list(chain.from_iterable(histories))
    lengths = np.array([len(history) for history in histories], dtype=np.int64)
    ats, bad_times = parse_times([step.at for step in steps])
    user_ids = [event.user_id.encode() for event in events]
    columns = TransactionEvents(
        rows=np.array(rows, dtype=np.int64),
        transaction_ids=pa.array([event.transaction_id for event in events], pa.string()).cast(pa.binary()),
        user_ids=pa.array(user_ids, pa.binary()),
        users=np.array([xxhash.xxh3_64_intdigest(user_id) for user_id in user_ids], dtype=np.uint64),
        attributes=np.array([found.digest for found in attribute_sets], dtype=np.uint64)[sets],
        sets=sets,
        attribute_sets=attribute_sets,
        histories=Histories.of_lengths(
            lengths,
            np.frombuffer(bytes([_STATUS_CODES[step.status] for step in steps]), dtype=np.uint8),
            ats,
            np.array([step.amount for step in steps], dtype=np.int64),
        ),
    )
    good = np.ones(len(events), dtype=np.bool_)

    def reject(index: int, reason: Reason, detail: str) -> None:
        if good[index]:
            good[index] = False
            rejections.append(Rejection(rows[index], reason, detail))

    for name, ids in (("transaction_id", columns.transaction_ids), ("user_id", columns.user_ids)):
        sizes = pc.binary_length(ids).to_numpy()
        for index in np.flatnonzero((sizes == 0) | (sizes > ID_BYTES_MAX)):
            reject(int(index), *_bad_id(name, int(sizes[index])))
    for index in np.flatnonzero(lengths == 0):
        reject(int(index), Reason.EMPTY_HISTORY, "history: expected at least one step")
    if bad_times.any():
        _reject_times(columns, bad_times, [step.at for step in steps], reject)
    for index in np.flatnonzero(np.isin(sets, list(bad_sets))) if bad_sets else ():
        reject(int(index), *bad_sets[int(sets[index])])
    for mask, reason in columns.histories.broken_rules():
        for index in np.flatnonzero(mask):
            reject(int(index), reason, f"history of {lengths[index]} steps: {reason.sentence}")
    return columns if good.all() else columns.take(np.flatnonzero(good))


def joined(parts: Sequence[TransactionEvents]) -> TransactionEvents:
    """Return the events of all parts as one; at least one part is due."""
    if len(parts) == 1:
        return parts[0]
    sets_before = np.cumsum([0, *(len(part.attribute_sets) for part in parts)])
    histories = [part.histories for part in parts]
    return TransactionEvents(
        np.concatenate([part.rows for part in parts]),
        pa.concat_arrays([part.transaction_ids for part in parts]),
        pa.concat_arrays([part.user_ids for part in parts]),
        np.concatenate([part.users for part in parts]),
        np.concatenate([part.attributes for part in parts]),
        np.concatenate([part.sets + before for part, before in zip(parts, sets_before[:-1], strict=True)]),
        list(chain.from_iterable(part.attribute_sets for part in parts)),
        Histories.of_lengths(
            np.concatenate([each.lengths for each in histories]),
            np.concatenate([each.statuses for each in histories]),
            np.concatenate([each.ats for each in histories]),
            np.concatenate([each.amounts for each in histories]),
        ),
    )


def _attribute_sets(
    texts: Sequence[Raw], declared: Mapping[str, AttributeType]
) -> tuple[list[Attributes], dict[int, tuple[Reason, str]]]:
    """Read each distinct text of attributes; the second answer tells which of them are bad, and why."""
    found: list[Attributes] = []
    bad: dict[int, tuple[Reason, str]] = {}
    for index, text in enumerate(texts):
        try:
            found.append(read_attributes(bytes(text), declared, "attributes"))
            continue
        except BadAttributes as error:
            bad[index] = Reason.ATTRIBUTE_TYPE, str(error)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            bad[index] = Reason.NOT_JSON, f"attributes: {error}"
        found.append(Attributes({}, b"{}", 0))
    return found, bad


def _reject_times(events: TransactionEvents, bad: Mask, texts: list[str], reject: _Reject) -> None:
    starts = events.histories.starts
    for step in np.flatnonzero(bad):
        index = int(np.searchsorted(starts, step, side="right")) - 1
        place = f"history[{step - starts[index]}].at"
        due = "expected RFC 3339 with an offset, from 1970-01-02 to 2099"
        reject(index, Reason.BAD_TIME, f"{place}: {due}, got {texts[step][:64]!r}")
