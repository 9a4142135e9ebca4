"""What a micro-batch changes: from slices of the log and what is stored to one `Change` of the store.

A batch never adds an event. It adds what the merged history of each transaction contributes beyond its
stored history. So duplicates, reordering, gaps and replays change nothing, and to decide a batch again,
of which a part is stored already, completes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rung.campaign.catalog import Catalog
from rung.campaign.declared import Declarations
from rung.log.port import Slice, unreadable_rows
from rung.plan.run import Contributions, Plans, histories_table
from rung.speed.figures import add_figures
from rung.speed.kept import not_kept
from rung.speed.user_attributes import merge_user_attributes
from rung.store.port import Applied, Change, Counters, Entries, Quarantined, Store
from rung.store.records import decode_transactions, encode_transactions
from rung.transaction.events import TransactionEvents
from rung.transaction.history import Integers, StoredTransactions
from rung.transaction.judging import decode_judged
from rung.transaction.merge import Merged, distinct, merge
from rung.transaction.placing import without_misplaced
from rung.transaction.reasons import Rejection

_NEVER: Final = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Compiled:
    """A catalog with its plans."""

    revision: int
    catalog: Catalog
    plans: Plans
    _declarations: dict[int, Declarations] = field(default_factory=dict[int, Declarations])

    def declarations(self, partition: int) -> Declarations:
        """Return from where on each attribute is declared in a partition."""
        if partition not in self._declarations:
            self._declarations[partition] = self.catalog.declarations(partition)
        return self._declarations[partition]


def decide(
    slices: Sequence[Slice],
    before: Mapping[int, Applied],
    compiled: Compiled,
    store: Store,
    partitions: int,
    clock: Callable[[], int],
) -> Change:
    """Compute the change that the slices make to what is stored.

    1. decode the events, judged by what is declared at their positions, and reject those in another
    partition than their user's; 2. read what is known of their transactions and merge; 3. run the plans on
    what grew; 4. read the figures of those users and add; 5. merge user attributes; 6. collect what is
    rejected, and the positions.

    Args:
        slices: The events, in the order of the log; of one partition only behind one another.
        before: How far each of their partitions is applied.
        compiled: The catalog in force.
        store: What is stored.
        partitions: How many the log has.
        clock: Gives microseconds since the epoch, for what is put into quarantine.
    """
    computed_at = store.moment()
    catalog = compiled.catalog
    payloads = list(chain.from_iterable(part.payloads for part in slices))
    places = np.repeat([part.partition for part in slices], [len(part.payloads) for part in slices])
    declared = (
        run
        for part in slices
        for run in compiled.declarations(part.partition).runs(
            range(part.first_offset, part.first_offset + len(part.payloads))
        )
    )
    batch = decode_judged(payloads, declared, unreadable_rows(slices))
    batch = without_misplaced(batch, places, partitions)
    events = batch.transactions
    keys, groups = distinct(events.transaction_ids)
    stored = store.transactions(keys)
    known = decode_transactions(stored)
    unsettled = not_kept(events, groups, known, catalog.kept_from)
    if unsettled:
        events = events.take(np.flatnonzero(~np.isin(events.rows, [one.row for one in unsettled])))
        keys, groups = distinct(events.transaction_ids)
        stored = store.transactions(keys)
        known = decode_transactions(stored)
    merged = merge(events, groups, known)
    users, owners = distinct(events.user_ids.take(pa.array(merged.events)))
    not_live = _not_live(slices, catalog)
    user_places = np.zeros(len(users), dtype=np.int64)
    user_places[owners] = places[events.rows[merged.events]]
    table = histories_table(events, merged.events, owners, merged.before, catalog.attributes)
    contributions = _live(compiled.plans.contributions(table), user_places, not_live)
    attributes, attribute_rejections, attribute_duplicates = merge_user_attributes(
        batch.user_attributes, store
    )
    user_partitions = dict(zip(users, user_places.tolist(), strict=True))
    user_partitions |= {event.user_id.encode(): int(places[event.row]) for event in batch.user_attributes}
    rejections = [*batch.rejections, *unsettled, *merged.rejections, *attribute_rejections]
    return Change(
        catalog_revision=compiled.revision,
        expected={part.partition: before[part.partition] for part in slices},
        applied=_applied_after(slices, events, merged, before),
        transactions=_transaction_entries(events, merged, keys, stored, users, owners),
        users=_user_entries(contributions, users, store),
        user_attributes=attributes,
        user_partitions=user_partitions,
        quarantined=_quarantined(slices, payloads, rejections, clock()),
        counters=Counters(
            events=len(payloads) - len(rejections),
            duplicates=merged.duplicates + attribute_duplicates,
            batches=1,
            quarantined=_by_reason(rejections),
            last_batch_events=len(payloads),
            last_batch_at=clock(),
        ),
        computed_at=computed_at,
    )


def _not_live(slices: Sequence[Slice], catalog: Catalog) -> Mapping[int, Sequence[int]]:
    """Return the series that do not count a partition's events live, for partitions that have such."""
    dead: dict[int, list[int]] = {}
    for part in slices:
        for counted in catalog.versions:
            if counted.starts.get(part.partition, -1) >= part.first_offset:
                dead.setdefault(part.partition, []).extend(counted.series.values())
    return dead


