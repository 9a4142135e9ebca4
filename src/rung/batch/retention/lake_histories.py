"""The histories of chosen transactions, as the lake has them: all events of each, and what they merge to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa

from rung.batch.aggregate import disowned_by, owners_in
from rung.batch.claims import Claim, contested_claims
from rung.batch.resolve import transaction_events
from rung.batch.workshop import Workshop
from rung.campaign.catalog import Catalog, CountedVersion
from rung.lake.rows import TRANSACTION
from rung.store.records import decode_transactions
from rung.transaction.events import TransactionEvents
from rung.transaction.history import Integers, Mask, StoredTransactions
from rung.transaction.merge import Merged, distinct, merge
from rung.transaction.reasons import Reason

_NO_ROWS: Final = pa.table(
    {
        "partition": pa.array([], pa.int32()),
        "offset": pa.array([], pa.int64()),
        "appended_at": pa.array([], pa.int64()),
        "transaction_id": pa.array([], pa.string()),
        "user_id": pa.array([], pa.string()),
        "status": pa.array([], pa.list_(pa.int8())),
        "at": pa.array([], pa.list_(pa.int64())),
        "amount": pa.array([], pa.list_(pa.int64())),
        "attributes": pa.array([], pa.string()),
    }
)


@dataclass(frozen=True, slots=True)
class LakeHistories:
    """What the lake has of transactions: all events, sorted by transaction, and what they merge to.

    Transaction `keys[i]` has the history of event `merged.events[i]`. `groups`, `partitions` and `offsets`
    are of each event.
    """

    events: TransactionEvents
    groups: Integers
    merged: Merged
    keys: Sequence[bytes]
    partitions: Integers
    offsets: Integers

    @classmethod
    def of(cls, rows: pa.Table, catalog: Catalog) -> LakeHistories:
        """Merge events, sorted by transaction and offset, each transaction of one partition."""
        events = transaction_events(rows if rows.num_rows else _NO_ROWS, catalog.attributes)
        ids, groups = distinct(events.transaction_ids)
        merged = merge(events, groups, decode_transactions([None] * len(ids)))
        # In the order of the ids, as the rows.
        order = np.argsort(merged.groups)
        merged = replace(
            merged, events=merged.events[order], groups=merged.groups[order], before=merged.before[order]
        )
        found: list[int] = merged.groups.tolist()
        return cls(
            events,
            groups,
            merged,
            [ids[group] for group in found],
            rows.column("partition").to_numpy().astype(np.int64),
            rows.column("offset").to_numpy(),
        )

    def conflicts(self) -> dict[tuple[int, int], Reason]:
        """Return the positions of events that contradict what came before them, each with the reason."""
        return {self._place(rejection.row): rejection.reason for rejection in self.merged.rejections}

    def places(self) -> dict[tuple[int, int], bytes]:
        """Return the transaction of each event by its position."""
        ids = self.events.transaction_ids.to_pylist()
        return {self._place(row): one for row, one in enumerate(ids)}

    def fit(self, known: StoredTransactions) -> Mask:
        """Tell which transactions are what is stored of them, or more or less of the same."""
        events = self.merged.events
        pool = self.events.histories.take(events).followed_by(known.histories)
        count = len(events)
        ours, theirs = np.arange(count), count + np.arange(count)
        longer = pool.lengths[ours] >= pool.lengths[theirs]
        fits = pool.begin_with(np.where(longer, ours, theirs), np.where(longer, theirs, ours))
        same = (self.events.users[events] == known.users) & (
            self.events.attributes[events] == known.attributes
        )
        return fits & (same | (known.histories.lengths == 0))

    def steps_before(self, counted: CountedVersion) -> Integers:
        """Return how many steps of each transaction lie before the start of a version: those are its past."""
        starts = np.full(int(self.partitions.max(initial=0)) + 1, -1, dtype=np.int64)
        for partition, offset in counted.starts.items():
            if partition < len(starts):
                starts[partition] = offset
        past = self.offsets <= starts[self.partitions]
        past[[rejection.row for rejection in self.merged.rejections]] = False
        steps = np.zeros(int(self.groups.max(initial=-1)) + 1, dtype=np.int64)
        np.maximum.at(steps, self.groups[past], self.events.histories.lengths[past])
        return steps[self.merged.groups]

    def _place(self, row: int) -> tuple[int, int]:
        return int(self.partitions[row]), int(self.offsets[row])


def events_of(
    workshop: Workshop, catalog: Catalog, ids: Sequence[bytes], ends: Mapping[int, int]
) -> pa.Table:
    """Return all events of transactions before `ends`, sorted by transaction, partition and offset.

    The catalog tells which were rejected for their attributes' types. All of the lake is looked through for
    them: whoever settles seldom, looks seldom.
    """
    state = workshop.lake.state()
    columns = ", ".join(f'"{name}"' for name in _NO_ROWS.column_names[3:])
    parts = [
        f"""SELECT {partition}::INTEGER AS "partition", "offset", epoch_us("appended_at") AS "appended_at",
          {columns}
        FROM {events}"""
        for partition, end in ends.items()
        if (files := [file.path for file in state.of_partition(partition, 0, end)])
        for declared in [catalog.declarations(partition)]
        for events in [workshop.engine.events(TRANSACTION, files, declared, f'"offset" < {end}')]
    ]
    if not parts:
        return _NO_ROWS
    wanted = pa.table({"transaction_id": pa.array([one.decode() for one in ids], pa.string())})
    return workshop.engine.query(
        f"""SELECT e.* FROM ({" UNION ALL ".join(parts)}) e SEMI JOIN "wanted" USING ("transaction_id")
        ORDER BY "transaction_id", "partition", "offset" """,
        wanted=wanted,
    )


def owned(workshop: Workshop, rows: pa.Table) -> tuple[pa.Table, list[tuple[int, int]]]:
    """Return the events but those of transactions that a user of another partition has claimed first.

    The latter's positions are the second answer.
    """
    claims: dict[tuple[str, int], Claim] = {}
    names = ("transaction_id", "partition", "user_id", "appended_at", "offset")
    columns = [rows.column(name).to_pylist() for name in names]
    for transaction_id, partition, user_id, appended_at, _ in zip(*columns, strict=True):
        claims.setdefault((transaction_id, partition), Claim(transaction_id, partition, user_id, appended_at))
    contested = contested_claims(claims.values())
    before = workshop.snapshots.disowned()
    lost = {
        (one, partition)
        for partition, ids in disowned_by(contested, owners_in(workshop.store), before).items()
        for one in ids
    }
    if not lost:
        return rows, []
    places = list(zip(columns[0], columns[1], columns[4], strict=True))
    kept = [index for index, (one, partition, _) in enumerate(places) if (one, partition) not in lost]
    disowned = [(partition, offset) for one, partition, offset in places if (one, partition) in lost]
    return rows.take(pa.array(kept, pa.int64())), disowned
