"""Settle events that a worker could not: of transactions that may be older than what is kept.

Such an event waits in quarantine as `pruned`. The lake tells what its transaction has become with it. If all
of that lies before what is kept, nothing is counted of it any more, and the event is released. Otherwise the
record is stored, together with what it adds to the periods that are still counted, in one guarded change for
each user: no record of it was there, so nothing of it is in those figures, whatever came before. What it
changes in a closed or a pruned period, `rung batch adjust` finds in the lake by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from rung.batch.archive import archive_up_to
from rung.batch.retention.lake_histories import LakeHistories, events_of, owned
from rung.batch.workshop import Workshop
from rung.campaign.catalog import Catalog, CountedVersion
from rung.faultpoints import passing
from rung.plan.run import Contributions, Plans, histories_table
from rung.speed.figures import add_figures
from rung.store.again import until_stored
from rung.store.port import (
    NO_ENTRIES,
    NOTHING_APPLIED,
    Change,
    ChangeTooLarge,
    Entries,
    Quarantined,
    Store,
)
from rung.store.records import decode_transactions, encode_transactions
from rung.transaction.events import decode
from rung.transaction.history import Integers, StoredTransactions
from rung.transaction.merge import distinct
from rung.transaction.reasons import Reason
from rung.transaction.routing import partition_of

EVENTS_AT_ONCE: Final = 2_000
Forget = Callable[[Sequence[tuple[int, int]]], object]
"""Takes events out of a mirror of the quarantine."""


def no_mirror(_: Sequence[tuple[int, int]]) -> None:
    """Mirror the quarantine nowhere."""


@dataclass(frozen=True, slots=True)
class SettledEvents:
    """What became of the events that waited.

    Attributes:
        released: They are applied, or bring nothing that is still counted.
        conflicts: They contradict what came before them, and stay in quarantine for that reason.
        left: They wait still: the lake does not have them, or the stored record contradicts it.
        transactions: How many transactions got a record, or a longer one.
    """

    released: int = 0
    conflicts: int = 0
    left: int = 0
    transactions: int = 0

    def __add__(self, other: SettledEvents) -> SettledEvents:
        """Return the sums."""
        return SettledEvents(
            self.released + other.released,
            self.conflicts + other.conflicts,
            self.left + other.left,
            self.transactions + other.transactions,
        )


def waiting_events(store: Store) -> Iterator[Quarantined]:
    """Yield the events that wait to be settled and that the store has passed, in the order of positions."""
    applied = store.applied()
    after: tuple[int, int] | None = None
    while page := store.quarantine(after, EVENTS_AT_ONCE):
        after = page[-1].partition, page[-1].offset
        for event in page:
            passed = event.offset <= applied.get(event.partition, NOTHING_APPLIED).offset
            if passed and event.reason == Reason.PRUNED.value:
                yield event


def settle_pruned(
    workshop: Workshop, told: Callable[[int], object], forget: Forget = no_mirror
) -> SettledEvents:
    """Settle the events that wait in quarantine as `pruned`. It may be cut short and run again.

    Args:
        workshop: What to work with.
        told: Is told how many events have been looked at.
        forget: Takes events out of the quarantine's mirror before they are released.

    Raises:
        LakeError: the lake cannot be read, or lacks events that the log no longer has.
        Overtaken: the store was changed by others at every attempt. What was settled before stays so.
    """
    done = SettledEvents()
    page: list[Quarantined] = []
    seen = 0
    for event in waiting_events(workshop.store):
        page.append(event)
        if len(page) == EVENTS_AT_ONCE:
            done += _settle(workshop, page, forget)
            seen += len(page)
            told(seen)
            page = []
    if page:
        done += _settle(workshop, page, forget)
        told(seen + len(page))
    return done


def _settle(workshop: Workshop, waiting: Sequence[Quarantined], forget: Forget) -> SettledEvents:
    try:
        found = until_stored(lambda: _stored(workshop, waiting))
    except ChangeTooLarge:
        if len(waiting) == 1:
            raise
        middle = len(waiting) // 2
        return _settle(workshop, waiting[:middle], forget) + _settle(workshop, waiting[middle:], forget)
    passing("settled")
    # The mirror first: what is still in the store is found again if the other one fails.
    forget(found.released)
    workshop.store.release(found.released)
    return found.done


def _stored(workshop: Workshop, waiting: Sequence[Quarantined]) -> _Decided:
    """Decide what becomes of events, and store what they add."""
    found = _decided(workshop, waiting)
    passing("settling")
    if found.change is not None:
        workshop.store.commit(found.change)
    return found


@dataclass(frozen=True, slots=True)
class _Decided:
    change: Change | None
    released: Sequence[tuple[int, int]]
    done: SettledEvents


def _decided(workshop: Workshop, waiting: Sequence[Quarantined]) -> _Decided:
    """Work out what becomes of events: 1. merge what the lake has of their transactions; 2. compare with what
    is stored, and run the plans on what is more; 3. say of each event whether it is in that.
    """
    store = workshop.store
    revision, record = store.catalog()
    catalog = Catalog.decode(record)
    ends = {partition: state.offset + 1 for partition, state in store.applied().items()}
    archive_up_to(workshop.log, workshop.lake, ends)
    # What a worker could read once is read without a look at what is declared since.
    ids = decode([event.payload for event in waiting], {}, {}).transactions.transaction_ids
    rows, disowned = owned(workshop, events_of(workshop, catalog, distinct(ids)[0], ends))
    history = LakeHistories.of(rows, catalog)
    keys = history.keys
    stored = store.transactions(keys)
    known = decode_transactions(stored)
    fits = history.fit(known)
    ats = history.events.histories
    latest = np.maximum.reduceat(ats.ats, ats.starts) if len(ats) else np.zeros(0, dtype=np.int64)
    more = latest[history.merged.events] >= catalog.kept_from
    more &= fits & (ats.lengths[history.merged.events] > known.histories.lengths)
    grown = np.flatnonzero(more)
    conflicts: dict[tuple[int, int], Reason] = dict.fromkeys(disowned, Reason.USER_CHANGED)
    conflicts |= history.conflicts()
    contradicted = {keys[index] for index in np.flatnonzero(~fits).tolist()}
    in_lake = history.places()
    released: list[tuple[int, int]] = []
    relabelled: list[Quarantined] = []
    left = 0
    for event in waiting:
        place = event.partition, event.offset
        if place in conflicts:
            relabelled.append(_relabelled(event, conflicts[place]))
        elif in_lake.get(place) in contradicted or place not in in_lake:
            left += 1
        else:
            released.append(place)
    change = None
    if len(grown) or relabelled:
        change = _change(workshop, revision, catalog, history, grown, stored, known)
        change = replace(change, quarantined=relabelled)
    return _Decided(change, released, SettledEvents(len(released), len(relabelled), left, len(grown)))


def _relabelled(event: Quarantined, reason: Reason) -> Quarantined:
    head, _, _ = event.detail.rpartition(": ")
    return Quarantined(
        event.partition, event.offset, reason.value, f"{head}: {reason.sentence}", event.at, event.payload
    )


def _change(
    workshop: Workshop,
    revision: int,
    catalog: Catalog,
    history: LakeHistories,
    grown: Integers,
    stored: Sequence[bytes | None],
    known: StoredTransactions,
) -> Change:
    """Return the change that stores what transactions have become, and what that adds."""
    events = history.merged.events[grown]
    users, owners = distinct(history.events.user_ids.take(pa.array(events)))
    records = encode_transactions(
        StoredTransactions(
            history.events.users[events],
            history.events.attributes[events],
            history.events.histories.take(events),
        )
    )
    added = [
        _contributions(catalog, versions, history, events, owners, before[grown])
        for versions, before in _by_start(catalog, history, known)
    ]
    together = _joined(added)
    changed, places = np.unique(together.owners, return_inverse=True)
    figures = NO_ENTRIES
    if len(changed):
        indices: list[int] = changed.tolist()
        chosen = [users[index] for index in indices]
        found = workshop.store.users(chosen)
        after = add_figures(found, replace(together, owners=places))
        figures = Entries(chosen, found, after, chosen)
    rows: list[int] = grown.tolist()
    return Change(
        catalog_revision=revision,
        expected={},
        applied={},
        transactions=Entries(
            [history.keys[row] for row in rows],
            [stored[row] for row in rows],
            records,
            [users[owner] for owner in owners.tolist()],
        ),
        users=figures,
        user_partitions={user: partition_of(user, workshop.log.partitions) for user in users},
    )


def _by_start(
    catalog: Catalog, history: LakeHistories, known: StoredTransactions
) -> Iterator[tuple[list[CountedVersion], Integers]]:
    """Yield versions that started together, and the steps of each transaction that they count otherwise.

    Those are the steps of the stored record, and those up to the start, which are added from the lake.
    """
    groups: dict[tuple[tuple[int, int], ...], list[CountedVersion]] = {}
    for counted in catalog.versions:
        groups.setdefault(tuple(sorted(counted.starts.items())), []).append(counted)
    for versions in groups.values():
        yield versions, np.maximum(known.histories.lengths, history.steps_before(versions[0]))


def _contributions(
    catalog: Catalog,
    versions: Sequence[CountedVersion],
    history: LakeHistories,
    events: Integers,
    owners: Integers,
    before: Integers,
) -> Contributions:
    before = np.minimum(before, history.events.histories.lengths[events])
    table = histories_table(history.events, events, owners, before, catalog.attributes)
    with Plans(Catalog(catalog.campaigns, tuple(versions))) as plans:
        return plans.contributions(table)


def _joined(parts: Sequence[Contributions]) -> Contributions:
    def column(name: str) -> Any:
        return np.concatenate([np.zeros(0, dtype=np.int64), *(getattr(part, name) for part in parts)])

    return Contributions(
        column("owners"),
        column("series"),
        column("periods"),
        np.concatenate([np.zeros(0, dtype=np.uint64), *(part.tokens for part in parts)]),
        column("values"),
    )
