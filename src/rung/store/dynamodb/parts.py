"""The parts of a change: what each user's part writes, and how parts share one call.

A part is all that a change does to one user: the user's item and the transactions' items. It is written
whole or not at all, and only where it finds what it was computed from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final

from rung.store.dynamodb.items import (
    Item,
    Tables,
    binary,
    bytes_of,
    digest,
    number,
    part_key,
    transaction_key,
    user_key,
)
from rung.store.port import Change, ChangeTooLarge
from rung.store.records import split_figures

CALL_ITEMS_MAX: Final = 100
"""DynamoDB's limit of items in one transaction."""
PART_OF_CHANGE_BYTES_MAX: Final = 3 << 20
"""DynamoDB's limit is 4 MB for the items of one transaction; names and guards need room, too."""
CALL_BYTES_WANTED: Final = 256 << 10
"""How large a call may become by taking in several users' parts."""
PART_BYTES_MAX: Final = 32 << 10
"""How large a user's item may grow before its older figures move out: a write is billed by size."""
_NAMES_BYTES: Final = 32
"""About what an item's attribute names and numbers add to its size."""


@dataclass(frozen=True, slots=True)
class Write:
    """One item of a transaction, and what it looks like before and after it.

    `before` and `after` map attributes to their bytes (None: absent), for those that tell the two apart.
    """

    table: str
    key: bytes
    request: Mapping[str, Any]
    before: Mapping[str, bytes | None]
    after: Mapping[str, bytes | None]
    bytes: int

    def is_done(self, item: Item) -> bool:
        """Tell whether an item (empty: there is none) is as it is afterwards."""
        return all(bytes_of(item, name) == value for name, value in self.after.items())

    def is_open(self, item: Item) -> bool:
        """Tell whether an item is as it was before."""
        return all(bytes_of(item, name) == value for name, value in self.before.items())


@dataclass(slots=True)
class _UserChange:
    figures: tuple[bytes | None, bytes | None] | None = None
    attributes: tuple[bytes | None, bytes | None] | None = None
    transactions: list[tuple[bytes, bytes | None, bytes | None]] = field(
        default_factory=list[tuple[bytes, bytes | None, bytes | None]]
    )


def calls_of(change: Change, tables: Tables, generation: int) -> list[list[Write]]:
    """Return the writes of every user's part, packed into calls; no part is divided between calls.

    A part that removes a user's figures or attributes names both, so that an item is not left with neither.

    Raises:
        ChangeTooLarge: a part has more than one call can take.
    """
    calls: list[list[Write]] = []
    items = size = 0
    for part in _parts(change, tables, generation):
        part_bytes = sum(write.bytes for write in part)
        if len(part) > CALL_ITEMS_MAX or part_bytes > PART_OF_CHANGE_BYTES_MAX:
            raise ChangeTooLarge(f"a user's part of the change has {len(part)} items of {part_bytes:,} bytes")
        if not calls or items + len(part) > CALL_ITEMS_MAX or size + part_bytes > CALL_BYTES_WANTED:
            calls.append([])
            items = size = 0
        calls[-1] += part
        items += len(part)
        size += part_bytes
    return calls


def _parts(change: Change, tables: Tables, generation: int) -> Iterator[list[Write]]:
    users: dict[bytes, _UserChange] = {}
    for key, before, after, user in zip(*change.transactions, strict=True):
        users.setdefault(user, _UserChange()).transactions.append((key, before, after))
    for key, before, after, user in zip(*change.users, strict=True):
        assert key == user
        users.setdefault(user, _UserChange()).figures = before, after
    for key, before, after, user in zip(*change.user_attributes, strict=True):
        assert key == user
        users.setdefault(user, _UserChange()).attributes = before, after
    for user, changed in users.items():
        writes = [
            _transaction_write(tables.transactions, transaction_key(generation, key), before, after)
            for key, before, after in changed.transactions
        ]
        if changed.figures is not None or changed.attributes is not None:
            offset = change.applied[change.user_partitions[user]].offset if change.applied else None
            writes += _user_writes(tables.users, generation, user, changed, offset)
        yield writes


