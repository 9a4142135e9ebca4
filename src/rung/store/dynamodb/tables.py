"""Making, looking at and dropping the tables."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple

from rung.store.dynamodb.client import DynamoClient, GuardFailed, Json
from rung.store.dynamodb.items import CATALOG_KEY, Tables, number, partitions_value
from rung.store.dynamodb.settings import DynamoSettings
from rung.store.port import StoreError

_WAIT_SECONDS_MAX: Final = 120
_LOOK_EVERY_SECONDS: Final = 0.2


class TableDescription(NamedTuple):
    """One table: `status` is DynamoDB's word, `items` and `bytes` are its estimates, some hours old."""

    name: str
    status: str
    items: int
    bytes: int
    billing: str


def create_tables(settings: DynamoSettings) -> Sequence[TableDescription]:
    """Make the tables that are missing, billed on demand, and wait until all can be used.

    Raises:
        StoreError: they cannot be made, or take too long.
    """
    tables = Tables.of(settings.table_prefix)
    with closing(DynamoClient(settings)) as client:
        return client.run(_create(client, tables))


def describe_tables(settings: DynamoSettings) -> Sequence[TableDescription]:
    """Describe the tables; one that is missing has the status MISSING.

    Raises:
        StoreError: DynamoDB cannot be asked.
    """
    with closing(DynamoClient(settings)) as client:
        return client.run(_describe(client, Tables.of(settings.table_prefix)))


def drop_tables(settings: DynamoSettings) -> None:
    """Delete the tables and all that is in them, for good, and wait until they are gone.

    Raises:
        StoreError: they cannot be deleted, or it takes too long.
    """
    with closing(DynamoClient(settings)) as client:
        client.run(_drop(client, Tables.of(settings.table_prefix)))


async def _create(client: DynamoClient, tables: Tables) -> Sequence[TableDescription]:
    for found in await _describe(client, tables):
        if found.status == "MISSING":
            await client.call("CreateTable", _definition(found.name, tables))
    descriptions = await _wait(client, tables, "ACTIVE")
    first = {"v": number(0), "g": number(0), "p": partitions_value(())}
    try:
        await client.call(
            "PutItem",
            {
                "TableName": tables.state,
                "Item": {**CATALOG_KEY, **first},
                "ConditionExpression": "attribute_not_exists(k)",
            },
        )
    except GuardFailed:
        # It holds a catalog already.
        return descriptions
    return descriptions


def _definition(name: str, tables: Tables) -> Json:
    keys = {"k": ("B", "HASH")} if name != tables.state else {"k": ("S", "HASH"), "n": ("N", "RANGE")}
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": key, "AttributeType": kind} for key, (kind, _) in keys.items()
        ],
        "KeySchema": [{"AttributeName": key, "KeyType": role} for key, (_, role) in keys.items()],
    }


async def _describe(client: DynamoClient, tables: Tables) -> list[TableDescription]:
    names: list[str] = []
    start: dict[str, Any] = {}
    while True:
        answer = await client.call("ListTables", start)
        names += answer["TableNames"]
        if "LastEvaluatedTableName" not in answer:
            break
        start = {"ExclusiveStartTableName": answer["LastEvaluatedTableName"]}
    return [
        await _describe_one(client, name) if name in names else TableDescription(name, "MISSING", 0, 0, "")
        for name in (tables.users, tables.transactions, tables.state)
    ]


async def _describe_one(client: DynamoClient, name: str) -> TableDescription:
    table: Json = (await client.call("DescribeTable", {"TableName": name}))["Table"]
    billing: Json = table.get("BillingModeSummary") or {"BillingMode": "PROVISIONED"}
    return TableDescription(
        name,
        table["TableStatus"],
        int(table.get("ItemCount", 0)),
        int(table.get("TableSizeBytes", 0)),
        {"PAY_PER_REQUEST": "on demand"}.get(billing["BillingMode"], "provisioned"),
    )


async def _drop(client: DynamoClient, tables: Tables) -> None:
    for found in await _describe(client, tables):
        if found.status not in {"MISSING", "DELETING"}:
            await client.call("DeleteTable", {"TableName": found.name})
    await _wait(client, tables, "MISSING")


async def _wait(client: DynamoClient, tables: Tables, status: str) -> list[TableDescription]:
    deadline = time.monotonic() + _WAIT_SECONDS_MAX
    while True:
        descriptions = await _describe(client, tables)
        if all(found.status == status for found in descriptions):
            return descriptions
        if time.monotonic() > deadline:
            states = ", ".join(f"{found.name} {found.status}" for found in descriptions)
            raise StoreError(f"after {_WAIT_SECONDS_MAX} s the tables are: {states}; look again later")
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
