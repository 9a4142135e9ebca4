"""The DynamoDB store passes the contract on DynamoDB Local, and completes what was cut short."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import user_records
from rung import faultpoints
from rung.store.dynamodb.client import Json
from rung.store.dynamodb.settings import DynamoSettings
from rung.store.dynamodb.store import DynamoStore
from rung.store.dynamodb.tables import create_tables, describe_tables, drop_tables
from rung.store.port import (
    NOTHING_APPLIED,
    Applied,
    Change,
    ChangeTooLarge,
    Counters,
    Entries,
    Overtaken,
    StoreBusy,
    StoreError,
)
from rung.store.records import FIGURE, encode_figures, join_figures, split_figures
from store.contract import AT, Open, StoreContract, change, entries, quarantined, surveyed_transactions
from store.dynamodb_local import made, new_settings


class TestDynamoStore(StoreContract):
    """The contract."""

    def opener(self, tmp_path_factory: pytest.TempPathFactory) -> Open:
        """Return a function that opens the same tables each time."""
        settings = made(new_settings())
        return lambda: DynamoStore.open(settings)


class Cut(Exception):
    """The process would die here."""


@pytest.fixture
def settings() -> DynamoSettings:
    """Return the settings of empty tables, written with one call at a time."""
    return made(new_settings(concurrent_calls=1))


@pytest.fixture
def store(settings: DynamoSettings) -> Iterator[DynamoStore]:
    """Return an empty store."""
    store = DynamoStore.open(settings)
    yield store
    store.close()


@contextmanager
def at(point: str, action: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Do something whenever a point is passed."""
    with monkeypatch.context() as patch:
        patch.setattr(faultpoints, "_armed", {})
        faultpoints.arm(point, action)
        yield


def cut() -> None:
    """End here."""
    raise Cut


USERS = [f"user-{number}".encode() for number in range(150)]


def large_change(**changes: object) -> Change:
    """Return a change of 150 users with a transaction each: it takes several calls."""
    transactions = Entries(
        [b"t-" + user for user in USERS], [None] * len(USERS), [b"history"] * len(USERS), USERS
    )
    users = Entries(USERS, [None] * len(USERS), [b"figures"] * len(USERS), USERS)
    counters = Counters(150, 0, 1, {}, 150, AT)
    return change(transactions=transactions, users=users, counters=counters, **changes)


def decided_again(store: DynamoStore, intended: Change) -> Change:
    """Return what is left of a change when its events are decided again: what is not stored yet."""

    def left(entries: Entries, stored: Sequence[bytes | None]) -> Entries:
        open_ = [index for index, record in enumerate(stored) if record != entries.after[index]]
        return Entries(
            [entries.keys[index] for index in open_],
            [stored[index] for index in open_],
            [entries.after[index] for index in open_],
            [entries.users[index] for index in open_],
        )

    return replace(
        intended,
        transactions=left(intended.transactions, store.transactions(intended.transactions.keys)),
        users=left(intended.users, store.users(intended.users.keys)),
        quarantined=[],
        counters=replace(intended.counters, quarantined={}),
    )


