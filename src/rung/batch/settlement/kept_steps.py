"""Keep with each user which steps a closed result has met, so that every status tells what was closed.

1. the steps of each user who met others than somebody unknown become marks among the user's figures
(`rung.store.marks`), by guarded changes beside live traffic; 2. the catalog says that the period is closed,
by one compare-and-set with its audit entry. From then on statuses tell the closed steps and rate. Each may be
cut short, and both are done again: the marks are those of the file, which never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rung.batch.adding import add_to_users
from rung.batch.settlement.closed import Closed, step_columns
from rung.campaign.catalog import Catalog
from rung.campaign.described import closed_texts
from rung.faultpoints import passing
from rung.plan.run import Contributions
from rung.status.ladder import of_nobody
from rung.store.again import until_stored
from rung.store.audit import due_audit
from rung.store.marks import MARKS, STEPS_OF_MARK, steps_marks
from rung.store.port import Store
from rung.store.records import decode_figures
from rung.transaction.merge import distinct

USERS_AT_ONCE: Final = 5_000
_AUDITED_MAX: Final = 100
_MARKS: Final = pa.schema(
    [pa.field("user_id", pa.string()), pa.field("token", pa.uint64()), pa.field("value", pa.int64())]
)


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where steps are kept, and who has it done: for the audit list. `clock` gives microseconds."""

    store: Store
    partitions: int
    clock: Callable[[], int]
    who: str
    action: str
    subject: str


def keep_steps(keeping: Keeping, closed: Sequence[Closed], told: Callable[[int], object]) -> None:
    """Keep the steps of closed periods with their users, and have the catalog say that they are closed.

    One that the catalog has as closed is done, and one that was pruned is shown nowhere: they are left out.

    Args:
        keeping: Where, and who has it done.
        closed: The periods.
        told: Is told of how many marks it is known that they are there, period by period.

    Raises:
        CatalogRefused: another version serves one of the periods by now. Nothing is changed.
        Overtaken: a user was changed by others at every attempt; what was stored until then stays.
    """
    before = Catalog.decode(keeping.store.catalog()[1])
    due = [one for one in closed if one.is_due_in(before)]
    _with(before, due)
    for one in due:
        marks = marks_of(one)
        for first in range(0, marks.num_rows, USERS_AT_ONCE):
            part = marks.slice(first, USERS_AT_ONCE)
            until_stored(partial(_store, keeping, one.ordinal, part))
            told(first + part.num_rows)
    if due:
        until_stored(partial(_say, keeping, due))


def marks_of(closed: Closed) -> pa.Table:
    """Return the marks of the users of a closed period, in the order of its result.

    Returns:
        A table of user_id, token (uint64) and value (int64); users without a mark are not in it.
    """
    columns = step_columns(closed.counted)
    rows = pq.read_table(closed.files.rows, columns=["user_id", *columns])
    nobody = [step.met for step in of_nobody(closed.counted)]
    user_ids = rows.column("user_id").combine_chunks()
    parts = [_MARKS.empty_table()]
    for mark in steps_marks(closed.counted):
        values = np.zeros(rows.num_rows, dtype=np.int64)
        for index in range(mark.first, min(mark.first + STEPS_OF_MARK, len(columns))):
            differs = rows.column(columns[index]).to_numpy() != nobody[index]
            values |= differs.astype(np.int64) << (index - mark.first)
        chosen = np.flatnonzero(values)
        tokens = np.full(len(chosen), mark.token, dtype=np.uint64)
        marks = (user_ids.take(pa.array(chosen)), pa.array(tokens), pa.array(values[chosen]))
        parts.append(pa.table(dict(zip(_MARKS.names, marks, strict=True)), schema=_MARKS))
    return pa.concat_tables(parts)


def _with(catalog: Catalog, closed: Iterable[Closed]) -> Catalog:
    for one in closed:
        origin = one.manifest.origin
        catalog = catalog.with_closed(origin.campaign, origin.version, one.period)
    return catalog


def _store(keeping: Keeping, ordinal: int, marks: pa.Table) -> None:
    """Store the marks that are not there yet."""
    store = keeping.store
    keys, owners = distinct(marks.column("user_id").combine_chunks().cast(pa.binary()))
    computed_at = store.moment()
    revision = store.catalog()[0]
    stored = store.users(keys)
    holders, figures = decode_figures(stored)
    own = (figures["series"] == MARKS) & (figures["period"] == ordinal)
    known = dict(
        zip(
            zip(holders[own].tolist(), figures["token"][own].tolist(), strict=True),
            figures["value"][own].tolist(),
            strict=True,
        )
    )
    tokens, values = marks.column("token").to_numpy(), marks.column("value").to_numpy()
    there = np.array(
        [known.get(key, 0) for key in zip(owners.tolist(), tokens.tolist(), strict=True)], dtype=np.int64
    )
    lacking = np.flatnonzero(values != there)
    if len(lacking) == 0:
        return
    places, owners = np.unique(owners[lacking], return_inverse=True)
    chosen: list[int] = places.tolist()
    before = [stored[index] for index in chosen]
    users = [keys[index] for index in chosen]
    added = Contributions(
        owners,
        np.full(len(lacking), MARKS, dtype=np.int64),
        np.full(len(lacking), ordinal, dtype=np.int64),
        tokens[lacking].astype(np.uint64),
        (values - there)[lacking],
    )
    passing("keeping_steps")
    add_to_users(store, keeping.partitions, revision, computed_at, users, before, added)


def _say(keeping: Keeping, closed: Sequence[Closed]) -> None:
    """Have the catalog say that periods are closed, in one write with the audit entry."""
    revision, record = keeping.store.catalog()
    before = Catalog.decode(record)
    after = _with(before, closed)
    results = {
        f"{one.manifest.origin.campaign} {one.period}": one.manifest.sha256 for one in closed[:_AUDITED_MAX]
    }
    audit = due_audit(
        keeping.store,
        keeping.clock,
        keeping.who,
        keeping.action,
        keeping.subject,
        {"closed": _described(before)},
        {"closed": _described(after), "results": results},
        "",
    )
    passing("steps_kept")
    keeping.store.put_catalog(revision, after.encode(), None, audit)


def _described(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    return {
        f"{counted.campaign.name}/{counted.version.number}": closed_texts(counted)
        for counted in catalog.versions
        if counted.closed
    }
