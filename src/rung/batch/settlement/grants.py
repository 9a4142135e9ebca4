"""Grants: the cash back of each purchase in an effective period, at the rate that its user has earned.

Grants are settled by number. The first file has a grant for each purchase that earns something; each later
one has what has changed since, as additions: a refund gives a negative one. Whoever pays each grant id once
has paid what is due now. The rates are those of the closed result, whatever happened to that period since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from rung.batch.files import parquet
from rung.batch.settlement.cash_back import cash_back_sql, met_column, rate_texts
from rung.batch.settlement.closed import Closed, read_closed, step_column
from rung.batch.settlement.purchases import DISOWNED, purchases_sql
from rung.batch.settlement.settled import (
    FORMAT,
    GrantsManifest,
    Origin,
    Settled,
    SettledDamaged,
    Written,
    check_rows,
    grants_files,
    origin_of,
    read_manifest,
    refused,
    settle,
    those_there,
    write_rows,
)
from rung.batch.settlement.zoned import local_text
from rung.batch.snapshots import Snapshot
from rung.batch.workshop import Workshop
from rung.campaign.calendar import Period
from rung.campaign.model import Campaign, Effective
from rung.status.ladder import of_nobody

SCHEMA: Final = pa.schema(
    [
        pa.field("grant_id", pa.string()),
        pa.field("user_id", pa.string()),
        pa.field("transaction_id", pa.string()),
        pa.field("completed_at", pa.timestamp("us", "UTC")),
        pa.field("amount", pa.int64()),
        pa.field("rate_percent", pa.string()),
        pa.field("cash_back", pa.int64()),
    ]
)
Form: TypeAlias = Literal["csv", "parquet"]
"""The form of an export."""

_EARNED: Final = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("transaction_id", pa.string()),
        pa.field("completed_at", pa.int64()),
        pa.field("amount", pa.int64()),
        pa.field("rate", pa.int64()),
        pa.field("cash_back", pa.int64()),
    ]
)
_RESTORE: Final = "restore it from a copy"


@dataclass(frozen=True, slots=True)
class Granted:
    """All grants of a period, the oldest first, and whether the last of them were added just now."""

    files: Sequence[Settled]
    manifests: Sequence[GrantsManifest]
    added: bool


def grant(workshop: Workshop, campaign: Campaign, period: Period, who: str) -> Granted:
    """Settle what is due for an effective period and not granted yet; a second time there is nothing.

    Args:
        workshop: What to work with.
        campaign: The campaign.
        period: The effective period.
        who: Who asks for it.

    Raises:
        SettleRefused: the counting period is not closed, or the effective one has not ended.
        SettledDamaged: a settled file is not what was written, and cannot be made again.
        LakeError: the lake cannot be read.
    """
    counting = counting_period(campaign.effective, period)
    closed = read_closed(workshop, campaign, counting)
    ends_at = campaign.calendar.ends_at(period)
    if workshop.clock() < ends_at:
        raise refused(
            f"the effective period {period} of campaign {campaign.name} ends at "
            f"{local_text(campaign.calendar, ends_at)}: grant it after that"
        )
    granting = _Granting(workshop, closed, period)
    files = those_there(granting.files_of)
    manifests = [read_manifest(one, GrantsManifest) for one in files]
    for index, (one, manifest) in enumerate(zip(files, manifests, strict=True)):
        if one.rows.exists():
            check_rows(one, manifest.sha256)
        else:
            granting.restore(one, manifest, files[:index])
    snapshot = workshop.aggregate_to(dict(workshop.log.ends())).snapshot
    rows = granting.changes(snapshot, files)
    if files and not rows.num_rows:
        return Granted(files, manifests, added=False)
    number = len(files) + 1
    origin = origin_of(closed.counted, counting, snapshot)
    added = granting.files_of(number)
    manifest = settle(added, rows, partial(granting.manifest, number, origin, rows, who))
    return Granted([*files, added], [*manifests, manifest], added=True)


def counting_period(effective: Effective, period: Period) -> Period:
    """Return the counting period whose rate is in force in an effective one."""
    return period if effective is Effective.SAME else period.previous()


def export(granted: Granted, path: Path, form: Form) -> None:
    """Write all grants of a period to one file, those of each settlement behind those of the one before.

    The same grants are the same bytes. Times are RFC 3339 in UTC.
    """
    rows = pa.concat_tables([pq.read_table(one.rows) for one in granted.files])
    if form == "parquet":
        pq.write_table(rows, path, compression="zstd")
        return
    naive = rows.column("completed_at").cast(pa.timestamp("us"))
    texts = pc.strftime(naive, format="%Y-%m-%dT%H:%M:%SZ")
    csv.write_csv(_with_times(rows, texts), path)


def _with_times(rows: pa.Table, times: pa.ChunkedArray) -> pa.Table:
    return rows.drop_columns(["completed_at"]).append_column("completed_at", times).select(SCHEMA.names)


class _Granting:
    """The grants of one effective period."""

    def __init__(self, workshop: Workshop, closed: Closed, period: Period) -> None:
        self._workshop = workshop
        self._closed = closed
        self._counted = closed.counted
        self._period = period

    def files_of(self, number: int) -> Settled:
        return grants_files(self._workshop.folder, self._counted.campaign.name, self._period, number)

    def manifest(
        self, number: int, origin: Origin, rows: pa.Table, who: str, written: Written
    ) -> GrantsManifest:
        return GrantsManifest(
            FORMAT,
            number,
            str(self._period),
            origin,
            self._closed.manifest.sha256,
            self._counted.campaign.currency,
            rows.num_rows,
            int(pc.sum(rows.column("cash_back")).as_py() or 0),
            written.sha256,
            written.bytes,
            self._workshop.clock(),
            who,
        )

    def restore(self, files: Settled, manifest: GrantsManifest, earlier: Sequence[Settled]) -> None:
        """Make a file that is lost again, from the lake as of the positions that it was made from.

        Raises:
            SettledDamaged: that gives other bytes, or the positions are those of another log.
        """
        origin = manifest.origin
        if (origin.log, origin.partitions) != self._workshop.log.identity():
            raise SettledDamaged(f"{files.rows} is missing, and was made from another log: {_RESTORE}")
        snapshot = self._workshop.aggregate_to(dict(origin.positions)).snapshot
        written = write_rows(files.rows, self.changes(snapshot, earlier))
        if written.sha256 != manifest.sha256:
            files.rows.unlink()
            raise SettledDamaged(
                f"{files.rows} is missing, and the lake gives other bytes than its manifest says: {_RESTORE}"
            )

    def changes(self, snapshot: Snapshot, earlier: Sequence[Settled]) -> pa.Table:
        """Return what is due as of a snapshot and not granted in earlier files, as `SCHEMA` has it."""
        due = pa.concat_tables(
            [
                _EARNED.empty_table(),
                *(self._due(snapshot, partition) for partition in sorted(snapshot.positions)),
            ]
        )
        due = due.append_column("rate_percent", rate_texts(due.column("rate"), self._counted.version.reward))
        granted = 'SELECT * FROM "nothing"'
        if earlier:
            granted = f"SELECT * FROM {parquet([one.rows for one in earlier])}"
        found = self._workshop.engine.query(
            self._changes_sql(granted, len(earlier) + 1),
            due=due,
            nothing=SCHEMA.empty_table(),
        )
        # Whole microseconds become times here: DuckDB would need its time zones for it.
        moments = found.column("completed_at").cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
        return _with_times(found, moments).cast(SCHEMA)

    def _due(self, snapshot: Snapshot, partition: int) -> pa.Table:
        """Return what each purchase of a partition earns."""
        engine, snapshots = self._workshop.engine, self._workshop.snapshots
        engine.read_merged(snapshots.paths(snapshot.merged[partition]))
        disowned = pa.table({"id": pa.array(snapshot.disowned.get(partition, []), pa.string())})
        purchases = engine.query(purchases_sql(self._counted.campaign, self._period), **{DISOWNED: disowned})
        query = cash_back_sql(self._counted.version, '"purchases"', f"({self._rates_sql()})")
        return engine.query(query, purchases=purchases).cast(_EARNED)

    def _rates_sql(self) -> str:
        """Return the query for the steps that each user with a purchase met.

        One whom nobody knew when the period was closed has counted nothing in it, and has no attributes.
        """
        steps = self._counted.version.reward.steps
        met = "".join(
            f', coalesce(c."{step_column(step.name)}", {str(status.met).upper()}) AS "{met_column(index)}"'
            for index, (step, status) in enumerate(zip(steps, of_nobody(self._counted), strict=True))
        )
        return f"""
        SELECT u."user_id"{met} FROM (SELECT DISTINCT "user_id" FROM "purchases") u
        LEFT JOIN {parquet([self._closed.files.rows])} c ON u."user_id" = c."user_id"
        """

    def _changes_sql(self, granted: str, number: int) -> str:
        version = self._counted.version
        first = f"{self._counted.campaign.name}/{version.number}/{version.identity}/{self._period}"
        # No part but the last may hold a slash, so different things never give the same text.
        grant_id = f"""CASE WHEN "is_first" THEN sha256('{first}/' || "transaction_id")
          ELSE sha256('{first}#{number}/' || sha256("user_id") || '/' || "transaction_id") END"""
        return f"""
        WITH "granted" AS ({granted}), "before" AS (
          SELECT "transaction_id", "user_id", max(epoch_us("completed_at")) AS "completed_at",
            sum("cash_back") AS "cash_back"
          FROM "granted" GROUP BY "transaction_id", "user_id"
        ), "changed" AS (
          SELECT "user_id", "transaction_id", coalesce(n."completed_at", b."completed_at") AS "completed_at",
            coalesce(n."amount", 0) AS "amount", coalesce(n."rate_percent", '0.0') AS "rate_percent",
            coalesce(n."cash_back", 0) - coalesce(b."cash_back", 0) AS "cash_back"
          FROM "due" n FULL OUTER JOIN "before" b USING ("transaction_id", "user_id")
        ), "marked" AS (
          SELECT c.*, NOT EXISTS (
            SELECT 1 FROM "granted" g WHERE g."transaction_id" = c."transaction_id") AS "is_first"
          FROM "changed" c WHERE "cash_back" <> 0
        )
        SELECT {grant_id} AS "grant_id", "user_id", "transaction_id", "completed_at", "amount",
          "rate_percent", CAST("cash_back" AS BIGINT) AS "cash_back"
        FROM "marked" ORDER BY "user_id", "completed_at", "transaction_id"
        """
