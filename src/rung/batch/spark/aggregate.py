"""Aggregate everything again on Spark: a full run, whose figures are those of DuckDB, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import SparkSession

from rung.batch.aggregate import (
    Aggregation,
    Owners,
    check_coverage,
    check_files,
    disowned_by,
    figures_name,
    owners_in,
)
from rung.batch.archive import archive_up_to
from rung.batch.duck import Span
from rung.batch.files import write_figures, write_rejected
from rung.batch.resolve import resolve
from rung.batch.snapshots import FORMAT, HASHED_BY, FileMark, Snapshot, Snapshots, judged_by, version_key
from rung.batch.spark.engine import SparkEngine
from rung.batch.workshop import Workshop
from rung.campaign.catalog import Catalog
from rung.faultpoints import passing
from rung.lake.port import LakeState


def aggregate_on_spark(
    session: SparkSession, workshop: Workshop, folder: Path, ends: dict[int, int]
) -> Aggregation:
    """Archive what the lake lacks before `ends`, and make a snapshot of all that.

    Args:
        session: Where it is computed.
        workshop: What to work with.
        folder: An empty folder for what Spark makes, under the same path for its executors.
        ends: The offset of the first event that is not wanted, of each partition.

    Raises:
        LakeDamaged: the lake does not hold all of it, or a file cannot be read.
        SparkFailed: Spark cannot do it.
    """
    catalog = workshop.catalog()
    archive_up_to(workshop.log, workshop.lake, ends)
    lake = workshop.lake.state()
    files = [file for partition, end in ends.items() for file in lake.of_partition(partition, 0, end)]
    check_files(workshop.lake, files, workshop.engine.threads)
    engine = SparkEngine(session, folder)
    return aggregate_with(engine, workshop.snapshots, lake, catalog, ends, owners_in(workshop.store))


def aggregate_with(
    engine: SparkEngine,
    snapshots: Snapshots,
    lake: LakeState,
    catalog: Catalog,
    ends: Mapping[int, int],
    owners: Owners,
) -> Aggregation:
    """Make a snapshot of what the lake has before `ends`; see `rung.batch.aggregate.aggregate`."""
    check_coverage(lake, ends)
    spans = [
        Span(
            partition,
            0,
            end,
            [file.path for file in lake.of_partition(partition, 0, end)],
            catalog.declarations(partition),
        )
        for partition, end in sorted(ends.items())
    ]
    number, folder = snapshots.begin()
    files: dict[str, FileMark] = {}

    def mark(path: Path) -> str:
        name, files[name] = snapshots.mark(path)
        return name

    engine.read(spans)
    disowned = disowned_by(engine.contested(), owners, {})
    passing("claims_settled")
    reasons = engine.merge(resolve)
    merged: dict[int, list[str]] = {}
    rejected: dict[int, list[str]] = {}
    transactions = 0
    for partition in ends:
        path = folder / f"merged-{partition}.parquet"
        transactions += engine.write_merged(partition, path)
        merged[partition], rejected[partition] = [mark(path)], []
        if reasons.get(partition):
            path = folder / f"rejected-{partition}.parquet"
            write_rejected(reasons[partition], path)
            rejected[partition].append(mark(path))
    figures: dict[str, dict[int, str]] = {version_key(one): {} for one in catalog.versions}
    for counted in catalog.versions:
        engine.count(counted, catalog.attributes, disowned)
        for partition in ends:
            path = folder / figures_name(partition, counted)
            write_figures(engine.figures(partition), path)
            figures[version_key(counted)][partition] = mark(path)
    snapshot = Snapshot(
        FORMAT,
        number,
        lake.log.name,
        lake.log.partitions,
        dict(sorted(ends.items())),
        merged,
        rejected,
        figures,
        disowned,
        {span.partition: judged_by(span.declared, span.end) for span in spans},
        HASHED_BY,
        dict(sorted(files.items())),
    )
    passing("snapshot_made")
    snapshots.end(snapshot)
    return Aggregation(snapshot, sum(span.end for span in spans), transactions)
