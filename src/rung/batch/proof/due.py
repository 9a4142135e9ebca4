"""What of a user is due in a store: all that events gave, but for transactions that are no longer kept.

A transaction whose steps all lie before what is kept may be absent, and nobody need look for it. An event of
one that was absent waits in quarantine until it is settled (`rung.batch.retention.settle_pruned`), and is not
applied before that.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from rung.lake.rows import USER_ATTRIBUTES
from rung.store.port import Store
from rung.store.records import UserAttributes, decode_transactions, encode_user_attributes
from rung.transaction.attributes import read_object
from rung.transaction.reasons import Reason


def behind(stored: Mapping[str, bytes | None], due: Mapping[str, bytes | None]) -> list[str]:
    """Return the transactions of which less is stored than is due, and nothing else."""
    return [
        key
        for key, record in due.items()
        if record is not None and stored[key] != record and _begins_with(record, stored[key])
    ]


def _begins_with(due: bytes, stored: bytes | None) -> bool:
    """Tell whether what is stored, if anything, is the beginning of what is due."""
    if stored is None:
        return True
    found = decode_transactions([due, stored])
    return (
        found.users[0] == found.users[1]
        and found.attributes[0] == found.attributes[1]
        and bool(found.histories.begin_with(np.array([0]), np.array([1]))[0])
    )


def without_absent(
    stored: Mapping[str, bytes | None], due: Mapping[str, bytes | None], kept_from: int
) -> dict[str, bytes | None]:
    """Return the records that are due, None where one is absent of which nothing is kept."""
    return {
        key: None if record is None or (stored[key] is None and is_over(record, kept_from)) else record
        for key, record in due.items()
    }


def is_over(record: bytes, kept_from: int) -> bool:
    """Tell whether all steps of a transaction lie before an instant."""
    return bool(decode_transactions([record]).histories.ats.max() < kept_from)


def unsettled(
    store: Store,
    partition: int,
    events: pa.Table,
    stored: Mapping[str, bytes | None],
    due: Mapping[str, bytes | None],
    kept_from: int,
) -> set[int]:
    """Return the offsets of a user's events that are not applied yet, because they wait to be settled.

    Args:
        store: The store.
        partition: The user's partition.
        events: The user's events, as the lake has them.
        stored: What is stored of each of the user's transactions.
        due: What all events give for each.
        kept_from: The instant before which transactions may have been pruned.
    """
    wrong = [key for key, record in due.items() if record is not None and stored[key] != record]
    lengths = dict(
        zip(wrong, decode_transactions([stored[key] for key in wrong]).histories.lengths, strict=True)
    )
    columns = (events.column(name).to_pylist() for name in ("offset", "transaction_id", "at"))
    found: set[int] = set()
    for offset, transaction_id, ats in zip(*columns, strict=True):
        # One that is no longer than the record is in it, whether or not it was released already.
        if ats and ats[0] < kept_from and len(ats) > lengths.get(transaction_id, len(ats)):
            waiting = store.quarantined(partition, offset)
            if waiting is not None and waiting.reason == Reason.PRUNED.value:
                found.add(offset)
    return found


def due_attributes(events: pa.Table) -> bytes | None:
    """Return the record of the attributes with the highest sequence; of equal ones the first stays."""
    best: UserAttributes | None = None
    columns = (events.column(name).to_pylist() for name in ("kind", "sequence", "attributes"))
    for kind, sequence, text in zip(*columns, strict=True):
        if kind == USER_ATTRIBUTES and (best is None or sequence > best.sequence):
            best = UserAttributes(sequence, read_object(text.encode(), "user_attributes"))
    return None if best is None else encode_user_attributes(best)
