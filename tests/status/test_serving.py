"""Statuses while the schedule moves: of the old version or of the new one, and never of both."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from rung.access.subjects import for_operator
from rung.campaign.calendar import Period, PeriodKind
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.status.reader import StatusReader
from rung.store.lmdb import LmdbStore
from rung.store.memory import MemoryStore
from rung.store.port import Change, Entries, Store
from rung.store.records import FIGURE, encode_figures
from rung.transaction.times import parse_time

SPEC = """\
campaign: small
timezone: UTC
currency: EUR
versions:
  - version: 0
    counts_from: 2021-01
    measures: {payments: {count: "amount >= 500"}}
    reward: {base_percent: "1"}
  - version: 1
    measures: {payments: {count: "amount >= 100"}}
    reward: {base_percent: "2"}
"""
AT = parse_time("2021-08-04T12:00:00Z") or 0
ROUNDS = 60
JULY, AUGUST = (Period.parse(text, PeriodKind.MONTH) for text in ("2021-07", "2021-08"))


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store]:
    """Give a store with a user who has other figures by each version and month."""
    with closing(MemoryStore() if request.param == "memory" else LmdbStore(tmp_path)) as opened:
        put_user(opened)
        yield opened


def put_user(opened: Store) -> None:
    catalog = Catalog().apply(load(SPEC, "spec"), {})
    opened.put_catalog(0, catalog.encode(), {})
    first, second = (counted.series["payments"] for counted in catalog.versions)
    rows = [
        (first, JULY.ordinal, 0, 10),
        (second, JULY.ordinal, 0, 20),
        (first, AUGUST.ordinal, 0, 11),
        (second, AUGUST.ordinal, 0, 21),
    ]
    (record,) = encode_figures(np.zeros(len(rows), dtype=np.int64), np.array(rows, dtype=FIGURE), 1)
    users = Entries([b"ann"], [None], [record], [b"ann"])
    opened.commit(Change(1, {}, {}, users=users, user_partitions={b"ann": 0}))


def shown(reader: StatusReader) -> tuple[object, ...]:
    """Return version, payments and rate of the counting and of the effective period."""
    (campaign,) = reader.status(for_operator(b"ann"), AT).campaigns
    assert campaign.counting is not None
    assert campaign.effective is not None
    return tuple(
        value
        for part in (campaign.counting, campaign.effective)
        for value in (part.version, part.measures["payments"], part.rate_percent)
    )


def test_readers_see_the_old_version_or_the_new_one(store: Store) -> None:
    """While one version replaces the other to and fro, every status is wholly of the one or the other."""
    old = (0, 11, "1.0", 0, 10, "1.0")
    new = (1, 21, "2.0", 1, 20, "2.0")
    reader = StatusReader(store, 1)
    assert shown(reader) == old
    moved = threading.Event()

    def move() -> None:
        try:
            for turn in range(ROUNDS):
                revision, record = store.catalog()
                # Both months that a status shows change hands.
                catalog = Catalog.decode(record).activate("small", 1 - turn % 2, JULY)
                store.put_catalog(revision, catalog.encode(), None)
        finally:
            moved.set()

    mover = threading.Thread(target=move)
    mover.start()
    seen: set[tuple[object, ...]] = set()
    while not moved.is_set():
        seen.add(shown(reader))
    mover.join()
    assert seen <= {old, new}
    assert shown(reader) == old
    revision, record = store.catalog()
    assert revision == 1 + ROUNDS
    store.put_catalog(revision, Catalog.decode(record).roll_back("small").encode(), None)
    assert shown(reader) == new
