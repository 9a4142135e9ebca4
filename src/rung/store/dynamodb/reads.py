"""Reading and deleting many items: in calls of as many keys as DynamoDB takes, and none left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from rung.store.backoff import Backoff
from rung.store.dynamodb.client import Json, LoopClient
from rung.store.dynamodb.items import Item, binary, bytes_of
from rung.store.port import StoreBusy

UNITS: Final[Json] = {"ReturnConsumedCapacity": "TOTAL"}
GET_KEYS_MAX: Final = 100
WRITE_ITEMS_MAX: Final = 25
_ROUNDS_MAX: Final = 12


async def get_items(client: LoopClient, table: str, keys: Sequence[Json]) -> list[Item]:
    """Read items of one table as they are now, in no order; those that are not there are left out.

    Raises:
        StoreBusy: DynamoDB put keys off too often.
    """
    return (await get_items_of(client, {table: keys}))[table]


async def get_items_of(client: LoopClient, keys: Mapping[str, Sequence[Json]]) -> dict[str, list[Item]]:
    """Read items of several tables in the same calls, in no order; otherwise as `get_items`."""
    every = [(table, key) for table, wanted in keys.items() for key in wanted]
    found: dict[str, list[Item]] = {table: [] for table in keys}
    if len(every) <= GET_KEYS_MAX:
        if every:
            await _get_chunk(client, every, found)
        return found
    chunks = [every[first : first + GET_KEYS_MAX] for first in range(0, len(every), GET_KEYS_MAX)]
    await client.all_of([partial(_get_chunk, client, chunk, found) for chunk in chunks])
    return found


async def _get_chunk(
    client: LoopClient, keys: Sequence[tuple[str, Json]], found: Mapping[str, list[Item]]
) -> None:
    wanted: dict[str, Any] = {}
    for table, key in keys:
        wanted.setdefault(table, {"Keys": [], "ConsistentRead": True})["Keys"].append(key)
    backoff = Backoff()
    for _ in range(_ROUNDS_MAX):
        answer = await client.call("BatchGetItem", {"RequestItems": wanted, **UNITS})
        got: dict[str, list[Item]] = answer["Responses"]
        for table, items in got.items():
            found[table].extend(items)
        wanted = answer.get("UnprocessedKeys") or {}
        if not wanted:
            return
        if any(got.values()):
            # An answer has room for 16 MB: what did not fit is asked for at once.
            backoff.reset()
        else:
            await asyncio.sleep(backoff.next_seconds())
    raise StoreBusy(f"DynamoDB put off keys of {', '.join(wanted)} {_ROUNDS_MAX} times")


async def items_of(client: LoopClient, table: str, keys: Sequence[bytes]) -> dict[bytes, Item]:
    """Read items of a table whose only key is `k`, and return those that are there by their keys.

    Raises:
        StoreBusy: DynamoDB put keys off too often.
    """
    return by_key(await get_items(client, table, binary_keys(dict.fromkeys(keys))))


def binary_keys(keys: Iterable[bytes]) -> list[Json]:
    """Return keys of a table whose only key is `k`, in DynamoDB's form."""
    return [{"k": binary(key)} for key in keys]


def by_key(items: Sequence[Item]) -> dict[bytes, Item]:
    """Return items of such a table by their keys."""
    return {bytes_of(item, "k") or b"": item for item in items}


async def write_items(client: LoopClient, table: str, requests: Sequence[Json]) -> None:
    """Put or delete items that nothing else changes; repeating it changes nothing.

    Raises:
        StoreBusy: DynamoDB put items off too often.
    """
    chunks = [requests[first : first + WRITE_ITEMS_MAX] for first in range(0, len(requests), WRITE_ITEMS_MAX)]
    await client.all_of([partial(_write_chunk, client, table, chunk) for chunk in chunks])


async def _write_chunk(client: LoopClient, table: str, requests: Sequence[Json]) -> None:
    wanted: Json = {table: list(requests)}
    backoff = Backoff()
    for _ in range(_ROUNDS_MAX):
        answer = await client.call("BatchWriteItem", {"RequestItems": wanted, **UNITS})
        left: Json = answer.get("UnprocessedItems") or {}
        if not left:
            return
        if len(left[table]) == len(wanted[table]):
            await asyncio.sleep(backoff.next_seconds())
        wanted = left
    raise StoreBusy(f"DynamoDB put off items of {table} {_ROUNDS_MAX} times")


async def pages(client: LoopClient, operation: str, payload: Json) -> AsyncIterator[list[Item]]:
    """Yield the pages of a Query or Scan, each as it is when it is read."""
    start: dict[str, Any] = {}
    while True:
        answer = await client.call(operation, {**payload, **start, "ConsistentRead": True, **UNITS})
        yield answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