@pytest.mark.parametrize("point", ["opened", "part_written", "parts_written"])
def test_a_change_that_was_cut_short_is_completed(
    store: DynamoStore, settings: DynamoSettings, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a change ends, its positions stay; deciding it again stores the rest, and counts it once."""
    bad = quarantined(0, 3)
    intended = large_change(quarantined=[bad], expected={0: NOTHING_APPLIED}, applied={0: Applied(150, AT)})
    intended = replace(intended, counters=Counters(150, 0, 1, {"not_json": 1}, 151, AT))
    with at(point, cut, monkeypatch), pytest.raises(Cut):
        store.commit(intended)
    assert dict(store.applied()) == {}
    assert dict(store.reached()) == {0: 150}
    assert store.counters() == Counters()
    written = sum(record is not None for record in store.users(USERS))
    assert (written == 0, written == len(USERS)) == (point == "opened", point == "parts_written")

    other = DynamoStore.open(settings)
    again = decided_again(other, intended)
    if point == "opened":
        again = replace(again, quarantined=[bad], counters=intended.counters)
    else:
        # What was a conflict looks like a duplicate now.
        again = replace(again, counters=Counters(151, 1, 1, {}, 151, AT))
    other.commit(again)
    assert list(other.users(USERS)) == [b"figures"] * len(USERS)
    assert list(other.transactions(intended.transactions.keys)) == [b"history"] * len(USERS)
    assert dict(other.applied()) == {0: Applied(150, AT)} == {0: Applied(other.reached()[0], AT)}
    assert (other.counters().events, other.counters().quarantined) == (150, {"not_json": 1})
    assert list(other.quarantine(None, 10)) == [bad]
    other.close()


def test_a_user_tells_its_own_position(store: DynamoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a change is under way, a user that has it already is ahead of its partition, and says so."""
    with at("parts_written", cut, monkeypatch), pytest.raises(Cut):
        store.commit(large_change(applied={0: Applied(149, AT)}))
    assert store.standing(USERS[0], 0).applied == Applied(149, None)
    assert store.standing(b"somebody else", 0).applied == NOTHING_APPLIED


def test_a_campaign_applied_meanwhile_starts_behind_what_is_reached(
    store: DynamoStore, settings: DynamoSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A catalog may come while a change is open: it starts behind it, and the change is closed all the same."""
    other = DynamoStore.open(settings)

    def apply_campaign() -> None:
        with pytest.raises(Overtaken):
            other.put_catalog(0, b"catalog", {})
        other.put_catalog(0, b"catalog", {0: 149})

    with at("opened", apply_campaign, monkeypatch):
        store.commit(large_change(applied={0: Applied(149, AT)}))
    assert store.catalog() == (1, b"catalog")
    assert dict(store.applied()) == {0: Applied(149, AT)}
    with pytest.raises(Overtaken):
        store.commit(change(expected={0: Applied(149, AT)}, applied={0: Applied(150, AT)}))
    other.close()


def test_a_zombie_writes_nothing_over_the_new_owner(
    store: DynamoStore, settings: DynamoSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers with the same events open at the same time: each user is written once, and one closes."""
    other = DynamoStore.open(settings)
    mine, theirs = large_change(applied={0: Applied(149, AT)}), large_change(applied={0: Applied(199, AT)})
    theirs = replace(theirs, users=theirs.users._replace(after=[b"figures, and more"] * len(USERS)))

    with at("opened", lambda: _once(lambda: other.commit(theirs)), monkeypatch), pytest.raises(Overtaken):
        store.commit(mine)
    assert set(store.users(USERS)) == {b"figures, and more"}
    assert dict(store.applied()) == {0: Applied(199, AT)}
    assert store.counters().events == 150
    other.close()


def _once(action: Callable[[], object]) -> None:
    """Act at the first passing of a point only."""
    faultpoints._armed.clear()
    action()


def test_many_transactions_of_one_user_are_refused_at_once(store: DynamoStore) -> None:
    """A user's part that has no room in one call is refused before anything is written."""
    keys = [b"%d" % number for number in range(100)]
    part = Entries(keys, [None] * 100, [b"history"] * 100, [b"u"] * 100)
    with pytest.raises(ChangeTooLarge):
        store.commit(change(transactions=part, users=entries((b"u", b"figures"))))
    assert dict(store.reached()) == {}
    fitting = Entries(keys[:99], [None] * 99, [b"history"] * 99, [b"u"] * 99)
    store.commit(change(transactions=fitting, users=entries((b"u", b"figures"))))
    assert list(store.transactions(keys)) == [b"history"] * 99 + [None]


def figures_of(count: int, distinct: int = 0) -> bytes:
    """Return a user's record with so many counts and distinct values, over many periods."""
    rows = np.zeros(count + distinct, dtype=FIGURE)
    rows["series"] = np.arange(count + distinct) % 7 + 1
    rows["period"] = 600 + np.arange(count + distinct) // 7
    rows["token"][count:] = np.arange(distinct) + 1
    rows["value"] = np.arange(count + distinct) - 3
    rows = rows[np.lexsort((rows["token"], rows["series"], rows["period"]))]
    return encode_figures(np.zeros(len(rows), dtype=np.int64), rows, 1)[0]


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 3_000))
def test_parts_make_the_same_record(count: int, distinct: int, bytes_max: int) -> None:
    """Whatever the size of the parts, they are within it, and together they are the record, byte for byte."""
    record = figures_of(count, distinct)
    parts = split_figures(record, bytes_max)
    assert join_figures(parts) == record
    assert all(len(part) <= max(bytes_max, 3 + 21) for part in parts)


def test_a_large_user_is_kept_in_parts(store: DynamoStore) -> None:
    """Figures beyond an item's limit are stored and read whole; a new one rewrites the newest part alone."""
    before, after = figures_of(0, 45_000), figures_of(0, 45_007)
    assert len(before) > 900_000
    store.commit(change(users=entries((b"u", before))))
    assert list(store.users([b"u"])) == [before]
    assert store.standing(b"u", 0).figures == before
    assert user_records(store) == {b"u": before}
    units = store.usage.write_units
    store.commit(
        change(
            expected={0: Applied(4, AT)}, applied={0: Applied(5, AT)}, users=entries((b"u", after), u=before)
        )
    )
    assert list(store.users([b"u"])) == [after]
    assert store.usage.write_units - units < 200