def _transaction_write(table: str, key: bytes, before: bytes | None, after: bytes | None) -> Write:
    guarded: dict[str, Any] = {"TableName": table}
    if before is None:
        guarded["ConditionExpression"] = "attribute_not_exists(k)"
    else:
        guarded["ConditionExpression"] = "h = :h"
        guarded["ExpressionAttributeValues"] = {":h": binary(before)}
    if after is None:
        size = len(key) + len(before or b"") + _NAMES_BYTES
        request = {"Delete": {**guarded, "Key": {"k": binary(key)}}}
    else:
        size = len(key) + len(after) + _NAMES_BYTES
        request = {"Put": {**guarded, "Item": {"k": binary(key), "h": binary(after)}}}
    return Write(table, key, request, {"h": before}, {"h": after}, size)


def _user_writes(
    table: str, generation: int, user: bytes, changed: _UserChange, offset: int | None
) -> list[Write]:
    key = user_key(generation, user)
    sets: dict[str, dict[str, str]] = {} if offset is None else {"o": number(offset)}
    removed: list[str] = []
    guards: list[str] = []
    values: dict[str, dict[str, str]] = {}
    before: dict[str, bytes | None] = {}
    after: dict[str, bytes | None] = {}
    older: list[Write] = []
    size = len(key) + _NAMES_BYTES
    if changed.figures is not None:
        old, new = changed.figures
        parts = [] if new is None else split_figures(new, PART_BYTES_MAX)
        older_parts, stored_parts = parts[:-1], [] if old is None else split_figures(old, PART_BYTES_MAX)[:-1]
        older = [
            _part_write(table, part_key(generation, index, user), part)
            for index, (stored, part) in enumerate(zip_longest(stored_parts, older_parts))
            if stored != part
        ]
        before["d"], after["d"] = (None if record is None else digest(record) for record in (old, new))
        if new is None:
            removed += ["f", "d"]
        else:
            sets |= {"f": binary(parts[-1]), "d": binary(digest(new))}
            size += len(parts[-1])
        if older_parts:
            sets["n"] = number(len(older_parts))
        else:
            removed.append("n")
        _guard(guards, values, "d", before["d"])
    if changed.attributes is not None:
        before["a"], after["a"] = changed.attributes
        if after["a"] is None:
            removed.append("a")
        else:
            sets["a"] = binary(after["a"])
            size += len(after["a"])
        _guard(guards, values, "a", before["a"])
    assert None not in after.values() or len(after) == 2
    request: dict[str, Any] = {
        "TableName": table,
        "Key": {"k": binary(key)},
        "ConditionExpression": " AND ".join(guards),
    }
    is_empty = all(value is None for value in after.values())
    if not is_empty:
        values |= {f":{name}": value for name, value in sets.items()}
        request["UpdateExpression"] = "SET " + ", ".join(f"{name} = :{name}" for name in sets)
        if removed:
            request["UpdateExpression"] += " REMOVE " + ", ".join(removed)
    if values:
        request["ExpressionAttributeValues"] = values
    action = "Delete" if is_empty else "Update"
    return [*older, Write(table, key, {action: request}, before, after, size)]


def _part_write(table: str, key: bytes, part: bytes | None) -> Write:
    """Write or delete (None) an older part; it is guarded by its user's item, which is in the same call."""
    if part is None:
        request = {"Delete": {"TableName": table, "Key": {"k": binary(key)}}}
    else:
        request = {"Put": {"TableName": table, "Item": {"k": binary(key), "f": binary(part)}}}
    size = len(key) + len(part or b"") + _NAMES_BYTES
    return Write(table, key, request, {}, {"f": part}, size)


def _guard(guards: list[str], values: dict[str, dict[str, str]], name: str, before: bytes | None) -> None:
    if before is None:
        guards.append(f"attribute_not_exists({name})")
    else:
        guards.append(f"{name} = :was_{name}")
        values[f":was_{name}"] = binary(before)


def keys_by_table(writes: Sequence[Write]) -> dict[str, list[bytes]]:
    """Return the keys of writes, for each table."""
    keys: dict[str, list[bytes]] = {}
    for write in writes:
        keys.setdefault(write.table, []).append(write.key)
    return keys
