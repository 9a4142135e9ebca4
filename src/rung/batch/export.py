"""A snapshot's figures in words: what each version counted for each user and period."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from rung.batch.files import parquet
from rung.batch.snapshots import Snapshot, version_key
from rung.batch.workshop import Workshop
from rung.campaign.calendar import Period
from rung.campaign.catalog import CountedVersion
from rung.campaign.model import MeasureKind


class ExportRefused(Exception):
    """The figures cannot be written as asked; the text names the fix."""


def export_figures(
    workshop: Workshop,
    snapshot: Snapshot,
    versions: Sequence[CountedVersion],
    period: Period | None,
    path: Path,
) -> int:
    """Write figures of a snapshot to a file, and return how many.

    Its columns are user_id, campaign, version, period, measure and value; user, version, period and measure
    make a row.
    The value of a distinct measure is how many values occur. A measure of 0 has no row. Equal snapshots give
    equal bytes.

    Args:
        workshop: What to work with.
        snapshot: The snapshot.
        versions: Whose figures are wanted, versions of the catalog that the snapshot was made with.
        period: The only period that is wanted; None is all.
        path: A file that ends in .parquet or .csv.

    Raises:
        ExportRefused: the file has another ending.
        LakeDamaged: a file of the snapshot cannot be read.
    """
    if path.suffix not in {".parquet", ".csv"}:
        raise ExportRefused(f"{path}: figures are written as .parquet or .csv")
    tables = [_figures(workshop, snapshot, counted, period) for counted in versions]
    table = pa.concat_tables(tables).sort_by(
        [(name, "ascending") for name in ("user_id", "campaign", "version", "period", "measure")]
    )
    if path.suffix == ".csv":
        pc.write_csv(table, path)
    else:
        pq.write_table(table, path, compression="zstd")
    return table.num_rows


def _figures(
    workshop: Workshop, snapshot: Snapshot, counted: CountedVersion, period: Period | None
) -> pa.Table:
    files = workshop.snapshots.paths(snapshot.figures[version_key(counted)].values())
    wanted = "" if period is None else f'WHERE "period" = {period.ordinal}'
    found = workshop.engine.query(
        f"""
        SELECT "user_id", m."name" AS "measure", "period",
          CAST(CASE WHEN m."distinct" THEN count(*) FILTER ("value" > 0) ELSE sum("value") END AS BIGINT)
            AS "value"
        FROM {parquet(files)} f JOIN "measures" m USING ("series") {wanted}
        GROUP BY "user_id", m."name", m."distinct", "period" HAVING "value" <> 0
        """,
        measures=pa.table(
            {
                "series": pa.array(list(counted.series.values()), pa.int32()),
                "name": pa.array(list(counted.series), pa.string()),
                "distinct": pa.array(
                    [measure.kind is MeasureKind.DISTINCT for measure in counted.version.measures], pa.bool_()
                ),
            }
        ),
    )
    kind = counted.campaign.calendar.kind
    periods = found.column("period").to_pylist()
    names = {ordinal: str(Period(kind, ordinal)) for ordinal in set(periods)}
    rows = found.num_rows
    return pa.table(
        {
            "user_id": found.column("user_id"),
            "campaign": pa.array([counted.campaign.name] * rows, pa.string()),
            "version": pa.array([counted.version.number] * rows, pa.int32()),
            "period": pa.array([names[ordinal] for ordinal in periods], pa.string()),
            "measure": found.column("measure"),
            "value": found.column("value"),
        }
    )
