"""Reading what statuses are evaluated from: for a store in its thread, and for an API in its event loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rung.store.dynamodb.client import Json, LoopClient
from rung.store.dynamodb.items import (
    Item,
    Tables,
    applied_of,
    integer_of,
    partition_kind,
    state_key,
    user_key,
)
from rung.store.dynamodb.reads import binary_keys, by_key, get_items, get_items_of
from rung.store.dynamodb.settings import DynamoSettings
from rung.store.dynamodb.state import State
from rung.store.dynamodb.users import UserItem, Users
from rung.store.port import Applied, Standing


class _Places(NamedTuple):
    """How far partitions are applied, and of which generation and catalog that is."""

    generation: int
    revision: int
    applied: Mapping[int, Applied]


class Standings:
    """Reads users together with the state of their partitions. Its coroutines run in the client's loop.

    What a partition had applied before its users were read, their records hold; so the partition has to be
    read first. But it moves seldom, and only forward: where it stands as an earlier call has found it, it
    stood so while the users were read, too. So both are read in the same call, and only the users of a
    partition that has moved are read again. What is remembered of earlier calls proves that order and
    nothing else: all that is told was read after it was asked for.
    """

    def __init__(self, client: LoopClient, tables: Tables, state: State, users: Users) -> None:
        """Take an open client, and what reads through it."""
        self._client = client
        self._tables = tables
        self._state = state
        self._users = users
        # By generation and partition, as some call that has ended has found it.
        self._seen: dict[tuple[int, int], Applied] = {}

    async def read(self, users: Sequence[tuple[bytes, int]]) -> Sequence[Standing]:
        """Return the standing of each (user id, partition); see `Store.standings`."""
        while True:
            standings = await self._read(users)
            if standings is not None:
                return standings

    async def _read(self, users: Sequence[tuple[bytes, int]]) -> Sequence[Standing] | None:
        """Read users; None if a catalog was put in place or the store was reset meanwhile."""
        generation = self._state.generation
        partitions = sorted({partition for _, partition in users})
        seen = {partition: self._seen.get((generation, partition)) for partition in partitions}
        places, found = await self._look(generation, [user_id for user_id, _ in users], partitions)
        if places is None or places.generation != generation:
            return None
        applied = places.applied
        self._seen.update({(generation, partition): applied[partition] for partition in partitions})
        moved = {partition for partition in partitions if seen[partition] != applied[partition]}
        if moved:
            again = list(dict.fromkeys(user_id for user_id, partition in users if partition in moved))
            found |= zip(again, await self._users.read(generation, again), strict=True)
        items = [found[user_id] for user_id, _ in users]
        if None in items and not await self._is_current(generation, partitions[0]):
            # Who is not there may have been swept up.
            return None
        return [
            _standing(item, applied[partition], places.revision)
            for item, (_, partition) in zip(items, users, strict=True)
        ]

    async def _look(
        self, generation: int, user_ids: Sequence[bytes], partitions: Sequence[int]
    ) -> tuple[_Places | None, dict[bytes, UserItem | None]]:
        """Read users and partitions, in any order."""
        users, state = self._tables.users, self._tables.state
        keys = dict.fromkeys(user_key(generation, user_id) for user_id in user_ids)
        wanted = {users: binary_keys(keys), state: _keys_of(generation, partitions)}
        items = await get_items_of(self._client, wanted)
        found = await self._users.complete(generation, user_ids, by_key(items[users]))
        places = await self._places(generation, partitions, items[state])
        return places, dict(zip(user_ids, found, strict=True))

    async def _places(
        self, generation: int, partitions: Sequence[int], items: Sequence[Item]
    ) -> _Places | None:
        """Return how far partitions are applied, by their items as they were just read.

        A partition's item tells the catalog's revision, and is deleted with its generation; so the catalog's
        own item, which may be large, is only read where an item is missing.

        Returns:
            None if a catalog was put in place meanwhile.

        Raises:
            StoreError: there is no catalog's item.
        """
        if len(items) < len(partitions):
            head, states = await self._state.look(partitions)
            applied = {partition: state.applied for partition, state in states.items()}
            return _Places(head.generation, head.revision, applied)
        revisions = {integer_of(item, "v") for item in items}
        if len(revisions) > 1:
            return None
        by_kind = {item["k"]["S"]: applied_of(item) for item in items}
        applied = {place: by_kind[partition_kind(generation, place)] for place in partitions}
        return _Places(generation, revisions.pop(), applied)

    async def _is_current(self, generation: int, partition: int) -> bool:
        """Tell whether a generation is the present one; a partition's item is deleted with its generation."""
        found = await get_items(self._client, self._tables.state, _keys_of(generation, [partition]))
        return bool(found) or (await self._state.head()).generation == generation


def _keys_of(generation: int, partitions: Sequence[int]) -> list[Json]:
    return [state_key(partition_kind(generation, partition)) for partition in partitions]


def _standing(item: UserItem | None, applied: Applied, revision: int) -> Standing:
    if item is None:
        return Standing(None, None, applied, revision)
    # A change that is under way has brought this user further than its partition.
    further = Applied(item.offset, applied.event_at) if item.offset > applied.offset else applied
    return Standing(item.figures, item.attributes, further, revision)


class DynamoStandingsInLoop:
    """See `StandingsInLoop`: a client of its own, for the event loop that it is first used in."""

    def __init__(self, settings: DynamoSettings) -> None:
        """Take the settings; nothing is asked yet."""
        tables = Tables.of(settings.table_prefix)
        self._client = LoopClient(settings)
        state, users = State(self._client, tables), Users(self._client, tables)
        self._standings = Standings(self._client, tables, state, users)

    async def read(self, users: Sequence[tuple[bytes, int]]) -> Sequence[Standing]:
        """See `StandingsInLoop.read`."""
        return await self._standings.read(users)

    async def close(self) -> None:
        """See `StandingsInLoop.close`."""
        await self._client.disconnect()
