"""What a lake must hold once a log is archived: compared with the log, event by event."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from rung.lake.port import Lake
from rung.lake.rows import rows_of
from rung.log.port import Log, Slice


def log_rows(log: Log, starts: dict[int, int] | None = None) -> pa.Table:
    """Return all events of a log as rows of the lake."""
    first = starts or {}
    slices: list[Slice] = [
        part
        for partition, end in log.ends().items()
        for part in log.scan(partition, first.get(partition, 0), end)
    ]
    return rows_of(slices, log.partitions)


def lake_rows(lake: Lake) -> pa.Table:
    """Return all events of a lake, by partition and offset."""
    tables = [lake.read(file) for file in lake.state().files]
    order = [("partition", "ascending"), ("offset", "ascending")]
    return pa.concat_tables(tables).sort_by(order)


def difference(log: Log, lake: Lake) -> str:
    """Return how a lake differs from its log in position or content, in a line; nothing is equality."""
    due, found = log_rows(log), lake_rows(lake)
    if found.equals(due):
        return ""
    due_places, places = _places(due), _places(found)
    twice = len(places) - len(set(places))
    lost, strange = sorted(set(due_places) - set(places)), sorted(set(places) - set(due_places))
    if not (twice or lost or strange):
        changed = [
            (one, other)
            for one, other in zip(due.to_pylist(), found.to_pylist(), strict=True)
            if one != other
        ]
        return f"{len(changed)} with another content: {changed[:2]}"
    return f"{twice} twice, {len(lost)} lost {lost[:5]}, {len(strange)} strange {strange[:5]}"


def _places(table: pa.Table) -> list[tuple[Any, Any]]:
    columns = (table.column(name).to_pylist() for name in ("partition", "offset"))
    return list(zip(*columns, strict=True))
