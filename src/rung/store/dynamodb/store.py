"""The DynamoDB store: see `rung.store.dynamodb.items` for what stands where.

A change is stored user by user, each with one transaction that is guarded by what it replaces, so an
effect, the mark that it happened and the position that a user's records hold move together. Nothing is ever
added blindly. Every read is strongly consistent, and nothing is kept here between two calls but the
generation, which every answer is checked against.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from rung.faultpoints import passing
from rung.store.backoff import Backoff
from rung.store.dynamodb.client import DynamoClient, GuardFailed, Json, Usage
from rung.store.dynamodb.items import (
    Item,
    PartitionState,
    Tables,
    binary,
    bytes_of,
    part_key,
    transaction_key,
    user_key,
)
from rung.store.dynamodb.parts import CALL_ITEMS_MAX, Write, calls_of, keys_by_table
from rung.store.dynamodb.quarantine import Quarantine
from rung.store.dynamodb.reads import items_of, pages, write_items
from rung.store.dynamodb.settings import DynamoSettings
from rung.store.dynamodb.state import State
from rung.store.dynamodb.users import UserItem, Users
from rung.store.port import (
    NOTHING_APPLIED,
    Applied,
    BoundLog,
    Change,
    Counters,
    Overtaken,
    Quarantined,
    Standing,
    StoreBusy,
)

BATCH_EVENTS_MAX: Final = 4_000
"""About what is stored in a second or two; a larger batch would only be visible later."""
_WRITE_ATTEMPTS_MAX: Final = 10

_T = TypeVar("_T")


class DynamoStore:
    """A `Store` in three tables. Safe to use from several threads."""

    def __init__(self, settings: DynamoSettings) -> None:
        """Connect; see `open`."""
        tables = Tables.of(settings.table_prefix)
        self._tables = tables
        self._client = DynamoClient(settings)
        self._state = State(self._client, tables)
        self._quarantine = Quarantine(self._client, tables)
        self._users = Users(self._client, tables)

    @classmethod
    def open(cls, settings: DynamoSettings) -> DynamoStore:
        """Open the store.

        Raises:
            StoreError: the tables are not there, or may not be used; the text names the fix.
            StoreBusy: DynamoDB cannot be reached.
        """
        store = cls(settings)
        try:
            store._run(store._state.head())
        except BaseException:
            store.close()
            raise
        return store

    @property
    def usage(self) -> Usage:
        """What this process has asked of DynamoDB since the store was opened."""
        return self._client.usage

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._client.run(work)

    # --- positions and catalog ----------------------------------------------------------------------------

    def applied(self) -> Mapping[int, Applied]:
        """See `Store.applied`."""
        states: Mapping[int, PartitionState] = self._run(self._state.partitions())
        return {p: state.applied for p, state in states.items() if state.applied != NOTHING_APPLIED}

    def moment(self) -> int | None:
        """See `Store.moment`: there is none, every write is guarded by what it replaces."""
        return None

    def reached(self) -> Mapping[int, int]:
        """See `Store.reached`."""
        states: Mapping[int, PartitionState] = self._run(self._state.partitions())
        return {p: state.reached for p, state in states.items() if state.reached >= 0}

    def bind(self, log: BoundLog) -> BoundLog:
        """See `Store.bind`."""
        return self._run(self._state.bind(log))

    def bound(self) -> BoundLog | None:
        """See `Store.bound`."""
        return self._run(self._state.head()).log

    def counters(self) -> Counters:
        """See `Store.counters`."""
        states: Mapping[int, PartitionState] = self._run(self._state.partitions())
        total = Counters()
        for state in sorted(states.values(), key=lambda state: state.counters.last_batch_at):
            if state.counters != Counters():
                total = state.counters.added_to(total)
        return total

    def catalog(self) -> tuple[int, bytes | None]:
        """See `Store.catalog`."""
        head = self._run(self._state.head())
        return head.revision, head.catalog

    def put_catalog(self, expected_revision: int, record: bytes, reached: Mapping[int, int]) -> None:
        """See `Store.put_catalog`."""
        self._run(self._state.put_catalog(expected_revision, record, reached))

    def reset(self, catalog_record: bytes) -> None:
        """See `Store.reset`. It holds at once; the items of before are deleted afterwards."""
        self._run(self._state.reset(catalog_record))
        self._run(self._sweep())

    # --- records --------------------------------------------------------------------------------------------

    def standing(self, user_id: bytes, partition: int) -> Standing:
        """See `Store.standing`."""
        return self.standings([(user_id, partition)])[0]

    def standings(self, users: Sequence[tuple[bytes, int]]) -> Sequence[Standing]:
        """See `Store.standings`."""
        return self._run(self._standings(users))

    async def _standings(self, users: Sequence[tuple[bytes, int]]) -> Sequence[Standing]:
        """Read the partitions first: what they had applied then, the users' items hold now."""
        while True:
            head, states = await self._state.look(sorted({partition for _, partition in users}))
            items = await self._users.read(head.generation, [user_id for user_id, _ in users])
            if None in items and (await self._state.head()).generation != head.generation:
                # The store was reset meanwhile: who is not there may have been swept up.
                continue
            return [
                _standing(items[index], states[place].applied, head.revision)
                for index, (_, place) in enumerate(users)
            ]

    def transactions(self, transaction_ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """See `Store.transactions`."""
        return self._run(self._transactions(transaction_ids))

    async def _transactions(self, transaction_ids: Sequence[bytes]) -> list[bytes | None]:
        generation = self._state.generation
        keys = [transaction_key(generation, transaction_id) for transaction_id in transaction_ids]
        found = await items_of(self._client, self._tables.transactions, keys)
        return [bytes_of(found[key], "h") if key in found else None for key in keys]

    def users(self, user_ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """See `Store.users`."""
        items = self._run(self._users.read(self._state.generation, user_ids))
        return [None if item is None else item.figures for item in items]

    def user_attributes(self, user_ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """See `Store.user_attributes`."""
        items = self._run(self._users.read(self._state.generation, user_ids))
        return [None if item is None else item.attributes for item in items]

    def every_user(self) -> Iterable[tuple[bytes, bytes]]:
        """See `Store.every_user`; each user is as it is when its page is read."""
        generation = self._state.generation
        prefix = user_key(generation, b"")
        scan = {
            "TableName": self._tables.users,
            "FilterExpression": "begins_with(k, :prefix)",
            "ExpressionAttributeValues": {":prefix": binary(prefix)},
            "ProjectionExpression": "k",
        }
        listing = pages(self._client, "Scan", scan)
        while (page := self._run(_next_page(listing))) is not None:
            ids = [(bytes_of(item, "k") or b"")[len(prefix) :] for item in page]
            for user_id, found in zip(ids, self._run(self._users.read(generation, ids)), strict=True):
                if found is not None and found.figures is not None:
                    yield user_id, found.figures

    # --- changes --------------------------------------------------------------------------------------------

    def commit(self, change: Change) -> None:
        """See `Store.commit`."""
        self._run(self._commit(change))

    async def _commit(self, change: Change) -> None:
        """Store a change.

        1. check what it expects, before anything is written; 2. if it fits one call, store it at once;
        3. otherwise open it, 4. write what is quarantined, 5. write the users' parts, and 6. close it.
        """
        states = await self._state.begin(change)
        generation = self._state.generation
        calls = calls_of(change, self._tables, generation)
        counters = await self._counters(change, states, generation)
        moves = self._state.at_once(change, states, counters)
        if not change.quarantined and len(calls) <= 1 and sum(map(len, calls)) + len(moves) <= CALL_ITEMS_MAX:
            await self._write(calls[0] if calls else [], change, moves)
            return
        if change.applied:
            await self._state.open(change, states)
        passing("opened")
        await self._quarantine.put(generation, change.quarantined)
        await self._client.all_of([partial(self._write_part, call, change) for call in calls])
        passing("parts_written")
        if change.applied:
            await self._write([], change, self._state.closing(change, states, counters))

    async def _counters(
        self, change: Change, states: Mapping[int, PartitionState], generation: int
    ) -> Counters:
        """Return a change's counters, with what an attempt before it put into quarantine.

        What is stored in part already may look like a duplicate now where it was a conflict before; it is in
        quarantine, and counted there.
        """
        known = {(event.partition, event.offset) for event in change.quarantined}
        reasons = dict(change.counters.quarantined)
        more = 0
        for partition, applied in change.applied.items():
            before, reached = states[partition].applied.offset, states[partition].reached
            if reached <= before:
                continue
            until = min(reached, applied.offset)
            found = await self._quarantine.reasons(generation, partition, before, until)
            for offset, reason in found.items():
                if (partition, offset) not in known:
                    reasons[reason] = reasons.get(reason, 0) + 1
                    more += 1
        counters = change.counters
        return replace(counters, events=counters.events - more, quarantined=reasons) if more else counters

    async def _write_part(self, writes: Sequence[Write], change: Change) -> None:
        await self._write(writes, change, ())
        passing("part_written")

    async def _write(self, writes: Sequence[Write], change: Change, moves: Sequence[Json]) -> None:
        """Write one call, all of it or nothing.

        When a guard does not hold, what is stored tells why: an attempt whose answer was lost has done it, or
        another worker was there.

        Raises:
            Overtaken: another worker was there.
        """
        items = [*(write.request for write in writes), *moves]
        if not items:
            return
        sizes = [*(write.bytes for write in writes), *(0 for _ in moves)]
        backoff = Backoff()
        for _ in range(_WRITE_ATTEMPTS_MAX):
            try:
                await self._client.transact(items, sizes)
            except GuardFailed:
                if await self._is_done(writes, change, moves):
                    return
                if moves or not await self._is_open(writes):
                    raise Overtaken("another worker has written what the change was computed from") from None
                # It was as expected a moment ago, so it was another's attempt that came to nothing.
                await asyncio.sleep(backoff.next_seconds())
            else:
                return
        raise StoreBusy(f"a transaction was refused {_WRITE_ATTEMPTS_MAX} times, though its guards hold")

    async def _is_done(self, writes: Sequence[Write], change: Change, moves: Sequence[Json]) -> bool:
        items = await self._found(writes)
        if not all(write.is_done(items[write.table, write.key]) for write in writes):
            return False
        return not moves or await self._state.is_closed(change)

    async def _is_open(self, writes: Sequence[Write]) -> bool:
        items = await self._found(writes)
        return all(write.is_open(items[write.table, write.key]) for write in writes)

    async def _found(self, writes: Sequence[Write]) -> Mapping[tuple[str, bytes], Item]:
        found: dict[tuple[str, bytes], Item] = {(write.table, write.key): {} for write in writes}
        for table, keys in keys_by_table(writes).items():
            found |= {(table, key): item for key, item in (await items_of(self._client, table, keys)).items()}
        return found

    # --- quarantine -----------------------------------------------------------------------------------------

    def quarantine(self, after: tuple[int, int] | None, count_max: int) -> Sequence[Quarantined]:
        """See `Store.quarantine`."""
        return self._run(self._quarantined_after((-1, -1) if after is None else after, count_max))

    async def _quarantined_after(self, after: tuple[int, int], count_max: int) -> list[Quarantined]:
        head = await self._state.head()
        found: list[Quarantined] = []
        for partition in head.partitions:
            if partition >= after[0] and len(found) < count_max:
                offset = after[1] if partition == after[0] else -1
                left = count_max - len(found)
                found += await self._quarantine.after(head.generation, partition, offset, left)
        return found

    def quarantined(self, partition: int, offset: int) -> Quarantined | None:
        """See `Store.quarantined`."""
        return self._run(self._quarantine.one(self._state.generation, partition, offset))

    def release(self, positions: Sequence[tuple[int, int]]) -> int:
        """See `Store.release`."""
        return self._run(self._quarantine.release(self._state.generation, positions))

    async def _sweep(self) -> None:
        """Delete what other generations have left behind."""
        generation = (await self._state.head()).generation
        users = (user_key(generation, b""), part_key(generation, 0, b"")[:3])
        for table, kept in (
            (self._tables.users, users),
            (self._tables.transactions, (transaction_key(generation, b""),)),
        ):
            async for page in pages(self._client, "Scan", {"TableName": table, "ProjectionExpression": "k"}):
                old = [item for item in page if not (bytes_of(item, "k") or b"").startswith(kept)]
                await write_items(self._client, table, [{"DeleteRequest": {"Key": item}} for item in old])
        scan = {"TableName": self._tables.state, "ProjectionExpression": "k, n"}
        async for page in pages(self._client, "Scan", scan):
            old = [
                item
                for item in page
                if item["k"]["S"] != "catalog" and int(item["k"]["S"].split("/")[1]) != generation
            ]
            await write_items(
                self._client, self._tables.state, [{"DeleteRequest": {"Key": item}} for item in old]
            )

    def close(self) -> None:
        """See `Store.close`."""
        self._client.close()


def _standing(item: UserItem | None, applied: Applied, revision: int) -> Standing:
    if item is None:
        return Standing(None, None, applied, revision)
    # A change that is under way has brought this user further than its partition.
    further = Applied(item.offset, applied.event_at) if item.offset > applied.offset else applied
    return Standing(item.figures, item.attributes, further, revision)


async def _next_page(listing: AsyncIterator[list[Item]]) -> list[Item] | None:
    return await anext(listing, None)
