"""Late events: how long after their latest step the events of a day came, and what they changed."""

from __future__ import annotations

from datetime import date
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from rung.batch.archive import archive_up_to
from rung.batch.sql import histories
from rung.batch.workshop import Workshop
from rung.campaign.calendar import MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND, Calendar, Period
from rung.campaign.catalog import Catalog, CountedVersion
from rung.campaign.model import MeasureKind
from rung.lake.port import LakeState
from rung.lake.rows import TRANSACTION
from rung.plan.compile import HISTORIES, compile_version

DELAYS: Final = (
    ("under 1 minute", 60 * MICROSECONDS_PER_SECOND),
    ("under 1 hour", 3_600 * MICROSECONDS_PER_SECOND),
    ("under 1 day", MICROSECONDS_PER_DAY),
    ("under 3 days", 3 * MICROSECONDS_PER_DAY),
)
BEYOND: Final = "3 days or more"


class LateEvents(msgspec.Struct, frozen=True):
    """The transactions' events that were appended on a day, in UTC.

    Attributes:
        day: The day.
        events: How many there were, those that brought nothing new included.
        delays: How many came how long after their latest step.
        changed_ended: For each campaign, how many changed a figure of a period that had ended when they came.
    """

    day: str
    events: int
    delays: dict[str, int]
    changed_ended: dict[str, int]


def late_events(workshop: Workshop, day: date) -> LateEvents:
    """Archive what the log has, and tell how late the events of a day were.

    An event that fits nothing before it counts as if it had been applied.

    Raises:
        LakeError: the lake cannot be written or read.
    """
    catalog = workshop.catalog()
    archive_up_to(workshop.log, workshop.lake, workshop.log.ends())
    lake = workshop.lake.state()
    came = _came(workshop, lake, catalog, day)
    steps = " ".join(f"""WHEN "delay" < {limit} THEN '{name}'""" for name, limit in DELAYS)
    counted = workshop.engine.query(
        f"""SELECT CASE {steps} ELSE '{BEYOND}' END AS "late", count(*) AS "n"
        FROM (SELECT "appended_at" - list_max("at") AS "delay" FROM "came") GROUP BY 1""",
        came=came,
    ).to_pylist()
    counts = {row["late"]: row["n"] for row in counted}
    names = [*(name for name, _ in DELAYS), BEYOND]
    return LateEvents(
        day.isoformat(),
        came.num_rows,
        {name: counts.get(name, 0) for name in names},
        _changed_ended(workshop, catalog, came),
    )


def _came(workshop: Workshop, lake: LakeState, catalog: Catalog, day: date) -> pa.Table:
    """Return the day's events, with how many steps of each one's transaction were known before it."""
    files = [file for file in lake.files if file.day == day]
    if not files:
        return _NOTHING
    partitions = {file.partition for file in files}
    earlier = [file for file in lake.files if file.partition in partitions and file.day <= day]
    # The folder that a file lies in tells its partition, and no column of it.
    told = " UNION ALL ".join(
        f"""SELECT {partition} AS "partition", "offset", epoch_us("appended_at") AS "appended_at",
          "transaction_id", "user_id", "attributes", "status", "at", "amount", {chosen} AS "came"
        FROM {workshop.engine.events(TRANSACTION, paths, catalog.declarations(partition))}"""
        for partition in sorted(partitions)
        for chosen, paths in (
            ("TRUE", [file.path for file in files if file.partition == partition]),
            (
                "FALSE",
                [file.path for file in earlier if file.partition == partition and file.day < day],
            ),
        )
        if paths
    )
    return workshop.engine.query(
        f"""WITH "told" AS MATERIALIZED ({told})
        SELECT row_number() OVER () AS "row", "appended_at", "transaction_id", "attributes", "status", "at",
          "amount", CAST(coalesce("known", 0) AS BIGINT) AS "before"
        FROM (
          SELECT *, max(len("status")) OVER (
            PARTITION BY "partition", "transaction_id" ORDER BY "offset"
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
          ) AS "known"
          FROM "told" e SEMI JOIN (SELECT DISTINCT "transaction_id" FROM "told" WHERE "came") c
          ON e."transaction_id" = c."transaction_id"
        ) WHERE "came" """
    )


def _changed_ended(workshop: Workshop, catalog: Catalog, came: pa.Table) -> dict[str, int]:
    """Return how many events changed an ended period of a campaign, by any of its versions."""
    grown = workshop.engine.query('SELECT * FROM "came" WHERE len("status") > "before"', came=came)
    changes: dict[str, list[pa.Table]] = {name: [] for name in catalog.campaigns}
    read = workshop.engine.query(histories("grown", catalog.attributes, '"row"'), grown=grown)
    for counted in catalog.versions:
        changed = workshop.engine.query(_changes(counted), **{HISTORIES: read})
        changes[counted.campaign.name].append(_ended(workshop, counted.campaign.calendar, changed, grown))
    return {
        name: pc.count_distinct(pa.concat_tables(tables).column("row")).as_py() if tables else 0
        for name, tables in changes.items()
    }


def _changes(counted: CountedVersion) -> str:
    """Return the query for the periods that each event changes."""
    plan = compile_version(counted)
    changed = " OR ".join(f'"value.{series}" <> 0' for series, _ in plan.series)
    tokens = [f'"token.{series}"' for series, kind in plan.series if kind is MeasureKind.DISTINCT]
    keys = ", ".join(['"owner"', '"period"', *tokens])
    sums = ", ".join(f'sum("value.{series}") AS "value.{series}"' for series, _ in plan.series)
    return f"""SELECT DISTINCT "owner", "period" FROM (
      SELECT {keys}, {sums} FROM ({plan.sql}) GROUP BY {keys}
    ) WHERE {changed}"""


def _ended(workshop: Workshop, calendar: Calendar, changed: pa.Table, grown: pa.Table) -> pa.Table:
    periods = sorted(set(changed.column("period").to_pylist()))
    ends = {
        "period": pa.array(periods, pa.int64()),
        "end": pa.array([calendar.ends_at(Period(calendar.kind, one)) for one in periods], pa.int64()),
    }
    return workshop.engine.query(
        """SELECT DISTINCT g."row" FROM "changed" c JOIN "ends" e ON c."period" = e."period"
        JOIN "grown" g ON c."owner" = g."row" WHERE e."end" <= g."appended_at" """,
        changed=changed,
        ends=pa.table(ends),
        grown=grown,
    )


_NOTHING: Final = pa.table(
    {
        "row": pa.array([], pa.int64()),
        "appended_at": pa.array([], pa.int64()),
        "transaction_id": pa.array([], pa.string()),
        "attributes": pa.array([], pa.string()),
        "status": pa.array([], pa.list_(pa.int8())),
        "at": pa.array([], pa.list_(pa.int64())),
        "amount": pa.array([], pa.list_(pa.int64())),
        "before": pa.array([], pa.int64()),
    }
)
