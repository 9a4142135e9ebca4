"""Merge: the histories of one transaction form a chain by prefix, and the longest is kept.

Whatever order, duplicates and gaps the events come with, the same history remains. What does not
fit the chain is a conflict: the event that came later is rejected, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rung.transaction.events import TransactionEvents
from rung.transaction.history import Histories, Integers, Mask, StoredTransactions
from rung.transaction.reasons import Reason, Rejection

_LENGTH_BITS: Final = 20
"""A history of an event of at most 64 KiB has fewer than 2^20 steps."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome of a merge.

    Transaction `groups[i]` has the history of event `events[i]`, of which `before[i]` steps were
    known. `duplicates` counts the events that brought nothing.
    """

    events: Integers
    groups: Integers
    before: Integers
    duplicates: int
    rejections: Sequence[Rejection]


def distinct(ids: pa.BinaryArray) -> tuple[list[bytes], Integers]:
    """Return the distinct ids in ascending order, and for each of `ids` its index there."""
    encoded = ids.dictionary_encode()
    order = pc.array_sort_indices(encoded.dictionary)
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order.to_numpy()] = np.arange(len(order))
    return encoded.dictionary.take(order).to_pylist(), ranks[encoded.indices.to_numpy()]


def merge(events: TransactionEvents, groups: Integers, stored: StoredTransactions) -> Merged:
    """Merge a batch's events, in their order, into what is known of their transactions.

    Event i is of transaction `groups[i]`, of which `stored` tells the history.
    """
    count, known = len(groups), stored.histories.lengths
    lengths = events.histories.lengths
    pool = events.histories.followed_by(stored.histories)
    by_length = np.lexsort((np.arange(count), -lengths, groups))
    longest = by_length[np.unique(groups[by_length], return_index=True)[1]]
    grows = lengths[longest] > known
    chain = np.where(grows, longest, count + np.arange(len(known)))

    fits = _same_owner(events, groups, stored)
    others = np.flatnonzero(chain[groups] != np.arange(count))
    fits[others] &= pool.begin_with(chain[groups[others]], others)
    consistent = np.ones(len(known), dtype=np.bool_)
    consistent[groups[~fits]] = False
    extended = np.flatnonzero(grows & (known > 0))
    consistent[extended] &= pool.begin_with(chain[extended], count + extended)

    changed = np.flatnonzero(grows & consistent)
    winners, before = chain[changed], known[changed]
    duplicates = _duplicates(groups, lengths, known, consistent)
    rejections: list[Rejection] = []
    if not consistent.all():
        for suspect in np.flatnonzero(~consistent):
            kept = _in_order(
                int(suspect), np.flatnonzero(groups == suspect), events, stored, pool, rejections
            )
            duplicates += kept.duplicates
            if kept.event is not None:
                winners = np.append(winners, kept.event)
                changed = np.append(changed, suspect)
                before = np.append(before, known[suspect])
    return Merged(winners, changed, before, duplicates, rejections)


def _same_owner(events: TransactionEvents, groups: Integers, stored: StoredTransactions) -> Mask:
    """Tell which events have the user and attributes that their transaction is known with."""
    first = np.full(len(stored.users), len(groups), dtype=np.int64)
    np.minimum.at(first, groups, np.arange(len(groups)))
    known = stored.histories.lengths > 0
    users = np.where(known, stored.users, events.users[first])
    attributes = np.where(known, stored.attributes, events.attributes[first])
    return (events.users == users[groups]) & (events.attributes == attributes[groups])


def _duplicates(groups: Integers, lengths: Integers, known: Integers, consistent: Mask) -> int:
    """Count the events that are no longer than what came before them, in consistent transactions."""
    order = np.argsort(groups, kind="stable")
    high = groups[order] << _LENGTH_BITS
    so_far = np.maximum.accumulate(np.maximum(high + lengths[order], high + known[groups[order]]))
    before = high + known[groups[order]]
    before[1:] = np.maximum(before[1:], so_far[:-1])
    return int(np.count_nonzero((high + lengths[order] <= before) & consistent[groups[order]]))


@dataclass(frozen=True, slots=True)
class _Kept:
    event: int | None
    duplicates: int


def _in_order(
    suspect: int,
    members: Integers,
    events: TransactionEvents,
    stored: StoredTransactions,
    pool: Histories,
    rejections: list[Rejection],
) -> _Kept:
    """Merge the events of a transaction with a conflict one after the other."""
    at = len(events.rows) + suspect
    kept: int | None = at if pool.lengths[at] > 0 else None
    user, attributes = stored.users[suspect], stored.attributes[suspect]
    duplicates = 0
    for member in members:
        event = int(member)
        if kept is None:
            kept, user, attributes = event, events.users[event], events.attributes[event]
            continue
        reason = None
        if events.users[event] != user:
            reason = Reason.USER_CHANGED
        elif events.attributes[event] != attributes:
            reason = Reason.ATTRIBUTES_CHANGED
        else:
            longer = pool.lengths[event] > pool.lengths[kept]
            whole, part = (event, kept) if longer else (kept, event)
            if not pool.begin_with(np.array([whole]), np.array([part]))[0]:
                reason = Reason.HISTORY_CONFLICT
            elif longer:
                kept = event
            else:
                duplicates += 1
        if reason is not None:
            transaction_id = events.transaction_ids[event].as_py().decode()
            detail = f"transaction {transaction_id!r}: {reason.sentence}"
            rejections.append(Rejection(int(events.rows[event]), reason, detail))
    return _Kept(kept if kept != at else None, duplicates)
