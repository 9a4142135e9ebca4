"""The Parquet files that the batch layer makes, and files as relations of a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from rung.batch import sql

MERGED_SCHEMA: Final = pa.schema(
    [
        pa.field("transaction_id", pa.string()),
        pa.field("user_id", pa.string()),
        pa.field("attributes", pa.string()),
        pa.field("status", pa.list_(pa.int8())),
        pa.field("at", pa.list_(pa.int64())),
        pa.field("amount", pa.list_(pa.int64())),
        pa.field("before", pa.int64()),
    ]
)
FIGURES_SCHEMA: Final = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("series", pa.int32()),
        pa.field("period", pa.int32()),
        pa.field("token", pa.uint64()),
        pa.field("value", pa.int64()),
    ]
)

_GROUP_ROWS: Final = 1 << 20


def store_merged(connection: duckdb.DuckDBPyConnection, source: str, path: Path) -> None:
    """Write a file of the merged transactions in a relation of a query."""
    connection.execute(
        f"COPY ({sql.stored(source)}) TO '{_text(path)}'"
        " (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 131072)"
    )


def parquet(paths: Sequence[str | Path], *, named: bool = False) -> str:
    """Return Parquet files as a relation of a query; `named` adds the column `filename`."""
    listed = ", ".join(f"'{_text(path)}'" for path in paths)
    return f"read_parquet([{listed}], hive_partitioning = false{', filename = true' if named else ''})"


def write_figures(figures: pa.Table, path: Path) -> None:
    """Write sorted figures: equal ones are the same bytes, however a table holds them."""
    with pq.ParquetWriter(path, FIGURES_SCHEMA, compression="zstd") as writer:
        for first in range(0, figures.num_rows, _GROUP_ROWS):
            # In how many chunks the rows lie would tell in how many pages they are written.
            writer.write_table(figures.slice(first, _GROUP_ROWS).combine_chunks(), row_group_size=_GROUP_ROWS)


def write_rejected(reasons: Mapping[int, str], path: Path) -> None:
    """Write the reason code of each event that fits nothing before it, by its offset."""
    offsets = sorted(reasons)
    rejected = {
        "offset": pa.array(offsets, pa.int64()),
        "reason": pa.array([reasons[offset] for offset in offsets], pa.string()),
    }
    pq.write_table(pa.table(rejected), path)


def _text(path: str | Path) -> str:
    return str(path).replace("'", "''")
