"""Every user's standing in one counting period, as DuckDB SQL: measures, met steps and rate.

These are the rules of `rung.status.ladder` on relations: an attribute that is not of its declared type is
unknown, and a condition that is NULL is not met.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rung.batch.settlement.cash_back import met_column, rate_scale
from rung.batch.sql import attribute_sql
from rung.campaign.catalog import CountedVersion
from rung.campaign.expression import Expression, to_sql
from rung.campaign.model import MeasureKind, Reward, Step

USERS: Final = "users"
FIGURES: Final = "figures"
ATTRIBUTES: Final = "told"
RATE: Final = "rate"
_USER: Final = "user."


def measure_column(name: str) -> str:
    """Return the name of a measure's column."""
    return f"measure.{name}"


def standing_column(name: str) -> str:
    """Return the column of a name in a step's condition: a measure's, or `user.` with an attribute's name."""
    return name if name.startswith(_USER) else measure_column(name)


def standing_sql(expression: Expression) -> str:
    """Return a step's condition, or a part of it, as SQL over the columns of standings."""
    return to_sql(expression, lambda name: _quoted(standing_column(name)))


def standings_sql(counted: CountedVersion, period: int) -> str:
    """Return the query for the standings of users in a counting period.

    Args:
        counted: The version.
        period: The period's ordinal.

    It reads the relations `users` (user_id), `figures` (user_id, series, period, token, value) and `told`
    (user_id, attributes: JSON with the last attributes told of a user).

    Returns:
        A query for user_id, each measure (`measure_column`), each user attribute ("user.NAME"), whether each
        step is met (`met_column` of `rung.batch.settlement.cash_back`), and "rate": the percentage of all
        purchases, times `rate_scale`. There is a row for each user, in the order of the ids.
    """
    reward, measures = counted.version.reward, counted.version.measures
    sums = ", ".join(
        f"{_measure(counted.series[one.name], one.kind)} AS {_quoted(measure_column(one.name))}"
        for one in measures
    )
    joined = [
        *(
            f"coalesce({_quoted(measure_column(one.name))}, 0) AS {_quoted(measure_column(one.name))}"
            for one in measures
        ),
        *(
            f"""{attribute_sql(name, kind, 't."attributes"')} AS {_quoted(_USER + name)}"""
            for name, kind in counted.campaign.user_attributes.items()
        ),
    ]
    met = [f"{_met(step)} AS {_quoted(met_column(index))}" for index, step in enumerate(reward.steps)]
    return f"""
WITH "measured" AS (
  SELECT "user_id", {sums} FROM "{FIGURES}" WHERE "period" = {period} GROUP BY "user_id"
), "known" AS (
  SELECT u."user_id", {", ".join(joined)} FROM "{USERS}" u
  LEFT JOIN "measured" m ON u."user_id" = m."user_id" LEFT JOIN "{ATTRIBUTES}" t ON u."user_id" = t."user_id"
), "climbed" AS (
  SELECT {", ".join(["*", *met])} FROM "known"
)
SELECT *, {_rate(reward)} AS "{RATE}" FROM "climbed" ORDER BY "user_id"
"""


def users_sql(relations: Sequence[str]) -> str:
    """Return the query for the users of relations, each once, in order."""
    parts = " UNION ".join(f'SELECT "user_id" FROM {relation}' for relation in relations)
    return f'SELECT "user_id" FROM ({parts}) ORDER BY "user_id"'


def _measure(series: int, kind: MeasureKind) -> str:
    if kind is MeasureKind.DISTINCT:
        return f'count(*) FILTER (WHERE "series" = {series} AND "value" > 0)'
    return f'CAST(coalesce(sum("value") FILTER (WHERE "series" = {series}), 0) AS BIGINT)'


def _met(step: Step) -> str:
    return "TRUE" if step.when is None else f"coalesce({standing_sql(step.when)}, FALSE)"


def _rate(reward: Reward) -> str:
    scale = rate_scale(reward)
    added = [
        f"CASE WHEN {_quoted(met_column(index))} THEN {int(step.add_percent * scale)} ELSE 0 END"
        for index, step in enumerate(reward.steps)
        if step.on is None
    ]
    return f"CAST({' + '.join([str(int(reward.base_percent * scale)), *added])} AS BIGINT)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
