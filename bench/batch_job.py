"""One job of the batch figures, in a process of its own so that its memory can be told."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import duckdb

from bench.speed import SPEC
from rung.batch.aggregate import aggregate, nobody
from rung.batch.duck import DuckEngine, EngineSettings
from rung.batch.snapshots import Snapshots
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.lake.delta import DeltaLake

MEMORY_MIB = 5_000
THREADS = 2

BY_HAND = """
COPY (
  WITH "longest" AS (
    SELECT "transaction_id", any_value("user_id") AS "user_id", arg_max("status", len("status")) AS "status",
      arg_max("at", len("status")) AS "at", arg_max("amount", len("status")) AS "amount"
    FROM read_parquet([{files}], hive_partitioning = false) GROUP BY "transaction_id"
  ), "purchases" AS (
    SELECT "user_id", make_timestamp("at"[list_position("status", 2)] + 32400000000) AS "local",
      "amount"[list_position("status", 2)] - coalesce(list_sum(list_transform("status",
        lambda s, i: CASE WHEN s = 3 THEN "amount"[i] ELSE 0 END)), 0) AS "left"
    FROM "longest" WHERE list_contains("status", 2) AND NOT list_has_any("status", [4, 5, 6])
  )
  SELECT "user_id", year("local") * 12 + month("local") - 1 AS "period",
    count(*) FILTER ("left" >= 100) AS "payments", sum("left") AS "total"
  FROM "purchases" WHERE "left" > 0 GROUP BY ALL ORDER BY ALL
) TO '{target}' (FORMAT parquet, COMPRESSION zstd)
"""
"""What somebody writes who needs this answer once: the longest history of each transaction, and two sums."""


def main(job: str, folder: str) -> None:
    place = Path(folder)
    lake = DeltaLake.open(str(place / "lake"), {})
    started = time.perf_counter()
    jobs = {"full": _full, "incremental": _incremental, "by_hand": _by_hand, "spark": _spark}
    answer = jobs[job](place, lake)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "peak_gib": peak, **answer}))


def _full(place: Path, lake: DeltaLake) -> dict[str, int]:
    return _aggregate(place, lake, full=True)


def _incremental(place: Path, lake: DeltaLake) -> dict[str, int]:
    return _aggregate(place, lake, full=False)


def _aggregate(place: Path, lake: DeltaLake, *, full: bool) -> dict[str, int]:
    catalog = Catalog().apply(load(SPEC, "bench"), {})
    snapshots = Snapshots(place / "batch")
    settings = EngineSettings(f"{MEMORY_MIB}MiB", THREADS, place / "spill")
    with DuckEngine.open(settings) as engine:
        done = aggregate(engine, snapshots, lake, catalog, lake.positions(), nobody, full=full)
        (files,) = done.snapshot.figures.values()
        paths = [str(snapshots.path(name)) for name in files.values()]
    with duckdb.connect() as connection:
        row = connection.execute(
            'SELECT count(DISTINCT "user_id"), sum("value") FROM read_parquet($1)', [paths]
        ).fetchone()
    assert row is not None
    return {"events": done.events, "users": row[0], "sum": int(row[1])}


def _spark(place: Path, lake: DeltaLake) -> dict[str, int]:
    from rung.batch.spark.aggregate import aggregate_with
    from rung.batch.spark.engine import SparkEngine
    from rung.batch.spark.session import SparkSettings, spark_session

    catalog = Catalog().apply(load(SPEC, "bench"), {})
    settings = SparkSettings(f"local[{THREADS}]", MEMORY_MIB, place / "spark")
    with spark_session(settings) as session:
        made = settings.folder / "made"
        made.mkdir()
        engine = SparkEngine(session, made)
        done = aggregate_with(
            engine, Snapshots(place / "spark-batch"), lake.state(), catalog, lake.positions(), nobody
        )
    return {"events": done.events, "users": 0, "sum": 0}


def _by_hand(place: Path, lake: DeltaLake) -> dict[str, int]:
    files = ", ".join(f"'{file.path}'" for file in lake.state().files)
    target = place / "by-hand.parquet"
    settings = {
        "threads": THREADS,
        "memory_limit": f"{MEMORY_MIB}MiB",
        "temp_directory": str(place / "spill"),
        "preserve_insertion_order": False,
    }
    with duckdb.connect(config=settings) as connection:
        connection.execute(BY_HAND.format(files=files, target=target)).fetchall()
        row = connection.execute(
            'SELECT count(DISTINCT "user_id"), sum("payments") + sum("total") FROM read_parquet($1)',
            [str(target)],
        ).fetchone()
    assert row is not None
    return {"events": sum(file.events for file in lake.state().files), "users": row[0], "sum": int(row[1])}


if __name__ == "__main__":
    main(*sys.argv[1:])
