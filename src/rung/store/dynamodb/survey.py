"""A survey of a DynamoDB store: parallel scans, after the positions were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from rung.store.dynamodb.client import DynamoClient, Json
from rung.store.dynamodb.items import (
    Head,
    Item,
    PartitionState,
    Tables,
    binary,
    bytes_of,
    integer_of,
    transaction_key,
    user_key,
)
from rung.store.dynamodb.reads import UNITS
from rung.store.dynamodb.state import State
from rung.store.dynamodb.users import Users
from rung.store.port import NOTHING_APPLIED, Overtaken
from rung.store.survey import CHUNK_RECORDS, SurveyedUser

_SEGMENTS: Final = 8
"""How many parts of a table are read at once; a page of each, of 1 MB, is in memory."""


class DynamoSurvey:
    """A `Survey` by scans of the tables."""

    def __init__(
        self,
        client: DynamoClient,
        tables: Tables,
        state: State,
        users: Users,
        head: Head,
        states: Mapping[int, PartitionState],
    ) -> None:
        """Take an open client, what reads state and users, and what was read of the state; see `begun`."""
        self._client = client
        self._tables = tables
        self._state = state
        self._users = users
        self._generation = head.generation
        self.catalog_revision = head.revision
        self.applied = {
            partition: found.applied.offset
            for partition, found in states.items()
            if found.applied != NOTHING_APPLIED
        }

    @classmethod
    def begun(cls, client: DynamoClient, tables: Tables, state: State, users: Users) -> DynamoSurvey:
        """Return a survey as of now."""

        async def look() -> tuple[Head, Mapping[int, PartitionState]]:
            return await state.look((await state.head()).partitions)

        return cls(client, tables, state, users, *client.run(look()))

    def users(self) -> Iterator[Sequence[SurveyedUser]]:
        """See `Survey.users`."""
        prefix = user_key(self._generation, b"")
        for items in self._chunks(self._tables.users, prefix):
            chunk: list[SurveyedUser] = []
            parted: list[bytes] = []
            for item in items:
                user_id = (bytes_of(item, "k") or b"")[len(prefix) :]
                if integer_of(item, "n"):
                    parted.append(user_id)
                else:
                    records = bytes_of(item, "f"), bytes_of(item, "a")
                    chunk.append(SurveyedUser(user_id, *records, integer_of(item, "o", -1)))
            found = self._client.run(self._users.read(self._generation, parted))
            chunk += [
                SurveyedUser(user_id, *user)
                for user_id, user in zip(parted, found, strict=True)
                if user is not None
            ]
            yield chunk

    def transactions(self) -> Iterator[Sequence[tuple[bytes, bytes]]]:
        """See `Survey.transactions`."""
        prefix = transaction_key(self._generation, b"")
        for items in self._chunks(self._tables.transactions, prefix):
            yield [
                ((bytes_of(item, "k") or b"")[len(prefix) :], bytes_of(item, "h") or b"") for item in items
            ]

    def _chunks(self, table: str, prefix: bytes) -> Iterator[Sequence[Item]]:
        """Yield the items whose keys have a prefix.

        Raises:
            Overtaken: the store was reset meanwhile, so items may have been swept up.
        """
        scan = {
            "TableName": table,
            "FilterExpression": "begins_with(k, :prefix)",
            "ExpressionAttributeValues": {":prefix": binary(prefix)},
            "ConsistentRead": True,
            "TotalSegments": _SEGMENTS,
            **UNITS,
        }
        starts: dict[int, Json] = {segment: {} for segment in range(_SEGMENTS)}
        while starts:
            answers = self._client.run(self._pages(scan, starts))
            starts = {
                segment: {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
                for segment, answer in zip(starts, answers, strict=True)
                if "LastEvaluatedKey" in answer
            }
            items: list[Item] = [item for answer in answers for item in answer["Items"]]
            for first in range(0, len(items), CHUNK_RECORDS):
                yield items[first : first + CHUNK_RECORDS]
        if self._client.run(self._state.head()).generation != self._generation:
            raise Overtaken("the store was reset while it was surveyed")

    async def _pages(self, scan: Mapping[str, Any], starts: Mapping[int, Json]) -> list[Json]:
        calls = [
            partial(self._client.call, "Scan", {**scan, "Segment": segment, **start})
            for segment, start in starts.items()
        ]
        return await self._client.all_of(calls)
