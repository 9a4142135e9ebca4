"""The catalog and the partitions: what moves together whatever number of users a change has.

A change that does not fit one call is opened, written and closed. To open it says how far its partitions are
reached from now on; to close it moves the positions there. Whoever finds a partition that has been reached
further than it is applied knows that events in between may be stored in part. A catalog is put in place of
another together with its revision in every partition, so no change can be opened by older rules from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from rung.store.dynamodb.client import GuardFailed, Json, LoopClient
from rung.store.dynamodb.items import (
    AUDIT_KIND,
    CATALOG_KEY,
    AuditWrites,
    Head,
    PartitionState,
    Tables,
    binary,
    bytes_of,
    counter_values,
    number,
    partition_kind,
    partition_state,
    partitions_value,
    state_key,
    text,
)
from rung.store.dynamodb.reads import UNITS, get_items
from rung.store.dynamodb.settings import PARTITIONS_MAX
from rung.store.port import Applied, BoundLog, Change, Counters, Overtaken, StoreError, guard_audit

CATALOG_BYTES_MAX: Final = 350 << 10
_ITEM_BYTES: Final = 512
"""About the size of a partition's item."""


class State:
    """Reads and moves the catalog and the partitions. Its coroutines run in the client's loop."""

    def __init__(self, client: LoopClient, tables: Tables) -> None:
        """Take an open client."""
        self._client = client
        self._table = tables.state
        self._generation = 0

    @property
    def generation(self) -> int:
        """The generation that the last look at the catalog told."""
        return self._generation

    async def head(self) -> Head:
        """Read the catalog's item.

        Raises:
            StoreError: there is none.
        """
        answer = await self._client.call(
            "GetItem", {"TableName": self._table, "Key": CATALOG_KEY, "ConsistentRead": True, **UNITS}
        )
        if "Item" not in answer:
            raise StoreError(f"table {self._table} is empty: complete it with `rung store create`")
        head = Head.of(answer["Item"])
        self._generation = head.generation
        return head

    async def partitions(self) -> dict[int, PartitionState]:
        """Return the state of every partition that was begun."""
        head = await self.head()
        return await self._of_partitions(head.partitions)

    async def _of_partitions(self, partitions: Sequence[int]) -> dict[int, PartitionState]:
        return (await self.look(partitions))[1]

    async def look(self, partitions: Sequence[int]) -> tuple[Head, dict[int, PartitionState]]:
        """Return the catalog's item and the states of some partitions; each is as it is now.

        Raises:
            StoreError: there is no catalog's item.
        """
        while True:
            generation = self._generation
            kinds = {partition: partition_kind(generation, partition) for partition in partitions}
            keys = [CATALOG_KEY, *(state_key(kind) for kind in kinds.values())]
            by_kind = {item["k"]["S"]: item for item in await get_items(self._client, self._table, keys)}
            head = await self.head() if "catalog" not in by_kind else Head.of(by_kind["catalog"])
            self._generation = head.generation
            if head.generation == generation:
                return head, {place: partition_state(by_kind.get(kind)) for place, kind in kinds.items()}

    async def begin(self, change: Change) -> dict[int, PartitionState]:
        """Return the states of a change's partitions, after making items for those that are new.

        So every other write finds an item to guard.

        Raises:
            Overtaken: the catalog or a partition has moved on.
            StoreError: the log has too many partitions.
        """
        head, states = await self.look(sorted(change.applied))
        if head.revision != change.catalog_revision:
            raise Overtaken(f"the catalog is at revision {head.revision}, not {change.catalog_revision}")
        for partition, expected in change.expected.items():
            found = states[partition].applied
            if found != expected:
                raise Overtaken(
                    f"partition {partition} is applied up to {found.offset}, not {expected.offset}"
                )
        guard_audit(change.audit, head.audited)
        new = sorted(set(change.applied) - set(head.partitions))
        if not new:
            return states
        await self._make_partitions(head, new)
        return await self._of_partitions(sorted(change.applied))

    async def _make_partitions(self, head: Head, new: Sequence[int]) -> None:
        every = tuple(sorted({*head.partitions, *new}))
        if len(every) > PARTITIONS_MAX:
            raise StoreError(
                f"the log has more than {PARTITIONS_MAX} partitions, the most that a DynamoDB store holds: "
                "use a topic with fewer, or an LMDB store"
            )
        values = {":p": partitions_value(every), ":was_p": partitions_value(head.partitions)}
        puts = [
            {
                "Put": {
                    "TableName": self._table,
                    "Item": {
                        **state_key(partition_kind(head.generation, partition)),
                        "o": number(-1),
                        "b": number(-1),
                        "v": number(head.revision),
                    },
                    "ConditionExpression": "attribute_not_exists(k)",
                }
            }
            for partition in new
        ]
        try:
            await self._transact([self._head_update(head, "SET p = :p", values), *puts])
        except GuardFailed:
            # An attempt whose answer was lost, or another worker, may have made them.
            if not set(new) <= set((await self.head()).partitions):
                raise Overtaken("another worker began partitions, or the catalog has moved on") from None

    async def open(self, change: Change, states: Mapping[int, PartitionState]) -> None:
        """Say that a change's partitions are reached up to its end, if they are not further already.

        Raises:
            Overtaken: a partition or the catalog has moved on.
        """
        reached = {p: max(applied.offset, states[p].reached) for p, applied in change.applied.items()}
        guards = {p: {"v": change.catalog_revision, "b": state.reached} for p, state in states.items()}
        updates = [
            self._partition_update(change, partition, {"b": number(end)}, guards[partition])
            for partition, end in reached.items()
        ]
        try:
            await self._transact(updates)
        except GuardFailed as error:
            # An attempt whose answer was lost may have opened it.
            now = await self._of_partitions(list(reached))
            if any(
                (found.applied, found.reached, found.revision)
                != (change.expected[partition], reached[partition], change.catalog_revision)
                for partition, found in now.items()
            ):
                raise Overtaken("a partition or the catalog has moved on") from error

    def closing(self, change: Change, states: Mapping[int, PartitionState], counters: Counters) -> list[Json]:
        """Return the writes that move the positions and the counters to the end of an open change.

        The catalog may have moved on since: its new versions start behind what is reached.
        """
        return [
            self._partition_update(change, partition, values, {})
            for partition, values in self._moves(change, states, counters).items()
        ]

    def at_once(self, change: Change, states: Mapping[int, PartitionState], counters: Counters) -> list[Json]:
        """Return the writes that do the same for a change that was not opened, being stored in this call."""
        return [
            self._partition_update(
                change,
                partition,
                {**values, "b": number(max(change.applied[partition].offset, states[partition].reached))},
                {"v": change.catalog_revision, "b": states[partition].reached},
            )
            for partition, values in self._moves(change, states, counters).items()
        ]

    def _moves(
        self, change: Change, states: Mapping[int, PartitionState], counters: Counters
    ) -> dict[int, dict[str, Json | None]]:
        moves: dict[int, dict[str, Json | None]] = {}
        for partition, applied in sorted(change.applied.items()):
            event_at = None if applied.event_at is None else number(applied.event_at)
            moves[partition] = {"o": number(applied.offset), "e": event_at}
            if len(moves) == 1:
                # The counters are the whole batch's: one partition carries them.
                moves[partition] |= counter_values(counters.added_to(states[partition].counters))
        return moves

    async def is_closed(self, change: Change) -> bool:
        """Tell whether the positions are where a change moves them."""
        states = await self._of_partitions(list(change.applied))
        return all(states[partition].applied == applied for partition, applied in change.applied.items())

    async def put_catalog(
        self,
        expected_revision: int,
        record: bytes,
        reached: Mapping[int, int] | None,
        audit: tuple[int, bytes] | None,
    ) -> None:
        """See `Store.put_catalog`; the partitions must stand still while they get the new revision."""
        head = await self.head()
        if head.revision != expected_revision:
            raise Overtaken(f"the catalog is at revision {head.revision}, not {expected_revision}")
        guard_audit(audit, head.audited)
        ends: dict[int, int | None] = dict.fromkeys(head.partitions)
        if reached is not None:
            states = await self._of_partitions(head.partitions)
            ends |= {partition: state.reached for partition, state in states.items()}
            if {partition: end for partition, end in ends.items() if end != -1} != dict(reached):
                raise Overtaken("events were applied meanwhile")
        others = [self._revision_update(head, partition, end) for partition, end in ends.items()]
        expression, condition = "SET v = :v, c = :c", ""
        values: dict[str, Json] = {
            ":v": number(head.revision + 1),
            ":c": _catalog_value(record),
            ":was_p": partitions_value(head.partitions),
        }
        if audit is not None:
            due = AuditWrites.of(self._table, audit)
            expression, condition = f"{expression}, {due.update}", f" AND {due.condition}"
            values |= due.values
            others.append(due.put)
        update = self._head_update(head, expression, values, condition)
        await self._replace_catalog(head, [update, *others], record, audit)

    def _revision_update(self, head: Head, partition: int, reached: int | None) -> Json:
        """Give a partition the catalog's next revision, if it is reached as far as that and no further."""
        values = {":v": number(head.revision + 1), ":was_v": number(head.revision)}
        return {
            "Update": {
                "TableName": self._table,
                "Key": state_key(partition_kind(head.generation, partition)),
                "UpdateExpression": "SET v = :v",
                "ConditionExpression": "v = :was_v" if reached is None else "v = :was_v AND b = :b",
                "ExpressionAttributeValues": values if reached is None else {**values, ":b": number(reached)},
            }
        }

    async def reset(self, record: bytes) -> int:
        """Put a catalog in place in a new generation, in which nothing is known; return the former one."""
        head = await self.head()
        kinds = [partition_kind(head.generation, partition) for partition in head.partitions]
        deletes = [{"Delete": {"TableName": self._table, "Key": state_key(kind)}} for kind in kinds]
        values = {
            ":v": number(head.revision + 1),
            ":g": number(head.generation + 1),
            ":c": _catalog_value(record),
            ":p": partitions_value(()),
            ":was_p": partitions_value(head.partitions),
        }
        expression = "SET v = :v, g = :g, c = :c, p = :p REMOVE ln, lp"
        await self._replace_catalog(
            head, [self._head_update(head, expression, values), *deletes], record, None
        )
        return head.generation

    async def _replace_catalog(
        self, head: Head, writes: Sequence[Json], record: bytes, audit: tuple[int, bytes] | None
    ) -> None:
        try:
            await self._transact(writes)
        except GuardFailed as error:
            # An attempt whose answer was lost may have done it.
            now = await self.head()
            is_done = (now.revision, now.catalog) == (head.revision + 1, record)
            if not is_done or not (audit is None or await self.holds(audit)):
                raise Overtaken("the catalog, a partition or the audit list has moved on") from error
        await self.head()

    async def bind(self, log: BoundLog) -> BoundLog:
        """See `Store.bind`."""
        try:
            await self._client.call(
                "UpdateItem",
                {
                    "TableName": self._table,
                    "Key": CATALOG_KEY,
                    "UpdateExpression": "SET ln = :ln, lp = :lp",
                    "ConditionExpression": "attribute_exists(k) AND attribute_not_exists(ln)",
                    "ExpressionAttributeValues": {":ln": text(log.name), ":lp": number(log.partitions)},
                    **UNITS,
                },
            )
        except GuardFailed:
            bound = (await self.head()).log
            if bound is None:
                raise Overtaken("the store was reset meanwhile") from None
            return bound
        return log

    async def holds(self, audit: tuple[int, bytes]) -> bool:
        """Tell whether an audit entry stands where it was to be appended."""
        items = await get_items(self._client, self._table, [state_key(AUDIT_KIND, audit[0] + 1)])
        return bool(items) and bytes_of(items[0], "x") == audit[1]

    def _head_update(self, head: Head, expression: str, values: Json, condition: str = "") -> Json:
        """Change the catalog's item, if it is as it was read; `:was_p` in the values are the partitions."""
        return {
            "Update": {
                "TableName": self._table,
                "Key": CATALOG_KEY,
                "UpdateExpression": expression,
                "ConditionExpression": "v = :was_v AND g = :was_g AND p = :was_p" + condition,
                "ExpressionAttributeValues": {
                    **values,
                    ":was_v": number(head.revision),
                    ":was_g": number(head.generation),
                },
            }
        }

    def _partition_update(
        self, change: Change, partition: int, values: Mapping[str, Json | None], guards: Mapping[str, int]
    ) -> Json:
        """Set a partition's attributes (None: take away), if it is as a change and the guards expect."""
        expected: Applied = change.expected[partition]
        due = {**guards, "o": expected.offset}
        conditions = [f"{name} = :was_{name}" for name in due]
        if expected.event_at is None:
            conditions.append("attribute_not_exists(e)")
        else:
            due["e"] = expected.event_at
            conditions.append("e = :was_e")
        sets = {name: value for name, value in values.items() if value is not None}
        expression = "SET " + ", ".join(f"{name} = :{name}" for name in sets)
        if len(sets) < len(values):
            expression += " REMOVE " + ", ".join(name for name in values if name not in sets)
        return {
            "Update": {
                "TableName": self._table,
                "Key": state_key(partition_kind(self._generation, partition)),
                "UpdateExpression": expression,
                "ConditionExpression": " AND ".join(conditions),
                "ExpressionAttributeValues": {
                    **{f":{name}": value for name, value in sets.items()},
                    **{f":was_{name}": number(value) for name, value in due.items()},
                },
            }
        }

    async def _transact(self, items: Sequence[Json]) -> None:
        await self._client.transact(items, [_ITEM_BYTES] * len(items))


def _catalog_value(record: bytes) -> dict[str, str]:
    if len(record) > CATALOG_BYTES_MAX:
        raise StoreError(
            f"the catalog has {len(record):,} bytes, and a DynamoDB item has room for {CATALOG_BYTES_MAX:,}: "
            "take out campaigns that are over, or use fewer versions"
        )
    return binary(record)
