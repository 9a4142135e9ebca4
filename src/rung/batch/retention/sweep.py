"""Remove from a store what is no longer kept: transactions, figures, and the marks of what is done.

Records are removed by guarded changes, some at a time, while events are applied. It may be cut short and run
again: what is removed is not found again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rung.batch.proof.backfill import correction_id
from rung.batch.workshop import Workshop
from rung.campaign.catalog import Catalog
from rung.faultpoints import passing
from rung.store.again import until_stored
from rung.store.marks import MARKS, steps_marks, token_of
from rung.store.port import Change, Entries, Store
from rung.store.records import decode_figures, decode_transactions, encode_figures
from rung.transaction.history import Mask
from rung.transaction.routing import partition_of

RECORDS_AT_ONCE: Final = 2_000
ROUND_RECORDS_MAX: Final = 1_000_000
"""How many records are noted before they are removed: a survey must not stay open while much is changed."""


@dataclass(frozen=True, slots=True)
class Swept:
    """How many transactions' records are gone, and how many users' figures became fewer."""

    transactions: int = 0
    users: int = 0


class Stale:
    """Tells what of a store's records is no longer kept by a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        """Take a catalog."""
        self._kept_from = catalog.kept_from
        ranges = sorted(
            (series, *counted.periods) for counted in catalog.versions for series in counted.series.values()
        )
        self._series, self._first, self._last = (
            np.array([one[index] for one in ranges], dtype=np.int64) for index in range(3)
        )
        done = [token_of(correction_id(counted)) for counted in catalog.versions if counted.backfilled]
        self._done = np.array(done, dtype=np.uint64)
        self._steps_marks = [
            (mark.token, counted.periods[0])
            for counted in catalog.versions
            if counted.pruned_from is not None
            for mark in steps_marks(counted)
        ]

    def transactions(self, records: Sequence[bytes]) -> Mask:
        """Tell which transactions' steps all lie before what is kept."""
        if not records:
            return np.zeros(0, dtype=np.bool_)
        histories = decode_transactions(records).histories
        return np.maximum.reduceat(histories.ats, histories.starts) < self._kept_from

    def figures(self, found: NDArray[np.void]) -> Mask:
        """Tell which figures are of periods that their version does not count, or marks of what is done.

        The marks of closed periods go with the figures of these.
        """
        marks = (found["series"] == MARKS) & np.isin(found["token"], self._done)
        for token, first in self._steps_marks:
            marks |= (found["series"] == MARKS) & (found["token"] == token) & (found["period"] < first)
        if not len(self._series):
            return marks
        place = np.minimum(np.searchsorted(self._series, found["series"]), len(self._series) - 1)
        known = self._series[place] == found["series"]
        outside = (found["period"] < self._first[place]) | (found["period"] > self._last[place])
        return marks | (known & outside)


def count_stale(store: Store, stale: Stale) -> Swept:
    """Return how many records would be removed or become fewer."""
    transactions = users = 0
    with store.survey() as survey:
        for chunk in survey.transactions():
            transactions += int(stale.transactions([record for _, record in chunk]).sum())
        for found in survey.users():
            users += len(_owners(stale, [user.figures for user in found]))
    return Swept(transactions, users)


def sweep(workshop: Workshop, told: Callable[[Swept], object]) -> Swept:
    """Remove what the catalog in force no longer keeps, and return what that was.

    Args:
        workshop: What to work with.
        told: Is told what is removed so far.

    Raises:
        Overtaken: a record was changed by others at every attempt; what was removed until then stays so.
    """
    done = Swept()
    while True:
        stale = Stale(workshop.catalog())
        keys, users = _noted(workshop.store, stale)
        if not keys and not users:
            return done
        for first in range(0, len(keys), RECORDS_AT_ONCE):
            count = until_stored(partial(_remove, workshop, keys[first : first + RECORDS_AT_ONCE]))
            done = Swept(done.transactions + count, done.users)
            told(done)
        for first in range(0, len(users), RECORDS_AT_ONCE):
            count = until_stored(partial(_lessen, workshop, users[first : first + RECORDS_AT_ONCE]))
            done = Swept(done.transactions, done.users + count)
            told(done)


def _noted(store: Store, stale: Stale) -> tuple[list[bytes], list[bytes]]:
    """Return transactions to remove, and users with figures to remove."""
    keys: list[bytes] = []
    users: list[bytes] = []
    with store.survey() as survey:
        for chunk in survey.transactions():
            over = stale.transactions([record for _, record in chunk])
            keys += [chunk[index][0] for index in np.flatnonzero(over).tolist()]
            if len(keys) >= ROUND_RECORDS_MAX:
                break
        for found in survey.users():
            users += [found[index].user_id for index in _owners(stale, [user.figures for user in found])]
            if len(users) >= ROUND_RECORDS_MAX:
                break
    return keys, users


def _owners(stale: Stale, records: Sequence[bytes | None]) -> list[int]:
    owners, found = decode_figures(records)
    return np.unique(owners[stale.figures(found)]).tolist()


def _remove(workshop: Workshop, keys: Sequence[bytes]) -> int:
    """Remove those of some transactions that are over, and return how many there were."""
    revision, record = workshop.store.catalog()
    stale = Stale(Catalog.decode(record))
    found = [
        (key, stored)
        for key, stored in zip(keys, workshop.store.transactions(keys), strict=True)
        if stored is not None
    ]
    over = np.flatnonzero(stale.transactions([stored for _, stored in found])).tolist()
    if not over:
        return 0
    chosen = [found[index] for index in over]
    passing("pruning")
    ids = [key for key, _ in chosen]
    workshop.store.commit(
        Change(
            catalog_revision=revision,
            expected={},
            applied={},
            # Nobody's figures change with them, so each is a part of its own.
            transactions=Entries(ids, [stored for _, stored in chosen], [None] * len(ids), ids),
        )
    )
    return len(ids)


def _lessen(workshop: Workshop, keys: Sequence[bytes]) -> int:
    """Take from some users the figures that are no longer kept, and return how many had such."""
    revision, record = workshop.store.catalog()
    stale = Stale(Catalog.decode(record))
    stored = workshop.store.users(keys)
    owners, found = decode_figures(stored)
    gone = stale.figures(found)
    changed: list[int] = np.unique(owners[gone]).tolist()
    if not changed:
        return 0
    owners, found = owners[~gone], found[~gone]
    order = np.lexsort((found["token"], found["series"], found["period"], owners))
    counts = np.bincount(owners, minlength=len(keys))
    after = encode_figures(owners[order], found[order], len(keys))
    chosen = [keys[index] for index in changed]
    passing("pruning")
    workshop.store.commit(
        Change(
            catalog_revision=revision,
            expected={},
            applied={},
            users=Entries(
                chosen,
                [stored[index] for index in changed],
                [after[index] if counts[index] else None for index in changed],
                chosen,
            ),
            user_partitions={one: partition_of(one, workshop.log.partitions) for one in chosen},
        )
    )
    return len(chosen)