def _live(
    contributions: Contributions, user_places: Integers, dead: Mapping[int, Sequence[int]]
) -> Contributions:
    """Leave out what versions do not count live, because it lies before their start."""
    if not dead:
        return contributions
    kept = np.ones(len(contributions.owners), dtype=np.bool_)
    places = user_places[contributions.owners]
    for partition, series in dead.items():
        kept &= ~((places == partition) & np.isin(contributions.series, series))
    return Contributions(
        contributions.owners[kept],
        contributions.series[kept],
        contributions.periods[kept],
        contributions.tokens[kept],
        contributions.values[kept],
    )


def _transaction_entries(
    events: TransactionEvents,
    merged: Merged,
    keys: Sequence[bytes],
    stored: Sequence[bytes | None],
    users: Sequence[bytes],
    owners: Integers,
) -> Entries:
    records = encode_transactions(
        StoredTransactions(
            events.users[merged.events],
            events.attributes[merged.events],
            events.histories.take(merged.events),
        )
    )
    groups: list[int] = merged.groups.tolist()
    return Entries(
        [keys[index] for index in groups],
        [stored[index] for index in groups],
        records,
        [users[owner] for owner in owners.tolist()],
    )


def _user_entries(contributions: Contributions, users: Sequence[bytes], store: Store) -> Entries:
    # Most steps before the completion change no figure: their users are not read or written.
    changed, owners = np.unique(contributions.owners, return_inverse=True)
    chosen: list[int] = changed.tolist()
    keys = [users[owner] for owner in chosen]
    stored = store.users(keys)
    return Entries(keys, stored, add_figures(stored, replace(contributions, owners=owners)), keys)


def _applied_after(
    slices: Sequence[Slice], events: TransactionEvents, merged: Merged, before: Mapping[int, Applied]
) -> dict[int, Applied]:
    """Return how far each partition is applied after a batch."""
    latest: NDArray[np.int64] = np.full(len(events.rows), _NEVER)
    if len(latest):
        latest = np.maximum.reduceat(events.histories.ats, events.histories.starts)
        latest[np.isin(events.rows, [rejection.row for rejection in merged.rejections])] = _NEVER
    applied: dict[int, Applied] = {}
    first = 0
    for part in slices:
        end = first + len(part.payloads)
        low, high = np.searchsorted(events.rows, [first, end])
        known = applied.get(part.partition, before[part.partition]).event_at
        event_at = max(int(latest[low:high].max(initial=_NEVER)), _NEVER if known is None else known)
        applied[part.partition] = Applied(
            part.first_offset + len(part.payloads) - 1, None if event_at == _NEVER else event_at
        )
        first = end
    return applied


def _quarantined(
    slices: Sequence[Slice], payloads: Sequence[bytes], rejections: Sequence[Rejection], at: int
) -> list[Quarantined]:
    starts = np.cumsum([0, *(len(part.payloads) for part in slices)])
    quarantined: list[Quarantined] = []
    for rejection in rejections:
        index = int(np.searchsorted(starts, rejection.row, side="right")) - 1
        part = slices[index]
        offset = part.first_offset + rejection.row - int(starts[index])
        payload = payloads[rejection.row]
        quarantined.append(
            Quarantined(part.partition, offset, rejection.reason.value, rejection.detail, at, payload)
        )
    return quarantined


def _by_reason(rejections: Sequence[Rejection]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for rejection in rejections:
        counts[rejection.reason.value] = counts.get(rejection.reason.value, 0) + 1
    return counts
