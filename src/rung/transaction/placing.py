"""The rule that an event stands in the partition of its user."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from rung.transaction.events import Batch
from rung.transaction.history import Integers
from rung.transaction.reasons import Reason, Rejection
from rung.transaction.routing import partition_of


def without_misplaced(batch: Batch, places: Integers, partitions: int) -> Batch:
    """Reject the events that stand in another partition than their user's; `places[row]` is an event's own.

    One worker at a time writes a user, and a user's figures belong to a prefix of one partition: both
    rest on it. A producer that places events by another rule would break both without a word.
    """
    events = batch.transactions
    _, first, owners = np.unique(events.users, return_index=True, return_inverse=True)
    due = [partition_of(user, partitions) for user in events.user_ids.take(pa.array(first)).to_pylist()]
    fits = np.array(due, dtype=np.int64)[owners] == places[events.rows]
    changes = batch.user_attributes
    due_changes = [partition_of(event.user_id.encode(), partitions) for event in changes]
    misplaced = [
        (int(events.rows[index]), int(places[events.rows[index]]), due[int(owners[index])])
        for index in np.flatnonzero(~fits)
    ] + [
        (event.row, int(places[event.row]), right)
        for event, right in zip(changes, due_changes, strict=True)
        if places[event.row] != right
    ]
    if not misplaced:
        return batch
    wrong = {row for row, _, _ in misplaced}
    return Batch(
        events.take(np.flatnonzero(fits)),
        [event for event in changes if event.row not in wrong],
        [
            *batch.rejections,
            *(
                Rejection(
                    row,
                    Reason.WRONG_PARTITION,
                    f"it stands in partition {found}, and its user belongs to partition {right}: "
                    "key events by user_id, with the CRC-32 partitioner (`consistent`)",
                )
                for row, found, right in misplaced
            ),
        ],
    )
