"""A campaign version compiled to one relational plan.

The plan is a query over the relation `histories`, with one row per transaction that changed:

    owner   BIGINT       whose figures it changes: any number that the caller chooses
    before  BIGINT       steps that are counted already
    after   BIGINT       steps that are to be counted
    status  TINYINT[]    status codes (`rung.transaction.history`)
    at      BIGINT[]     microseconds since the epoch
    amount  BIGINT[]     minor units
    and a column `attribute.NAME` for each attribute of the catalog

and answers with what the steps between `before` and `after` add: rows (owner, period, and per
measure the signed value `value.SERIES` and, for a distinct, the token `token.SERIES`). It is the
contribution law: q(k) is the measure vector of the first k steps, and step k adds q(k) - q(k-1)
to the period of step k (`post_to: refund`) or of the purchase (`post_to: purchase`, where the sum
telescopes to q(after) - q(before)). The speed layer asks for it with `before` as stored, the batch
layer with 0; there is no other implementation of the rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rung.campaign.calendar import MICROSECONDS_PER_DAY, Calendar, PeriodKind
from rung.campaign.catalog import CountedVersion
from rung.campaign.expression import Expression, to_sql
from rung.campaign.model import Measure, MeasureKind, PostTo
from rung.transaction.history import COMPLETED, ENDED, REFUNDED

HISTORIES: Final = "histories"
"""The relation that a plan reads."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled version: the query, and the series and kind of each measure in it."""

    sql: str
    series: tuple[tuple[int, MeasureKind], ...]


_DAY: Final = f'("posted_local" // {MICROSECONDS_PER_DAY})'
_MOMENT: Final = 'make_timestamp("posted_local")'
_PERIODS: Final = {
    PeriodKind.DAY: _DAY,
    PeriodKind.WEEK: f"(({_DAY} + 3) // 7)",
    PeriodKind.MONTH: f"(year({_MOMENT}) * 12 + month({_MOMENT}) - 1)",
}
"""The ordinal of a period (`rung.campaign.calendar`), from the microseconds on the zone's own clock."""


def attribute_column(name: str) -> str:
    """Return the name of an attribute's column in `histories`."""
    return f"attribute.{name}"


def compile_version(
    counted: CountedVersion, *, whole: bool = False, periods: tuple[int, int] | None = None
) -> Plan:
    """Compile one version for the periods that it counts, or for those of them that are wanted.

    Args:
        counted: The version.
        whole: Whether `before` is 0 in every row: nothing has to be taken away then.
        periods: The ordinals of the first and the last period wanted, both included.
    """
    version, calendar = counted.version, counted.campaign.calendar
    attributes = ", ".join(_quoted(attribute_column(name)) for name in counted.campaign.attributes)
    carried = f'"owner", {attributes}' if attributes else '"owner"'
    columns = [column for measure in version.measures for column in _measure(measure, counted)]
    first, last = counted.periods
    if periods is not None:
        first, last = max(first, periods[0]), min(last, periods[1])
    sql = f"""
WITH "purchases" AS (
  SELECT *, list_position("status", {COMPLETED}::TINYINT) AS "completed" FROM "{HISTORIES}"
), "states" AS (
  SELECT {carried}, "sign",
    "at"["completed"] AS "completed_at", {_posted_at(version.post_to)} AS "posted_at",
    "amount"["completed"] AS "gross_amount", {_refunded()} AS "refunded_amount",
    list_has_any("status"["completed":"steps"], [{", ".join(map(str, ENDED))}]::TINYINT[]) AS "ended"
  FROM ({_sides(version.post_to, whole=whole)})
  WHERE "steps" >= "completed"
), "located" AS (
  SELECT *, "gross_amount" - "refunded_amount" AS "amount",
    {_local_time("posted_at", calendar)} AS "posted_local"
  FROM "states"
  WHERE NOT "ended" AND ("refunded_amount" = 0 OR "refunded_amount" < "gross_amount")
), "counted" AS (
  SELECT *, {_PERIODS[calendar.kind]} AS "period" FROM "located"
)
SELECT "owner", "period", {", ".join(columns)} FROM "counted" WHERE "period" BETWEEN {first} AND {last}
"""
    return Plan(sql, tuple((counted.series[measure.name], measure.kind) for measure in version.measures))


