"""Backfill: add the past to a version that started amid events.

The version counts live what stands behind its start in each partition (`CountedVersion.starts`). What it
would have counted up to there comes from the lake, and is added to each user as one correction with an id: it
may be cut short and done again, beside the live traffic. When every user has it, the version is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rung.batch.adding import add_to_users
from rung.batch.retention.settle_pruned import Forget, no_mirror, settle_pruned
from rung.batch.snapshots import version_key
from rung.batch.workshop import Workshop
from rung.campaign.catalog import Catalog, CountedVersion
from rung.faultpoints import passing
from rung.plan.run import Contributions
from rung.store.again import until_stored
from rung.store.audit import due_audit
from rung.store.corrections import have, with_marks
from rung.store.marks import token_of
from rung.transaction.merge import distinct

USERS_AT_ONCE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Backfilled:
    """What was done: how many users have a past in the version, and how many of them had it already."""

    users: int
    before: int


def backfill(
    workshop: Workshop,
    campaign: str,
    number: int,
    who: str,
    reason: str,
    told: Callable[[int, int], object],
    forget: Forget = no_mirror,
) -> Backfilled:
    """Add what the lake has up to the start of a version, and mark the version complete.

    Args:
        workshop: What to work with.
        campaign: The campaign's name.
        number: The version's number; one that is complete already is left as it is.
        who: Who does it.
        reason: Why.
        told: Is told how many users have their past, and how many there are.
        forget: Takes events out of the quarantine's mirror before they are released.

    Raises:
        CatalogRefused: there is no such version.
        LakeError: the lake does not hold everything up to the start.
        Overtaken: a user was changed by others at every attempt; what was added until then stays.
    """
    counted = workshop.catalog().version(campaign, number)
    if counted.complete:
        return Backfilled(0, 0)
    # The lake's past has the events that wait to be settled: all versions are to have them.
    settle_pruned(workshop, _unheard, forget)
    ends = {partition: counted.starts.get(partition, -1) + 1 for partition in range(workshop.log.partitions)}
    done = workshop.aggregate_to(ends)
    passing("past_aggregated")
    files = list(done.snapshot.figures[version_key(counted)].values())
    tables = [pq.read_table(workshop.snapshots.path(name)) for name in files]
    total = sum(len(np.unique(np.asarray(table.column("user_id").to_pylist()))) for table in tables)
    correction = correction_id(counted)
    users = before = 0
    for table in tables:
        for chunk in _by_users(table):
            added, had = _add(workshop, counted, correction, chunk)
            users += added + had
            before += had
            told(users, total)
    _complete(workshop, counted, users, who, reason)
    return Backfilled(users, before)


def _unheard(_: int) -> None:
    """Say nothing of the events that are settled."""


def correction_id(counted: CountedVersion) -> str:
    """Return the id of the correction that adds a version's past."""
    return f"backfill/{counted.campaign.name}/{counted.version.number}/{counted.version.identity}"


def _by_users(table: pa.Table) -> Iterator[pa.Table]:
    """Yield the figures of some users at a time; they are sorted by user."""
    owners = table.column("user_id").to_pylist()
    firsts = [index for index, one in enumerate(owners) if index == 0 or owners[index - 1] != one]
    bounds = [*firsts[::USERS_AT_ONCE], len(owners)]
    for first, end in pairwise(bounds):
        yield table.slice(first, end - first)


def _add(workshop: Workshop, counted: CountedVersion, correction: str, figures: pa.Table) -> tuple[int, int]:
    """Add figures to their users, and return how many got them, and how many had them already."""
    token = token_of(correction)
    keys, owners = distinct(figures.column("user_id").combine_chunks().cast(pa.binary()))
    everything = Contributions(
        owners,
        figures.column("series").to_numpy().astype(np.int64),
        figures.column("period").to_numpy().astype(np.int64),
        figures.column("token").to_numpy().astype(np.uint64),
        figures.column("value").to_numpy().astype(np.int64),
    )

    def added() -> int:
        computed_at = workshop.store.moment()
        stored = workshop.store.users(keys)
        lacking = np.flatnonzero(~have(stored, token))
        if len(lacking) == 0:
            return 0
        places = np.full(len(keys), -1, dtype=np.int64)
        places[lacking] = np.arange(len(lacking))
        kept = np.flatnonzero(places[everything.owners] >= 0)
        contributions = Contributions(
            places[everything.owners[kept]],
            everything.series[kept],
            everything.periods[kept],
            everything.tokens[kept],
            everything.values[kept],
        )
        chosen = [keys[index] for index in lacking.tolist()]
        before = [stored[index] for index in lacking.tolist()]
        marked = with_marks(contributions, np.arange(len(chosen)), token)
        passing("backfilling")
        store, partitions = workshop.store, workshop.log.partitions
        add_to_users(store, partitions, store.catalog()[0], computed_at, chosen, before, marked)
        return len(chosen)

    count = until_stored(added)
    return count, len(keys) - count


def _complete(workshop: Workshop, counted: CountedVersion, users: int, who: str, reason: str) -> None:
    """Mark the version complete, and say so in the audit list, in one write."""
    name, number = counted.campaign.name, counted.version.number

    def completed() -> None:
        revision, record = workshop.store.catalog()
        after = Catalog.decode(record).with_backfilled(name, number)
        audit = due_audit(
            workshop.store,
            workshop.clock,
            who,
            "batch.backfill",
            f"{name}/{number}",
            {"complete": False},
            {"complete": True, "users": users},
            reason,
        )
        passing("backfilled")
        workshop.store.put_catalog(revision, after.encode(), None, audit)

    until_stored(completed)