def test_what_is_removed_leaves_nothing(store: DynamoStore, settings: DynamoSettings) -> None:
    """A user that loses both records is gone with all older parts, and parts that are needed no more, too."""
    large, smaller = figures_of(0, 9_000), figures_of(0, 2_000)
    steps = [
        (large, b"attributes", 6),
        (smaller, b"attributes", 2),
        (large, b"attributes", 6),
        (None, b"attributes", 1),
        (large, b"attributes", 6),
        (large, None, 6),
        (None, None, 0),
    ]
    figures = attributes = None
    for offset, (next_figures, next_attributes, items) in enumerate(steps):
        moved = {
            kind: Entries([b"u"], [before], [after], [b"u"])
            for kind, before, after in (
                ("users", figures, next_figures),
                ("user_attributes", attributes, next_attributes),
            )
            if before != after
        }
        before = {0: Applied(offset - 1, AT) if offset else NOTHING_APPLIED}
        store.commit(change(expected=before, applied={0: Applied(offset, AT)}, **moved))
        figures, attributes = next_figures, next_attributes
        assert list(store.users([b"u"])) == [figures]
        assert list(store.user_attributes([b"u"])) == [attributes]
        assert describe_tables(settings)[0].items == items


def test_a_survey_of_many_pages(store: DynamoStore) -> None:
    """A survey reads every page of every segment, and joins what is in parts."""
    users, keys = [b"u%d" % number for number in range(5)], [b"t%d" % number for number in range(40)]
    record, history = figures_of(0, 5_000), bytes(300 << 10)
    store.commit(
        change(
            users=entries(*((user, record) for user in users)),
            transactions=entries(*((key, history) for key in keys)),
        )
    )
    with store.survey() as survey:
        found = [user for chunk in survey.users() for user in chunk]
        assert sorted(found) == [(user, record, None, 4) for user in users]
        calls = store.usage.calls["Scan"]
        assert surveyed_transactions(survey) == dict.fromkeys(keys, history)
        assert store.usage.calls["Scan"] - calls > 8


