"""Ways to damage a store so that verification must find it: each names the cause that it has to be given."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import xxhash

from rung.campaign.catalog import Catalog
from rung.plan.run import Contributions
from rung.speed.figures import add_figures
from rung.store.port import NO_ENTRIES, Change, Entries, Store
from rung.store.records import (
    UserAttributes,
    decode_transactions,
    decode_user_attributes,
    encode_transactions,
    encode_user_attributes,
    figures,
)
from rung.transaction.history import Histories, StoredTransactions


@dataclass(frozen=True)
class Victim:
    """A user with what the store has of it: figures, attributes, and records by transaction id."""

    user_id: bytes
    figures: bytes | None
    attributes: bytes | None
    transactions: Mapping[bytes, bytes]


@dataclass(frozen=True)
class Damage:
    """What to write: new records by key (None: removed)."""

    transactions: Mapping[bytes, bytes | None] = field(default_factory=dict[bytes, "bytes | None"])
    figures: tuple[bytes | None, ...] = ()
    attributes: tuple[bytes | None, ...] = ()


def victims_of(store: Store) -> list[Victim]:
    """Return every user with all that a store has of it."""
    with store.survey() as survey:
        users = [user for chunk in survey.users() for user in chunk]
        records = dict(chain.from_iterable(survey.transactions()))
    by_user: dict[int, dict[bytes, bytes]] = {}
    for (key, record), digest in zip(
        records.items(), decode_transactions(list(records.values())).users.tolist(), strict=True
    ):
        by_user.setdefault(digest, {})[key] = record
    return [
        Victim(
            user.user_id,
            user.figures,
            user.attributes,
            by_user.get(xxhash.xxh3_64_intdigest(user.user_id), {}),
        )
        for user in sorted(users)
    ]


Tamper = Callable[[Victim, Catalog, random.Random], Damage | None]
"""Returns the damage, None if the user has nothing to damage this way."""


def _steps(record: bytes, histories: Callable[[Histories], Histories]) -> bytes:
    stored = decode_transactions([record])
    return encode_transactions(
        StoredTransactions(stored.users, stored.attributes, histories(stored.histories))
    )[0]


def record_deleted(victim: Victim, catalog: Catalog, seed: random.Random) -> Damage | None:
    if not victim.transactions:
        return None
    return Damage({seed.choice(sorted(victim.transactions)): None})


def record_cut(victim: Victim, catalog: Catalog, seed: random.Random) -> Damage | None:
    """Take the last step away from a record."""
    long = [
        key
        for key, record in sorted(victim.transactions.items())
        if decode_transactions([record]).histories.lengths[0] > 1
    ]
    if not long:
        return None
    key = seed.choice(long)

    def cut(found: Histories) -> Histories:
        return Histories.of_lengths(
            found.lengths - 1, found.statuses[:-1], found.ats[:-1], found.amounts[:-1]
        )

    return Damage({key: _steps(victim.transactions[key], cut)})


def record_altered(victim: Victim, catalog: Catalog, seed: random.Random) -> Damage | None:
    """Change the amount of a record's first step."""
    if not victim.transactions:
        return None
    key = seed.choice(sorted(victim.transactions))

    def alter(found: Histories) -> Histories:
        amounts = found.amounts.copy()
        amounts[0] += 1 + seed.randrange(1_000)
        return Histories.of_lengths(found.lengths, found.statuses, found.ats, amounts)

    return Damage({key: _steps(victim.transactions[key], alter)})


def record_duplicated(victim: Victim, catalog: Catalog, seed: random.Random) -> Damage | None:
    """Store a record under one more id."""
    if not victim.transactions:
        return None
    key = seed.choice(sorted(victim.transactions))
    return Damage({b"copy-of-" + key[:100]: victim.transactions[key]})


def _added(record: bytes | None, rows: Sequence[tuple[int, int, int, int]]) -> bytes:
    series, periods, tokens, values = (np.array(column) for column in zip(*rows, strict=True))
    return add_figures(
        [record],
        Contributions(
            np.zeros(len(rows), dtype=np.int64),
            series.astype(np.int64),
            periods.astype(np.int64),
            tokens.astype(np.uint64),
            values.astype(np.int64),
        ),
    )[0]


def figure_altered(victim: Victim, catalog: Catalog, seed: random.Random) -> Damage | None:
    rows = list(figures(victim.figures))
    if not rows:
        return None
    series, period, token, _ = seed.choice(rows)
    return Damage(figures=(_added(victim.figures, [(series, period, token, 7 + seed.randrange(50))]),))


def figures_doubled(victim: Victim, catalog: Catalog, seed: random.Random) -> Damage | None:
    rows = list(figures(victim.figures))
    return Damage(figures=(_added(victim.figures, rows),)) if rows else None


def figures_deleted(victim: Victim, catalog: Catalog, seed: random.Random) -> Damage | None:
    return Damage(figures=(None,)) if list(figures(victim.figures)) else None


def versions_swapped(victim: Victim, catalog: Catalog, seed: random.Random) -> Damage | None:
    """Give the first version of the campaign `versions` the figures of its second one."""
    first, second = (
        {series: name for name, series in counted.series.items()}
        for counted in catalog.versions
        if counted.campaign.name == "versions" and counted.version.number < 2
    )
    by_name = {name: series for series, name in first.items()}
    rows = list(figures(victim.figures))
    old = [(series, period, token, -value) for series, period, token, value in rows if series in first]
    new = [
        (by_name[second[series]], period, token, value)
        for series, period, token, value in rows
        if series in second and second[series] in by_name
    ]
    after = _added(victim.figures, [*old, *new]) if old or new else victim.figures
    return None if after == victim.figures else Damage(figures=(after,))


def attributes_altered(victim: Victim, catalog: Catalog, seed: random.Random) -> Damage | None:
    if victim.attributes is None:
        return None
    told = decode_user_attributes(victim.attributes)
    changed = {**told.values, "points": seed.randrange(10_000) + 10_000}
    return Damage(attributes=(encode_user_attributes(UserAttributes(told.sequence, changed)),))


def attributes_deleted(victim: Victim, catalog: Catalog, seed: random.Random) -> Damage | None:
    return None if victim.attributes is None else Damage(attributes=(None,))


TAMPERS: Mapping[str, tuple[Tamper, str]] = {
    "record deleted": (record_deleted, "transaction_behind"),
    "record cut": (record_cut, "transaction_behind"),
    "record altered": (record_altered, "transaction_altered"),
    "record duplicated": (record_duplicated, "transaction_unknown"),
    "figure altered": (figure_altered, "sum_mismatch"),
    "figures doubled": (figures_doubled, "sum_mismatch"),
    "figures deleted": (figures_deleted, "sum_mismatch"),
    "attributes altered": (attributes_altered, "attributes"),
    "attributes deleted": (attributes_deleted, "attributes"),
}


def tamper(store: Store, victim: Victim, damage: Damage, partition: int) -> None:
    """Write the damage as the store would write anything else."""
    user = victim.user_id
    changed = dict(damage.transactions)
    keys = list(changed)
    store.commit(
        Change(
            catalog_revision=store.catalog()[0],
            expected={},
            applied={},
            transactions=Entries(
                keys, store.transactions(keys), [changed[key] for key in keys], [user] * len(keys)
            ),
            users=Entries([user], [victim.figures], damage.figures, [user]) if damage.figures else NO_ENTRIES,
            user_attributes=Entries([user], [victim.attributes], damage.attributes, [user])
            if damage.attributes
            else NO_ENTRIES,
            user_partitions={user: partition},
        )
    )
