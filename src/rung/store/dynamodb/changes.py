"""Storing a change.

A change is stored user by user, each with one transaction that is guarded by what it replaces, so an
effect, the mark that it happened and the position that a user's records hold move together. Nothing is ever
added blindly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from rung.faultpoints import passing
from rung.store.backoff import Backoff
from rung.store.dynamodb.audit import Audit
from rung.store.dynamodb.client import DynamoClient, GuardFailed, Json
from rung.store.dynamodb.items import Item, PartitionState, Tables
from rung.store.dynamodb.parts import CALL_ITEMS_MAX, Write, calls_of, keys_by_table
from rung.store.dynamodb.quarantine import Quarantine
from rung.store.dynamodb.reads import items_of
from rung.store.dynamodb.state import State
from rung.store.dynamodb.users import Users
from rung.store.port import Change, Counters, Entries, Overtaken, StoreBusy

_WRITE_ATTEMPTS_MAX: Final = 10


class Changes:
    """Stores changes. Its coroutines run in the client's loop."""

    def __init__(
        self,
        client: DynamoClient,
        tables: Tables,
        state: State,
        users: Users,
        quarantine: Quarantine,
        audit: Audit,
    ) -> None:
        """Take an open client, and what reads and writes the parts of a store."""
        self._client = client
        self._tables = tables
        self._state = state
        self._users = users
        self._quarantine = quarantine
        self._audit = audit

    async def commit(self, change: Change) -> None:
        """Store a change.

        1. check what it expects, before anything is written; 2. if it fits one call, store it at once;
        3. otherwise open it, 4. write what is quarantined, 5. write the users' parts, and 6. close it. The
        audit entry is in the only call, or in the one that closes.
        """
        states = await self._state.begin(change)
        generation = self._state.generation
        change = await self._completed(change, generation)
        calls = calls_of(change, self._tables, generation)
        counters = await self._counters(change, states, generation)
        audit: Sequence[Json] = () if change.audit is None else self._audit.writes(change.audit)
        moves = [*self._state.at_once(change, states, counters), *audit]
        if not change.quarantined and len(calls) <= 1 and sum(map(len, calls)) + len(moves) <= CALL_ITEMS_MAX:
            await self._write(calls[0] if calls else [], change, moves)
            return
        if change.applied:
            await self._state.open(change, states)
        passing("opened")
        await self._quarantine.put(generation, change.quarantined)
        await self._client.all_of([partial(self._write_part, call, change) for call in calls])
        passing("parts_written")
        await self._write([], change, [*self._state.closing(change, states, counters), *audit])

    async def _completed(self, change: Change, generation: int) -> Change:
        """Return the same change, which names both records of each user of whom it removes one.

        Only so it is known whether the user's item has something left.
        """
        no_figures = sorted(set(change.users.removed()).difference(change.user_attributes.keys))
        no_attributes = sorted(set(change.user_attributes.removed()).difference(change.users.keys))
        if not no_figures and not no_attributes:
            return change
        found = await self._users.read(generation, [*no_figures, *no_attributes])
        attributes = [None if user is None else user.attributes for user in found[: len(no_figures)]]
        figures = [None if user is None else user.figures for user in found[len(no_figures) :]]
        return replace(
            change,
            users=_with_kept(change.users, no_attributes, figures),
            user_attributes=_with_kept(change.user_attributes, no_figures, attributes),
        )

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
        if not moves:
            return True
        is_audited = change.audit is None or await self._state.holds(change.audit)
        return is_audited and await self._state.is_closed(change)

    async def _is_open(self, writes: Sequence[Write]) -> bool:
        items = await self._found(writes)
        return all(write.is_open(items[write.table, write.key]) for write in writes)

    async def _found(self, writes: Sequence[Write]) -> Mapping[tuple[str, bytes], Item]:
        found: dict[tuple[str, bytes], Item] = {(write.table, write.key): {} for write in writes}
        for table, keys in keys_by_table(writes).items():
            found |= {(table, key): item for key, item in (await items_of(self._client, table, keys)).items()}
        return found


def _with_kept(entries: Entries, users: Sequence[bytes], records: Sequence[bytes | None]) -> Entries:
    """Return entries together with those that keep the records of some users as they are."""
    return Entries(
        [*entries.keys, *users],
        [*entries.before, *records],
        [*entries.after, *records],
        [*entries.users, *users],
    )
