"""The DynamoDB store: see `rung.store.dynamodb.items` for what stands where.

Every read is strongly consistent, and nothing is kept here between two calls but the
generation, which every answer is checked against.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from rung.store.dynamodb.audit import Audit
from rung.store.dynamodb.changes import Changes
from rung.store.dynamodb.client import DynamoClient, Usage
from rung.store.dynamodb.items import (
    LASTING_KINDS,
    PartitionState,
    Tables,
    bytes_of,
    part_key,
    transaction_key,
    user_key,
)
from rung.store.dynamodb.quarantine import Quarantine
from rung.store.dynamodb.reads import items_of, pages, write_items
from rung.store.dynamodb.settings import DynamoSettings
from rung.store.dynamodb.standings import Standings
from rung.store.dynamodb.state import State
from rung.store.dynamodb.survey import DynamoSurvey
from rung.store.dynamodb.users import Users
from rung.store.port import (
    NOTHING_APPLIED,
    Applied,
    BoundLog,
    Change,
    Counters,
    Quarantined,
    Standing,
)
from rung.store.survey import Survey

BATCH_EVENTS_MAX: Final = 10_000
"""About what is stored in a second or two; a larger batch would only be visible later."""

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
        self._standings = Standings(self._client, tables, self._state, self._users)
        self._audit = Audit(self._client, tables, self._state)
        self._changes = Changes(self._client, tables, self._state, self._users, self._quarantine, self._audit)

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

    def put_catalog(
        self,
        expected_revision: int,
        record: bytes,
        reached: Mapping[int, int] | None,
        audit: tuple[int, bytes] | None = None,
    ) -> None:
        """See `Store.put_catalog`."""
        self._run(self._state.put_catalog(expected_revision, record, reached, audit))

    def audit(self, after: int, count_max: int) -> Sequence[bytes]:
        """See `Store.audit`."""
        return self._run(self._audit.after(after, count_max))

    def audit_end(self) -> tuple[int, bytes | None]:
        """See `Store.audit_end`."""
        return self._run(self._audit.end())

    def record_audit(self, expected: int, record: bytes) -> None:
        """See `Store.record_audit`."""
        self._run(self._audit.append((expected, record)))

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
        return self._run(self._standings.read(users))

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

    @contextmanager
    def survey(self) -> Generator[Survey]:
        """See `Store.survey`: each record is as it is when its page is read."""
        yield DynamoSurvey.begun(self._client, self._tables, self._state, self._users)

    # --- changes --------------------------------------------------------------------------------------------

    def commit(self, change: Change) -> None:
        """See `Store.commit`."""
        self._run(self._changes.commit(change))

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
                if item["k"]["S"] not in LASTING_KINDS and int(item["k"]["S"].split("/")[1]) != generation
            ]
            await write_items(
                self._client, self._tables.state, [{"DeleteRequest": {"Key": item}} for item in old]
            )

    def close(self) -> None:
        """See `Store.close`."""
        self._client.close()
