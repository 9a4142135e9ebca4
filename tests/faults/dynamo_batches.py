"""Batches of which the service does only a part, and returns the rest."""

from __future__ import annotations

import json
from typing import Any

from faults.dynamo_rules import Request
from faults.http_messages import Message


def halved(request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the body with the first half of a batch's keys or writes, and the rest as the service returns it.

    The rest is empty for a batch of one: the service would throttle that one, instead of doing none of it.
    """
    items: dict[str, Any] = request.body["RequestItems"]
    is_read = request.operation == "BatchGetItem"
    entries = [
        (table, entry) for table in items for entry in (items[table]["Keys"] if is_read else items[table])
    ]
    kept_count = (len(entries) + 1) // 2

    def gathered(some: list[tuple[str, Any]]) -> dict[str, Any]:
        tables: dict[str, Any] = {}
        for table, entry in some:
            if is_read:
                tables.setdefault(table, {**items[table], "Keys": []})["Keys"].append(entry)
            else:
                tables.setdefault(table, []).append(entry)
        return tables

    kept = {**request.body, "RequestItems": gathered(entries[:kept_count])}
    rest = gathered(entries[kept_count:])
    return kept, {"UnprocessedKeys" if is_read else "UnprocessedItems": rest} if rest else {}


def with_unprocessed(reply: Message, left_out: dict[str, Any]) -> Message:
    """Return an answer that names what was left out, beside what the emulator itself did not do."""
    content: dict[str, Any] = json.loads(reply.body)
    for name, tables in left_out.items():
        own: dict[str, Any] = content.get(name, {})
        for table, entries in tables.items():
            if table not in own:
                own[table] = entries
            elif isinstance(entries, list):
                own[table] += entries
            else:
                own[table]["Keys"] += entries["Keys"]
        content[name] = own
    return reply.with_body(json.dumps(content, separators=(",", ":")).encode())
