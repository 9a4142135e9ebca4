"""Adjust a closed period: what its result would be with all that came since, as additions to it.

An adjustment has a row for each user whose measures differ from the closed result together with the
adjustments before. The attributes of users are those of the close. No rate that was in force changes by it:
grants are at the closed rates, and `rate_before` and `rate_after` say what would be different.

    adjustment_id    text     SHA-256, hex, of CAMPAIGN/VERSION/IDENTITY/PERIOD#NUMBER/CONTENT/USER
    user_id          text
    delta.NAME       int64    what each measure changed by
    measure.NAME     int64    each measure after it
    step.NAME        boolean  whether each step is met after it
    rate_before, rate_after   text
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from rung.batch.files import parquet
from rung.batch.settlement.closed import Closed, read_closed, step_columns
from rung.batch.settlement.results import (
    RATE_PERCENT,
    frozen_attributes,
    measure_columns,
    results,
)
from rung.batch.settlement.settled import (
    FORMAT,
    AdjustmentManifest,
    Origin,
    Settled,
    Written,
    adjustment_files,
    check_rows,
    origin_of,
    read_manifest,
    refused,
    settle,
    those_there,
)
from rung.batch.workshop import Workshop
from rung.campaign.calendar import Period
from rung.campaign.counted import CountedVersion
from rung.campaign.model import Campaign
from rung.status.ladder import Ladder, of_nobody

_MEASURE: Final = "measure."


@dataclass(frozen=True, slots=True)
class Adjusted:
    """All adjustments of a closed period, and whether the last of them was added just now."""

    closed: Closed
    files: Sequence[Settled]
    manifests: Sequence[AdjustmentManifest]
    added: bool


def adjust(workshop: Workshop, campaign: Campaign, period: Period, who: str) -> Adjusted:
    """Write what changed in a closed period since it was closed or adjusted; if nothing did, write nothing.

    Raises:
        SettleRefused: the period is not closed, or is not counted any more.
        SettledDamaged: a settled file is not what was written.
        LakeError: the lake cannot be read.
        CatalogMoved: the campaigns changed meanwhile.
    """
    closed = read_closed(workshop, campaign, period)
    counted = closed.counted
    if not counted.has_counted(period.ordinal, period.ordinal):
        raise refused(
            f"version {counted.version.number} of campaign {campaign.name} does not count {period} any more: "
            "what came since it was closed cannot be told"
        )
    files_of = partial(adjustment_files, workshop.folder, campaign.name, period)
    files = those_there(files_of)
    manifests = [read_manifest(one, AdjustmentManifest) for one in files]
    for one, manifest in zip(files, manifests, strict=True):
        check_rows(one, manifest.sha256)
    snapshot = workshop.aggregate_to(dict(workshop.log.ends())).snapshot
    told = frozen_attributes(counted, parquet([closed.files.rows]))
    now = results(workshop, snapshot, counted, period, told)
    number = len(files) + 1
    rows = workshop.engine.query(_changes_sql(closed, files, number), now=now)
    if not rows.num_rows:
        return Adjusted(closed, files, manifests, added=False)
    origin = origin_of(counted, period, snapshot)
    manifest = settle(files_of(number), rows, partial(_manifest, number, origin, workshop.clock(), who))
    return Adjusted(closed, [*files, files_of(number)], [*manifests, manifest], added=True)


def _manifest(number: int, origin: Origin, at: int, who: str, written: Written) -> AdjustmentManifest:
    return AdjustmentManifest(FORMAT, number, origin, written.rows, written.sha256, written.bytes, at, who)


def _changes_sql(closed: Closed, files: Sequence[Settled], number: int) -> str:
    """Return the query for an adjustment's rows: of the relation `now`, and what was settled before."""
    counted = closed.counted
    measures, steps = measure_columns(counted), step_columns(counted)
    deltas = [f"delta.{name.removeprefix(_MEASURE)}" for name in measures]
    before = [f'coalesce(b."{name}", 0)' for name in measures]
    subtracted = ", ".join(
        f'n."{name}" - {value} AS "{delta}"'
        for name, value, delta in zip(measures, before, deltas, strict=True)
    )
    differs = " OR ".join(f'n."{name}" <> {value}' for name, value in zip(measures, before, strict=True))
    kept = ", ".join(f'n."{name}"' for name in (*measures, *steps))
    content = ", ".join(f'"{name}"' for name in (*deltas, *measures))
    origin = closed.manifest.origin
    of = f"{origin.campaign}/{origin.version}/{origin.identity}/{origin.counting_period}#{number}"
    # The user's id comes last: no part before it may hold a slash.
    return f"""
    WITH "before" AS (
      SELECT * FROM ({_settled_sql(closed, files)})
      QUALIFY row_number() OVER (PARTITION BY "user_id" ORDER BY "number" DESC) = 1
    ), "changed" AS (
      SELECT n."user_id", {subtracted}, {kept},
        coalesce(b."rate", '{_rate_of_nothing(counted)}') AS "rate_before",
        n."{RATE_PERCENT}" AS "rate_after"
      FROM "now" n LEFT JOIN "before" b ON n."user_id" = b."user_id" WHERE {differs}
    )
    SELECT sha256('{of}/' || concat_ws(',', {content}, "rate_before", "rate_after") || '/' || "user_id")
      AS "adjustment_id", *
    FROM "changed" ORDER BY "user_id"
    """


def _settled_sql(closed: Closed, files: Sequence[Settled]) -> str:
    """Return the query for the measures and the rate of each user after each settlement."""
    columns = ", ".join(f'"{name}"' for name in measure_columns(closed.counted))
    kept = f'"user_id", {columns}'
    return " UNION ALL ".join(
        [
            f'SELECT {kept}, "{RATE_PERCENT}" AS "rate", 0 AS "number" FROM {parquet([closed.files.rows])}',
            *(
                f'SELECT {kept}, "rate_after" AS "rate", {index} AS "number" FROM {parquet([one.rows])}'
                for index, one in enumerate(files, 1)
            ),
        ]
    )


def _rate_of_nothing(counted: CountedVersion) -> str:
    """Return the rate of a user who has counted nothing, and whose attributes nobody knows."""
    ladder = Ladder(counted.version.reward, counted.campaign.user_attributes)
    return ladder.percent(of_nobody(counted))
