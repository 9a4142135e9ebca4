"""A plain writer to DynamoDB: boto3, one transaction for each event, as a tutorial would have it.

The transaction's item is read, its contribution compared with the stored one, and both items are changed in
one TransactWriteItems call, guarded by the length of the history that was read. So it counts once, too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3

_TOKYO = timezone(timedelta(hours=9))


class PlainWriter:
    """Writes events one by one to tables of its own."""

    def __init__(self, endpoint: str, prefix: str) -> None:
        self._client: Any = boto3.client("dynamodb", region_name="eu-central-1", endpoint_url=endpoint)
        self._users, self._transactions = f"{prefix}-plain-users", f"{prefix}-plain-transactions"
        for table in (self._users, self._transactions):
            self._client.create_table(
                TableName=table,
                AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
            )

    def write(self, events: Sequence[bytes]) -> float:
        """Write events, and return how many a second that was."""
        started = time.perf_counter()
        for event in events:
            self._write(json.loads(event))
        return len(events) / (time.perf_counter() - started)

    def _write(self, event: dict[str, Any]) -> None:
        key = {"k": {"S": event["transaction_id"]}}
        found = self._client.get_item(TableName=self._transactions, Key=key, ConsistentRead=True).get("Item")
        known = int(found["n"]["N"]) if found else 0
        steps = event["history"]
        if len(steps) <= known:
            return
        month, before = _figures(steps[:known])
        month, after = _figures(steps) if month is None else (month, _figures(steps)[1])
        put: dict[str, Any] = {
            "TableName": self._transactions,
            "Item": {**key, "n": {"N": str(len(steps))}, "h": {"S": json.dumps(steps)}},
            "ConditionExpression": "n = :n" if found else "attribute_not_exists(k)",
        }
        if found:
            put["ExpressionAttributeValues"] = {":n": {"N": str(known)}}
        items: list[dict[str, Any]] = [{"Put": put}]
        if after != before:
            values = {":c": {"N": str(after[0] - before[0])}, ":t": {"N": str(after[1] - before[1])}}
            items.append(
                {
                    "Update": {
                        "TableName": self._users,
                        "Key": {"k": {"S": f"{event['user_id']}/{month}"}},
                        # Safe here alone: it is in one call with the guard of the transaction's item.
                        "UpdateExpression": "ADD c :c, t :t",
                        "ExpressionAttributeValues": values,
                    }
                }
            )
        self._client.transact_write_items(TransactItems=items)


def _figures(steps: Sequence[dict[str, Any]]) -> tuple[str | None, tuple[int, int]]:
    """Return the purchase's month in Tokyo, and its payments of at least 100 yen and total there."""
    completed = next((step for step in steps if step["status"] == "COMPLETED"), None)
    if completed is None:
        return None, (0, 0)
    left = completed["amount"] - sum(step["amount"] for step in steps if step["status"] == "REFUNDED")
    month = datetime.fromisoformat(completed["at"]).astimezone(_TOKYO).strftime("%Y-%m")
    return month, (int(left >= 100), left)
