"""Reading and deleting many items: in calls of as many keys as DynamoDB takes, and none left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Final

from rung.store.backoff import Backoff
from rung.store.dynamodb.client import DynamoClient, Json
from rung.store.dynamodb.items import Item, binary, bytes_of
from rung.store.port import StoreBusy

UNITS: Final[Json] = {"ReturnConsumedCapacity": "TOTAL"}
GET_KEYS_MAX: Final = 100
WRITE_ITEMS_MAX: Final = 25
_ROUNDS_MAX: Final = 12


async def get_items(client: DynamoClient, table: str, keys: Sequence[Json]) -> list[Item]:
    """Read items of one table as they are now, in no order; those that are not there are left out.

    Raises:
        StoreBusy: DynamoDB put keys off too often.
    """
    chunks = [keys[first : first + GET_KEYS_MAX] for first in range(0, len(keys), GET_KEYS_MAX)]
    found = await client.all_of([partial(_get_chunk, client, table, chunk) for chunk in chunks])
    return [item for items in found for item in items]


async def _get_chunk(client: DynamoClient, table: str, keys: Sequence[Json]) -> list[Item]:
    items: list[Item] = []
    wanted: Json = {table: {"Keys": list(keys), "ConsistentRead": True}}
    backoff = Backoff()
    for _ in range(_ROUNDS_MAX):
        answer = await client.call("BatchGetItem", {"RequestItems": wanted, **UNITS})
        got: list[Item] = answer["Responses"].get(table, [])
        items += got
        wanted = answer.get("UnprocessedKeys") or {}
        if not wanted:
            return items
        if got:
            # An answer has room for 16 MB: what did not fit is asked for at once.
            backoff.reset()
        else:
            await asyncio.sleep(backoff.next_seconds())
    raise StoreBusy(f"DynamoDB put off keys of {table} {_ROUNDS_MAX} times")


async def items_of(client: DynamoClient, table: str, keys: Sequence[bytes]) -> dict[bytes, Item]:
    """Read items of a table whose only key is `k`, and return those that are there by their keys.

    Raises:
        StoreBusy: DynamoDB put keys off too often.
    """
    items = await get_items(client, table, [{"k": binary(key)} for key in dict.fromkeys(keys)])
    return {bytes_of(item, "k") or b"": item for item in items}


async def write_items(client: DynamoClient, table: str, requests: Sequence[Json]) -> None:
    """Put or delete items that nothing else changes; repeating it changes nothing.

    Raises:
        StoreBusy: DynamoDB put items off too often.
    """
    chunks = [requests[first : first + WRITE_ITEMS_MAX] for first in range(0, len(requests), WRITE_ITEMS_MAX)]
    await client.all_of([partial(_write_chunk, client, table, chunk) for chunk in chunks])


async def _write_chunk(client: DynamoClient, table: str, requests: Sequence[Json]) -> None:
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


async def pages(client: DynamoClient, operation: str, payload: Json) -> AsyncIterator[list[Item]]:
    """Yield the pages of a Query or Scan, each as it is when it is read."""
    start: dict[str, Any] = {}
    while True:
        answer = await client.call(operation, {**payload, **start, "ConsistentRead": True, **UNITS})
        yield answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
