"""What statuses are evaluated from, on DynamoDB Local: read in one call, and never told before it was applied."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from rung.store.dynamodb.client import Json
from rung.store.dynamodb.settings import DynamoSettings
from rung.store.dynamodb.standings import DynamoStandingsInLoop
from rung.store.dynamodb.store import DynamoStore
from rung.store.port import NOTHING_APPLIED, Applied, Standing
from store.contract import AT, change, entries
from store.dynamodb_local import made, new_settings

USER = (b"u", 0)


@pytest.fixture
def settings() -> DynamoSettings:
    """Return the settings of empty tables."""
    return made(new_settings())


@pytest.fixture
def store(settings: DynamoSettings) -> Iterator[DynamoStore]:
    """Return a store in which partition 0 is applied up to 4, with a user."""
    store = DynamoStore.open(settings)
    store.commit(change(users=entries((b"u", b"four"))))
    yield store
    store.close()


def five(store: DynamoStore) -> None:
    """Apply the next event, which changes the user."""
    store.commit(
        change(
            expected={0: Applied(4, AT)},
            applied={0: Applied(5, AT)},
            users=entries((b"u", b"five"), u=b"four"),
        )
    )


def test_one_call(store: DynamoStore) -> None:
    """Where a partition stands as before, it and its users are read in one call; the catalog is not."""
    due = Standing(b"four", None, Applied(4, AT), 0)
    assert list(store.standings([USER])) == [due]
    calls = store.usage.calls.copy()
    assert list(store.standings([USER, USER])) == [due, due]
    assert dict(store.usage.calls - calls) == {"BatchGetItem": 1}


def test_a_partition_that_moves_between(
    store: DynamoStore, settings: DynamoSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When an event is applied after the users were read and before their partition was, they are read again."""
    assert store.standings([USER])[0].figures == b"four"
    other = DynamoStore.open(settings)
    call = store._client.call
    users, state = store._tables.users, store._tables.state
    split = 0

    async def split_in_two(operation: str, payload: Json) -> Json:
        nonlocal split
        wanted: dict[str, Any] = payload.get("RequestItems", {})
        if set(wanted) != {users, state}:
            return await call(operation, payload)
        split += 1
        first = await call(operation, {"RequestItems": {users: wanted[users]}})
        await asyncio.to_thread(five, other)
        then = await call(operation, {"RequestItems": {state: wanted[state]}})
        return {"Responses": {**first["Responses"], **then["Responses"]}}

    monkeypatch.setattr(store._client, "call", split_in_two)
    assert list(store.standings([USER])) == [Standing(b"five", None, Applied(5, AT), 0)]
    assert split == 1
    other.close()


def test_a_catalog_and_a_reset(store: DynamoStore, settings: DynamoSettings) -> None:
    """A new catalog tells its revision with the next read, and after a reset nothing of before is told."""
    reads = DynamoStandingsInLoop(settings)

    async def read() -> list[Standing]:
        return list(await reads.read([USER, (b"nobody", 3)]))

    async def everything() -> None:
        before = Standing(b"four", None, Applied(4, AT), 0)
        assert await read() == [before, Standing(None, None, NOTHING_APPLIED, 0)]
        await asyncio.to_thread(store.put_catalog, 0, b"catalog", {0: 4})
        assert [standing.catalog_revision for standing in await read()] == [1, 1]
        await asyncio.to_thread(store.reset, b"other")
        assert await read() == [Standing(None, None, NOTHING_APPLIED, 2)] * 2
        await reads.close()
        await reads.close()

    asyncio.run(everything())


def test_many_users_of_many_partitions(store: DynamoStore, settings: DynamoSettings) -> None:
    """In the loop of those who ask, each gets the same as from the store, however many keys that takes."""
    users = [(b"user-%d" % number, number % 60) for number in range(120)]
    places = {user_id: place for user_id, place in users if place > 0}
    changed = change(
        expected=dict.fromkeys(range(1, 60), NOTHING_APPLIED),
        applied={partition: Applied(partition, AT) for partition in range(1, 60)},
        users=entries(*((user_id, b"of " + user_id) for user_id in places)),
    )
    store.commit(replace(changed, user_partitions=places))

    async def read() -> list[Standing]:
        reads = DynamoStandingsInLoop(settings)
        found = list(await reads.read(users))
        await reads.close()
        return found

    found = asyncio.run(read())
    assert found == list(store.standings(users))
    assert found[7] == Standing(b"of user-7", None, Applied(7, AT), 0)
