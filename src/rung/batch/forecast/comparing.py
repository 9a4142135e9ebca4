"""Runs versions over the users of a snapshot: what each makes of a period, and what changes for whom."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from rung.batch.files import parquet
from rung.batch.forecast.basis import Extent
from rung.batch.forecast.numbers import Compared, Example, Standing
from rung.batch.forecast.standings import RATE, measure_column, standings_sql, users_sql
from rung.batch.forecast.tally import Case, Rows, Tally, rate_differences
from rung.batch.forecast.thresholds import near_sql, thresholds_of
from rung.batch.settlement.cash_back import cash_back_sql, met_column, rate_scale
from rung.batch.settlement.purchases import DISOWNED, purchases_sql
from rung.batch.snapshots import Snapshot, version_key
from rung.batch.told import told_sql
from rung.batch.workshop import Workshop
from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog, CountedVersion
from rung.campaign.model import Campaign
from rung.lake.port import LakeState
from rung.status.ladder import percent_text


@dataclass(frozen=True, slots=True)
class Question:
    """A counting period under a version, and under the one to compare it with."""

    period: Period
    before: CountedVersion | None
    after: CountedVersion


@dataclass(slots=True)
class Examples:
    """Users whose rate changes most, at most `count_max` each way."""

    count_max: int
    up: list[Example] = field(default_factory=list[Example])
    down: list[Example] = field(default_factory=list[Example])


class Comparing:
    """Compares versions on one snapshot."""

    def __init__(self, workshop: Workshop, snapshot: Snapshot) -> None:
        """Use a snapshot of the workshop's."""
        self._workshop = workshop
        self._snapshot = snapshot
        self._lake = workshop.lake.state()
        self._catalog = workshop.catalog()

    def compare(
        self, questions: Sequence[Question], extent: Extent, examples: Examples | None = None
    ) -> list[Compared]:
        """Answer questions, and add the users whose rate changes most to `examples`."""
        cases = [
            tuple(
                None if counted is None else _case(counted, question.period, extent)
                for counted in (question.before, question.after)
            )
            for question in questions
        ]
        tallies = [
            Tally(before, after, whole=extent.is_whole(after.counted.campaign, after.period))
            for before, after in cases
            if after is not None
        ]
        for partition in self._snapshot.merged:
            rows = _Partition(self._workshop, self._snapshot, self._lake, self._catalog, partition, questions)
            for (before, after), tally in zip(cases, tallies, strict=True):
                assert after is not None
                rows.answer(before, after, tally, examples)
        return [tally.compared() for tally in tallies]


def _case(counted: CountedVersion, period: Period, extent: Extent) -> Case:
    return Case(counted, period, extent.basis_of(counted.campaign, period))


