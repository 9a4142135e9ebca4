"""The audit list: one item for each entry, and how many there are in the catalog's item."""

from __future__ import annotations

from collections.abc import Sequence

from rung.store.dynamodb.client import DynamoClient, GuardFailed, Json
from rung.store.dynamodb.items import (
    AUDIT_KIND,
    CATALOG_KEY,
    AuditWrites,
    Tables,
    bytes_of,
    number,
    text,
)
from rung.store.dynamodb.reads import pages
from rung.store.dynamodb.state import State
from rung.store.port import Overtaken, StoreError


class Audit:
    """Reads and appends audit entries. Its coroutines run in the client's loop."""

    def __init__(self, client: DynamoClient, tables: Tables, state: State) -> None:
        """Take an open client, and what reads the catalog's item."""
        self._client = client
        self._table = tables.state
        self._state = state

    async def after(self, number_before: int, count_max: int) -> list[bytes]:
        """Return at most so many records behind a number, in order."""
        query = {
            "TableName": self._table,
            "KeyConditionExpression": "k = :k AND n > :n",
            "ExpressionAttributeValues": {":k": text(AUDIT_KIND), ":n": number(number_before)},
            "Limit": count_max,
        }
        found: list[bytes] = []
        async for items in pages(self._client, "Query", query):
            found += [bytes_of(item, "x") or b"" for item in items]
            if len(found) >= count_max:
                break
        return found[:count_max]

    async def end(self) -> tuple[int, bytes | None]:
        """Return how many entries there are, and the last record."""
        count = (await self._state.head()).audited
        if count == 0:
            return 0, None
        last = await self.after(count - 1, 1)
        if not last:
            raise StoreError(f"audit entry {count}, the last one, is missing from table {self._table}")
        return count, last[0]

    async def append(self, audit: tuple[int, bytes]) -> None:
        """Append an entry.

        Raises:
            Overtaken: another one came first.
        """
        try:
            await self._client.transact(self.writes(audit), [0, len(audit[1])])
        except GuardFailed:
            # An attempt whose answer was lost may have done it.
            if not await self._state.holds(audit):
                raise Overtaken(f"the audit list has another number of entries than {audit[0]}") from None

    def writes(self, audit: tuple[int, bytes]) -> Sequence[Json]:
        """Return the writes that append an entry, for a call that does nothing else to the catalog's item."""
        due = AuditWrites.of(self._table, audit)
        update = {
            "TableName": self._table,
            "Key": CATALOG_KEY,
            "UpdateExpression": f"SET {due.update}",
            "ConditionExpression": due.condition,
            "ExpressionAttributeValues": due.values,
        }
        return [{"Update": update}, due.put]
