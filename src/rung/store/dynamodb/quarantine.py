"""Quarantined events: one item each, and further ones for what a large payload has too much."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from typing import Final

from rung.store.dynamodb.client import DynamoClient, Json
from rung.store.dynamodb.items import (
    Item,
    Tables,
    binary,
    bytes_of,
    integer_of,
    number,
    payload_kind,
    quarantine_kind,
    state_key,
    text,
)
from rung.store.dynamodb.reads import UNITS, get_items, pages, write_items
from rung.store.port import Quarantined

PIECE_BYTES_MAX: Final = 300 << 10


class Quarantine:
    """Reads and writes quarantined events. Its coroutines run in the client's loop."""

    def __init__(self, client: DynamoClient, tables: Tables) -> None:
        """Take an open client."""
        self._client = client
        self._table = tables.state

    async def put(self, generation: int, events: Iterable[Quarantined]) -> None:
        """Store events; storing one again changes nothing."""
        items: list[Json] = []
        further: list[Json] = []
        for event in events:
            pieces = [
                event.payload[first : first + PIECE_BYTES_MAX]
                for first in range(0, max(len(event.payload), 1), PIECE_BYTES_MAX)
            ]
            kind = payload_kind(generation, event.partition, event.offset)
            further += [
                {**state_key(kind, place), "x": binary(piece)} for place, piece in enumerate(pieces[1:], 1)
            ]
            items.append(
                {
                    **state_key(quarantine_kind(generation, event.partition), event.offset),
                    "r": text(event.reason),
                    "t": text(event.detail),
                    "w": number(event.at),
                    "x": binary(pieces[0]),
                    "m": number(len(pieces) - 1),
                }
            )
        for puts in (further, items):
            await write_items(self._client, self._table, [{"PutRequest": {"Item": item}} for item in puts])

    async def after(self, generation: int, partition: int, offset: int, count_max: int) -> list[Quarantined]:
        """Return at most so many events of a partition behind an offset, in order."""
        found: list[Quarantined] = []
        async for items in self._pages(generation, partition, offset, count_max):
            chosen = items[: count_max - len(found)]
            found += [await self._event(generation, partition, item) for item in chosen]
            if len(found) >= count_max:
                break
        return found

    async def reasons(self, generation: int, partition: int, after: int, until: int) -> dict[int, str]:
        """Return the reasons of a partition's events behind one offset up to another, by their offsets."""
        found: dict[int, str] = {}
        async for items in self._pages(generation, partition, after, None):
            found |= {integer_of(item, "n"): item["r"]["S"] for item in items}
            if any(offset > until for offset in found):
                break
        return {offset: reason for offset, reason in found.items() if offset <= until}

    async def one(self, generation: int, partition: int, offset: int) -> Quarantined | None:
        """Return one event, or None."""
        key = state_key(quarantine_kind(generation, partition), offset)
        items = await get_items(self._client, self._table, [key])
        return await self._event(generation, partition, items[0]) if items else None

    async def release(self, generation: int, positions: Sequence[tuple[int, int]]) -> int:
        """Remove events, and return how many there were."""
        works = [partial(self._release, generation, *position) for position in dict.fromkeys(positions)]
        return sum(await self._client.all_of(works))

    async def _release(self, generation: int, partition: int, offset: int) -> bool:
        answer = await self._client.call(
            "DeleteItem",
            {
                "TableName": self._table,
                "Key": state_key(quarantine_kind(generation, partition), offset),
                "ReturnValues": "ALL_OLD",
                **UNITS,
            },
        )
        item: Item = answer.get("Attributes") or {}
        kind = payload_kind(generation, partition, offset)
        keys = [state_key(kind, place) for place in range(1, integer_of(item, "m") + 1)]
        await write_items(self._client, self._table, [{"DeleteRequest": {"Key": key}} for key in keys])
        return bool(item)

    def _pages(
        self, generation: int, partition: int, offset: int, count_max: int | None
    ) -> AsyncIterator[list[Item]]:
        limit = {} if count_max is None else {"Limit": count_max}
        query = {
            "TableName": self._table,
            "KeyConditionExpression": "k = :k AND n > :n",
            "ExpressionAttributeValues": {
                ":k": text(quarantine_kind(generation, partition)),
                ":n": number(offset),
            },
            **limit,
        }
        return pages(self._client, "Query", query)

    async def _event(self, generation: int, partition: int, item: Item) -> Quarantined:
        offset = integer_of(item, "n")
        kind = payload_kind(generation, partition, offset)
        keys = [state_key(kind, place) for place in range(1, integer_of(item, "m") + 1)]
        further = await get_items(self._client, self._table, keys)
        pieces = [item, *sorted(further, key=lambda piece: integer_of(piece, "n"))]
        payload = b"".join(bytes_of(piece, "x") or b"" for piece in pieces)
        return Quarantined(partition, offset, item["r"]["S"], item["t"]["S"], integer_of(item, "w"), payload)