def test_a_survey_tells_who_is_ahead(store: DynamoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users whose part of an open change is stored say so; the others are as of what is applied."""
    store.commit(change(users=entries((b"somebody else", b"figures"))))
    large = large_change(expected={0: Applied(4, AT)}, applied={0: Applied(149, AT)})
    with at("parts_written", cut, monkeypatch), pytest.raises(Cut):
        store.commit(large)
    with store.survey() as survey:
        offsets = {user.user_id: user.offset for chunk in survey.users() for user in chunk}
        assert dict(survey.applied) == {0: 4}
    assert offsets == {b"somebody else": 4} | dict.fromkeys(USERS, 149)


def test_a_survey_that_a_reset_overtakes(store: DynamoStore) -> None:
    """A survey of what a reset sweeps up is refused at its end: it may have missed records."""
    store.commit(change(users=entries((b"u", b"figures"))))
    with store.survey() as survey:
        store.reset(b"catalog")
        for reading in (survey.users, survey.transactions):
            with pytest.raises(Overtaken):
                list(reading())


@pytest.mark.parametrize("point", ["opened", "parts_written"])
def test_an_audit_entry_comes_with_the_positions(
    store: DynamoStore, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry of a change of many calls is not there before the whole change is."""
    intended = large_change(applied={0: Applied(149, AT)}, audit=(0, b"entry"))
    with at(point, cut, monkeypatch), pytest.raises(Cut):
        store.commit(intended)
    assert store.audit_end() == (0, None)
    store.commit(decided_again(store, intended))
    assert store.audit_end() == (1, b"entry")
    assert dict(store.applied()) == {0: Applied(149, AT)}


def test_an_audit_entry_that_comes_meanwhile(
    store: DynamoStore, settings: DynamoSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change whose entry came too late does not move the positions; decided again it is completed."""
    other = DynamoStore.open(settings)
    intended = large_change(applied={0: Applied(149, AT)}, audit=(0, b"mine"))
    with at("opened", lambda: other.record_audit(0, b"theirs"), monkeypatch), pytest.raises(Overtaken):
        store.commit(intended)
    other.close()
    assert dict(store.applied()) == {}
    store.commit(replace(decided_again(store, intended), audit=(1, b"mine")))
    assert list(store.audit(0, 10)) == [b"theirs", b"mine"]
    assert dict(store.applied()) == {0: Applied(149, AT)}


def test_an_answer_that_was_lost(store: DynamoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done though its answer was lost is done once: its guard fails, and what is stored tells why."""
    send = store._client.transact

    async def send_twice(items: Sequence[Json], sizes: Sequence[int]) -> None:
        await send(items, sizes)
        await send(items, sizes)

    monkeypatch.setattr(store._client, "transact", send_twice)
    store.record_audit(0, b"first")
    store.put_catalog(0, b"catalog", {}, (1, b"second"))
    small = change(catalog_revision=1, users=entries((b"u", b"figures")), audit=(2, b"third"))
    store.commit(small)
    correction = change(
        catalog_revision=1,
        expected={},
        applied={},
        users=entries((b"u", None), u=b"figures"),
        audit=(3, b"fourth"),
    )
    store.commit(correction)
    large = large_change(
        catalog_revision=1, expected={0: Applied(4, AT)}, applied={0: Applied(149, AT)}, audit=(4, b"fifth")
    )
    store.commit(large)
    assert list(store.audit(0, 10)) == [b"first", b"second", b"third", b"fourth", b"fifth"]
    assert store.catalog() == (1, b"catalog")
    assert dict(store.applied()) == {0: Applied(149, AT)}
    assert store.counters().events == 150
    for late in (
        lambda: store.record_audit(4, b"late"),
        lambda: store.put_catalog(1, b"x", None, (4, b"late")),
    ):
        with pytest.raises(Overtaken):
            late()


def test_the_most_partitions_move_with_an_audit_entry(store: DynamoStore) -> None:
    """As many partitions as a store holds get a new catalog, and move, together with an entry."""
    before, after = dict.fromkeys(range(98), NOTHING_APPLIED), dict.fromkeys(range(98), Applied(0, None))
    store.commit(Change(0, before, after, audit=(0, b"first")))
    store.put_catalog(0, b"catalog", dict.fromkeys(range(98), 0), (1, b"second"))
    store.put_catalog(1, b"another", None, (2, b"third"))
    assert list(store.audit(0, 10)) == [b"first", b"second", b"third"]
    assert dict(store.applied()) == after


def test_a_large_payload_is_kept_whole(store: DynamoStore) -> None:
    """A quarantined event larger than an item is there byte for byte, until it is released."""
    large = quarantined(0, 2, bytes(range(256)) * 4_096)
    store.commit(change(quarantined=[quarantined(0, 1), large]))
    assert list(store.quarantine(None, 10)) == [quarantined(0, 1), large]
    assert store.quarantined(0, 2) == large
    assert store.release([(0, 2)]) == 1
    assert store.quarantined(0, 2) is None


def test_a_reset_leaves_nothing_behind(store: DynamoStore, settings: DynamoSettings) -> None:
    """After a reset the tables hold the catalog's item and nothing else."""
    store.commit(large_change(applied={0: Applied(149, AT)}))
    store.reset(b"catalog")
    assert [found.items for found in describe_tables(settings)] == [0, 0, 1]


def test_a_small_change_is_one_write(store: DynamoStore) -> None:
    """A change that fits one call is stored by it, positions and counters included."""
    store.commit(change())
    calls = store.usage.calls.copy()
    store.commit(
        change(
            expected={0: Applied(4, AT)},
            applied={0: Applied(5, AT)},
            users=entries((b"u", b"figures")),
            transactions=entries((b"t", b"history"), user=b"u"),
        )
    )
    assert dict(store.usage.calls - calls) == {"BatchGetItem": 1, "TransactWriteItems": 1}


def test_more_partitions_than_a_transaction_moves(store: DynamoStore) -> None:
    """A log with more partitions than can move with the catalog is refused with the fix."""
    with pytest.raises(StoreError, match="more than 98 partitions"):
        store.commit(
            Change(0, dict.fromkeys(range(100), NOTHING_APPLIED), dict.fromkeys(range(100), Applied(0, None)))
        )


def test_missing_tables() -> None:
    """Without tables the error names the command that makes them; an unfinished set is completed."""
    settings = new_settings()
    with pytest.raises(StoreError, match="rung store create"):
        DynamoStore.open(settings)
    made(settings)
    assert [found.status for found in create_tables(settings)] == ["ACTIVE"] * 3
    DynamoStore.open(settings).close()
    drop_tables(settings)
    assert [found.status for found in describe_tables(settings)] == ["MISSING"] * 3


def test_nobody_answers() -> None:
    """A DynamoDB that cannot be reached is a passing trouble, told after the last attempt."""
    settings = replace(new_settings(), endpoint_url="http://127.0.0.1:9", attempts_max=2)
    with pytest.raises(StoreBusy, match="in 2 attempts"):
        DynamoStore.open(settings)
