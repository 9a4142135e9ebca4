"""Events that may be of a transaction which is no longer kept: nothing tells live what was counted of it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from rung.transaction.events import TransactionEvents
from rung.transaction.history import Integers, StoredTransactions
from rung.transaction.reasons import Reason, Rejection


def not_kept(
    events: TransactionEvents, groups: Integers, stored: StoredTransactions, kept_from: int
) -> list[Rejection]:
    """Return a rejection for each event of an unknown transaction that began before what is kept.

    All events of a transaction begin with its first step, and all steps of a pruned one were before the
    instant. So an unknown transaction that begins later was never pruned, and a known one is merged as ever.

    Args:
        events: The events.
        groups: The index of each event's transaction in `stored`.
        stored: What is known of the transactions.
        kept_from: The instant, in microseconds since the epoch, before which transactions may be pruned.
    """
    if not kept_from or not len(groups):
        return []
    began = events.histories.ats[events.histories.starts]
    old = np.flatnonzero((began < kept_from) & (stored.histories.lengths[groups] == 0))
    ids = events.transaction_ids.take(pa.array(old)).to_pylist()
    return [
        Rejection(row, Reason.PRUNED, f"transaction {one.decode()!r}: {Reason.PRUNED.sentence}")
        for row, one in zip(events.rows[old].tolist(), ids, strict=True)
    ]
