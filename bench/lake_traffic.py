"""Generated events for the batch layer's figures, written to a lake as an archiver leaves them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from rung.lake.delta import DeltaLake
from rung.lake.rows import SCHEMA
from rung.transaction.routing import partition_of

PARTITIONS = 16
USERS = 1_000_000
REFUNDED_PERCENT = 5
MONTH_START = 1_756_652_400_000_000
"""2025-09-01 in Tokyo."""
MONTH_MICROSECONDS = 30 * 86_400 * 1_000_000
CHUNK = 2_000_000


@dataclass(frozen=True, slots=True)
class LakeTraffic:
    """Transactions within 30 days, of which 5 % are refunded a day later, in an event of their own."""

    transactions: int
    users: int = USERS

    def write(self, lake: DeltaLake, first: int, end: int) -> int:
        """Append the events of transactions from one number to just before another; return how many."""
        with duckdb.connect(config={"threads": 2}) as connection:
            users = [b"user-%08d" % number for number in range(self.users)]
            connection.register(
                "users",
                pa.table(
                    {
                        "u": pa.array(range(self.users), pa.int64()),
                        "user_id": pa.array([user.decode() for user in users], pa.string()),
                        "partition": pa.array([partition_of(user, PARTITIONS) for user in users], pa.int32()),
                    }
                ),
            )
            return sum(self._append(connection, lake, *span) for span in _chunks(first, end))

    def _append(self, connection: duckdb.DuckDBPyConnection, lake: DeltaLake, first: int, end: int) -> int:
        positions = lake.state().positions
        connection.register(
            "positions",
            pa.table(
                {
                    "partition": pa.array(positions.keys(), pa.int32()),
                    "position": pa.array(positions.values(), pa.int64()),
                }
            ),
        )
        rows = connection.sql(self._query(first, end)).to_arrow_table().cast(SCHEMA)
        after = {
            row["partition"]: row["end"]
            for row in connection.sql('SELECT "partition", max("offset") + 1 AS "end" FROM rows GROUP BY 1')
            .to_arrow_table()
            .to_pylist()
        }
        lake.append(rows, {partition: positions[partition] for partition in after}, after)
        return rows.num_rows

    def _query(self, first: int, end: int) -> str:
        step = MONTH_MICROSECONDS // self.transactions
        lag = self.transactions // 30
        services = "['mall', 'flea', 'travel', 'books', 'daily', 'other']"
        base = f"""
        SELECT i, (hash(i) % {self.users})::BIGINT AS "u", {MONTH_START} + i * {step} AS "made",
          (100 + hash(i * 7) % 10000)::BIGINT AS "paid",
          '{{"method":"card","service":"' || {services}[(1 + hash(i * 3) % 6)::BIGINT] || '"}}'
            AS "attributes",
          hash(i * 13) % 100 < {REFUNDED_PERCENT} AS "refunded"
        FROM range"""
        return f"""
        WITH "events" AS (
          SELECT i AS "place", i, "u", "attributes", [0, 2]::TINYINT[] AS "status",
            ["made" - 1000000, "made"] AS "at", ["paid", "paid"] AS "amount", "made" AS "last"
          FROM ({base}({first}, {end}) r(i))
          UNION ALL
          SELECT i + {lag}, i, "u", "attributes", [0, 2, 3]::TINYINT[],
            ["made" - 1000000, "made", "made" + {lag * step}], ["paid", "paid", "paid" // 2],
            "made" + {lag * step}
          FROM ({base}({max(first - lag, 0)}, {max(end - lag, 0)}) r(i)) WHERE "refunded"
        )
        SELECT make_timestamp("last" + 1000000)::DATE AS "day", "partition",
          "position" - 1
            + row_number() OVER (PARTITION BY "partition" ORDER BY "place", "status"[-1]) AS "offset",
          make_timestamptz("last" + 1000000) AS "appended_at", 'transaction' AS "kind",
          'tx-' || lpad(i::VARCHAR, 12, '0') AS "transaction_id", "user_id", "status", "at", "amount",
          "attributes", NULL::BIGINT AS "sequence", NULL::VARCHAR AS "reason", NULL::VARCHAR AS "detail",
          NULL::BLOB AS "payload"
        FROM "events" JOIN "users" USING ("u") JOIN "positions" USING ("partition")
        ORDER BY "partition", "offset"
        """


def _chunks(first: int, end: int) -> Iterator[tuple[int, int]]:
    for start in range(first, end, CHUNK):
        yield start, min(start + CHUNK, end)