def _sides(post_to: PostTo, *, whole: bool) -> str:
    """Return the two sides of each difference: the state before with sign -1, and after with +1."""
    signs = 'UNNEST([-1, 1]) AS "sign"'
    if post_to is PostTo.PURCHASE:
        if whole:
            return (
                'SELECT *, 1 AS "sign", "after" AS "steps" FROM "purchases"'
                ' WHERE "completed" BETWEEN 1 AND "after"'
            )
        return (
            f'SELECT *, {signs}, UNNEST(["before", "after"]) AS "steps" FROM "purchases"'
            ' WHERE "completed" BETWEEN 1 AND "after"'
        )
    first = 'greatest("completed", "before" + 1)'
    return (
        f'SELECT *, {signs}, UNNEST(["step" - 1, "step"]) AS "steps"'
        f' FROM (SELECT *, UNNEST(range({first}, "after" + 1)) AS "step" FROM "purchases"'
        ' WHERE "completed" BETWEEN 1 AND "after")'
    )


def _posted_at(post_to: PostTo) -> str:
    return '"at"["completed"]' if post_to is PostTo.PURCHASE else '"at"["step"]'


def _refunded() -> str:
    """Return what was given back within the first `steps` steps; few transactions have a refund."""
    return (
        f'CASE WHEN list_contains("status", {REFUNDED}::TINYINT) THEN CAST(list_sum(list_transform('
        f'"status"[1:"steps"], lambda s, i: CASE WHEN s = {REFUNDED} THEN "amount"[i] ELSE 0 END))'
        " AS BIGINT) ELSE 0 END"
    )


def _measure(measure: Measure, counted: CountedVersion) -> list[str]:
    """Return the columns of one measure: its signed value and, for a distinct, its token."""
    series = counted.series[measure.name]
    where = "TRUE" if measure.where is None else purchase_sql(measure.where)
    match measure.kind:
        case MeasureKind.COUNT:
            condition = f"({where}) AND ({purchase_sql(measure.expression)})"
            return [f'CASE WHEN {condition} THEN "sign" ELSE 0 END AS "value.{series}"']
        case MeasureKind.SUM:
            value = f'coalesce("sign" * ({purchase_sql(measure.expression)}), 0)'
            return [f'CASE WHEN {where} THEN {value} ELSE 0 END AS "value.{series}"']
        case MeasureKind.DISTINCT:
            calendar = counted.campaign.calendar
            if measure.expression.names == frozenset({"day"}):
                token = f"CAST({_local_time('completed_at', calendar)} // {MICROSECONDS_PER_DAY} AS UBIGINT)"
                present = "TRUE"
            else:
                token = f"md5_number_lower(CAST({purchase_sql(measure.expression)} AS VARCHAR))"
                present = f"{purchase_sql(measure.expression)} IS NOT NULL"
            return [
                f'CASE WHEN ({where}) AND {present} THEN "sign" ELSE 0 END AS "value.{series}"',
                f'coalesce({token}, 0) AS "token.{series}"',
            ]


def purchase_sql(expression: Expression) -> str:
    """Return an expression over a purchase as SQL over its amounts and its columns of attributes."""
    amounts = {"amount", "gross_amount", "refunded_amount"}
    return to_sql(expression, lambda name: _quoted(name if name in amounts else attribute_column(name)))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _local_time(column: str, calendar: Calendar) -> str:
    """Return microseconds on the zone's own clock, by binary search through the zone's offsets."""
    offsets = calendar.offsets()

    def search(low: int, high: int) -> str:
        if low == high:
            return str(offsets[low][1])
        middle = (low + high + 1) // 2
        return (
            f'CASE WHEN "{column}" >= {offsets[middle][0]}'
            f" THEN {search(middle, high)} ELSE {search(low, middle - 1)} END"
        )

    return f'("{column}" + {search(0, len(offsets) - 1)})'
