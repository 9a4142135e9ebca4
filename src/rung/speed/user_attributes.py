"""Merge user attributes: of all that was told about a user, the highest sequence is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rung.store.port import NO_ENTRIES, Entries, Store
from rung.store.records import UserAttributes, decode_user_attributes, encode_user_attributes
from rung.transaction.events import UserAttributesEvent
from rung.transaction.reasons import Reason, Rejection


def merge_user_attributes(
    events: Sequence[UserAttributesEvent], store: Store
) -> tuple[Entries, list[Rejection], int]:
    """Return the records that change, the rejected events, and how many events brought nothing.

    The same sequence with other attributes is a conflict: what was there first stays.
    """
    if not events:
        return NO_ENTRIES, [], 0
    users = list(dict.fromkeys(event.user_id for event in events))
    stored = store.user_attributes([user_id.encode() for user_id in users])
    records = dict(zip(users, stored, strict=True))
    known = {user_id: decode_user_attributes(record) for user_id, record in records.items()}
    changed: dict[str, UserAttributes] = {}
    rejections: list[Rejection] = []
    duplicates = 0
    for event in events:
        before = changed.get(event.user_id, known[event.user_id])
        if event.sequence > before.sequence:
            changed[event.user_id] = UserAttributes(event.sequence, event.values)
        elif event.sequence == before.sequence and not _equal(event.values, before.values):
            detail = f"user {event.user_id!r}, sequence {event.sequence}: {Reason.SEQUENCE_CONFLICT.sentence}"
            rejections.append(Rejection(event.row, Reason.SEQUENCE_CONFLICT, detail))
        else:
            duplicates += 1
    keys = [user_id.encode() for user_id in changed]
    entries = Entries(
        keys,
        [records[user_id] for user_id in changed],
        [encode_user_attributes(found) for found in changed.values()],
        keys,
    )
    return entries, rejections, duplicates


def _equal(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Compare as JSON, where `true`, 1 and 1.0 are three values; to Python they are equal."""
    return encode_user_attributes(UserAttributes(0, one)) == encode_user_attributes(UserAttributes(0, other))
