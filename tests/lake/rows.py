"""Events and rows for tests of the lake."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from rung.lake.rows import rows_of
from rung.log.port import LogIdentity, Slice
from rung.transaction.routing import partition_of

PARTITIONS = 4
LOG = LogIdentity("a-log", PARTITIONS)
AT = 1_627_948_800_000_000
"""2021-08-03T00:00:00Z."""
DAY = 86_400_000_000


def user_in(partition: int) -> str:
    """Return a user whose events belong to a partition."""
    return next(name for name in map(str, range(999)) if partition_of(name.encode(), PARTITIONS) == partition)


def purchase(number: int, partition: int = 0, **others: Any) -> bytes:
    """Return an event of a purchase."""
    history = [{"status": "COMPLETED", "at": "2021-08-03T10:00:00Z", "amount": 100 + number}]
    event = {"transaction_id": f"t{partition}-{number}", "user_id": user_in(partition), "history": history}
    return json.dumps(event | others).encode()


def slice_of(partition: int, first: int, count: int, at: int = AT) -> Slice:
    """Return consecutive purchases."""
    return Slice(partition, first, [purchase(first + index, partition) for index in range(count)], at)


def rows(*slices: Slice) -> pa.Table:
    """Return slices as rows of the lake."""
    return rows_of(slices, PARTITIONS)


def places(table: pa.Table) -> list[tuple[int, int]]:
    """Return the positions of rows, sorted."""
    return sorted(zip(table.column("partition").to_pylist(), table.column("offset").to_pylist(), strict=True))


def due(*spans: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Return the positions of spans: a partition, its first offset, and how many."""
    return sorted((partition, first + index) for partition, first, count in spans for index in range(count))


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """Return all rows of tables."""
    return pa.concat_tables(tables)