class _Partition:
    """The users of one partition; what several questions need is read once."""

    def __init__(
        self,
        workshop: Workshop,
        snapshot: Snapshot,
        lake: LakeState,
        catalog: Catalog,
        partition: int,
        questions: Sequence[Question],
    ) -> None:
        engine, snapshots = workshop.engine, workshop.snapshots
        self._engine = engine
        self._snapshots = snapshots
        self._snapshot = snapshot
        self._partition = partition
        self._disowned = snapshot.disowned.get(partition, [])
        self._purchases: dict[object, pa.Table] = {}
        engine.read_merged(snapshots.paths(snapshot.merged[partition]))
        ends = {partition: snapshot.positions[partition]}
        self._told = engine.query(told_sql(engine, lake, catalog, ends))
        asked: dict[str, tuple[CountedVersion, list[int]]] = {}
        for question in questions:
            for counted in (question.before, question.after):
                if counted is not None:
                    asked.setdefault(version_key(counted), (counted, []))[1].append(question.period.ordinal)
        self._figures = {
            key: self._figures_of(counted, min(periods), max(periods))
            for key, (counted, periods) in asked.items()
        }

    def answer(self, before: Case | None, after: Case, tally: Tally, examples: Examples | None) -> None:
        """Add the users to a tally."""
        sides = [case for case in (before, after) if case is not None]
        users = self._users(sides)
        if not users.num_rows:
            return
        found = [self._rows(case, users) for case in sides]
        rows_after, rows_before = found[-1][0], found[0][0] if before is not None else None
        tally.add(self._partition, rows_before, rows_after)
        if examples is not None and before is not None and rows_before is not None:
            difference = rate_differences(before, rows_before, after, rows_after)
            for sign, kept in ((1, examples.up), (-1, examples.down)):
                chosen = np.flatnonzero(difference * sign > 0)
                # Rows are in the order of the ids, and the sort is stable.
                chosen = chosen[np.argsort(-difference[chosen] * sign, kind="stable")][: examples.count_max]
                left, right = (
                    _standings(case, table, rows, chosen)
                    for case, (rows, table) in zip(sides, found, strict=True)
                )
                ids = users.take(pa.array(chosen)).column("user_id").to_pylist()
                made = [Example(*one) for one in zip(ids, left, right, strict=True)]
                kept[:] = heapq.nsmallest(examples.count_max, [*kept, *made], key=_order)

    def _figures_of(self, counted: CountedVersion, first: int, last: int) -> pa.Table:
        """Return a version's figures of some periods: from the snapshot, or from its transactions."""
        files = self._snapshot.figures.get(version_key(counted), {})
        if counted.counts(first, last) and self._partition in files:
            path = self._snapshots.path(files[self._partition])
            return self._engine.query(
                f'SELECT * FROM {parquet([path])} WHERE "period" BETWEEN {first} AND {last}'
            )
        return self._engine.figures(
            [replace(counted, periods=(first, last))],
            counted.campaign.attributes,
            whole=True,
            disowned=self._disowned,
        )

    def _purchases_of(self, campaign: Campaign, period: Period) -> pa.Table:
        key = (campaign.calendar, tuple(campaign.attributes.items()), period.ordinal)
        if key not in self._purchases:
            ids = pa.table({"id": pa.array(self._disowned, pa.string())})
            found = self._engine.query(purchases_sql(campaign, period), **{DISOWNED: ids})
            self._purchases[key] = found
        return self._purchases[key]

    def _users(self, sides: Sequence[Case]) -> pa.Table:
        relations: dict[str, pa.Table] = {}
        parts: list[str] = []
        for index, case in enumerate(sides):
            relations[f"figures_{index}"] = self._figures[version_key(case.counted)]
            relations[f"purchases_{index}"] = self._purchases_of(case.counted.campaign, case.basis.period)
            parts.append(f'"figures_{index}" WHERE "period" = {case.period.ordinal}')
            parts.append(f'"purchases_{index}"')
        return self._engine.query(users_sql(parts), **relations)

    def _rows(self, case: Case, users: pa.Table) -> tuple[Rows, pa.Table]:
        counted = case.counted
        version = counted.version
        standings = self._engine.query(
            standings_sql(counted, case.period.ordinal),
            users=users,
            figures=self._figures[version_key(counted)],
            told=self._told,
        )
        earned = self._engine.query(
            f"""
            SELECT s."user_id", coalesce("cash_back", 0) AS "cash_back",
              coalesce("purchases", 0) AS "purchases", coalesce("spent", 0) AS "spent"
            FROM "standings" s LEFT JOIN (
              SELECT "user_id", CAST(sum("cash_back") AS BIGINT) AS "cash_back", count(*) AS "purchases",
                CAST(sum("amount") AS BIGINT) AS "spent"
              FROM ({cash_back_sql(version, '"bought"', '"standings"')}) GROUP BY "user_id"
            ) c ON s."user_id" = c."user_id" ORDER BY s."user_id"
            """,
            standings=standings,
            bought=self._purchases_of(counted.campaign, case.basis.period),
        )
        thresholds = thresholds_of(version)
        near: list[dict[str, Any]] = []
        if thresholds:
            near = self._engine.query(near_sql(thresholds, "standings"), standings=standings).to_pylist()
        return (
            Rows(
                [
                    standings.column(met_column(index)).to_numpy().astype(np.bool_)
                    for index in range(len(version.reward.steps))
                ],
                standings.column(RATE).to_numpy(),
                earned.column("cash_back").to_numpy(),
                near,
                int(earned.column("purchases").to_numpy().sum()),
                sum(earned.column("spent").to_pylist()),
            ),
            standings,
        )


def _standings(case: Case, table: pa.Table, rows: Rows, chosen: Any) -> list[Standing]:
    """Return the standings of chosen users."""
    version = case.counted.version
    scale = rate_scale(version.reward)
    cash_back = rows.cash_back[chosen].tolist()
    return [
        Standing(
            {measure.name: row[measure_column(measure.name)] for measure in version.measures},
            [step.name for at, step in enumerate(version.reward.steps) if row[met_column(at)]],
            percent_text(Decimal(row[RATE]) / scale),
            cash_back[index],
        )
        for index, row in enumerate(table.take(pa.array(chosen)).to_pylist())
    ]


def _order(example: Example) -> tuple[Decimal, str]:
    difference = Decimal(example.after.percent) - Decimal(example.before.percent)
    return -abs(difference), example.user_id
