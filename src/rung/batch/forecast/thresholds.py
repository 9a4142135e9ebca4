"""The thresholds in a version's steps, and how users stand near them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rung.batch.forecast.standings import standing_sql
from rung.campaign.expression import Comparison, Expression, comparison
from rung.campaign.expression.node import And, Between, Compare, Node, Not, Or, expression_of
from rung.campaign.model import Version

BINS: Final = 20
"""How many tenths of a threshold are told apart; what is above twice the threshold is in one more bin."""

_NEAR: Final = 10
"""A tenth of a threshold is near it; of a small one, one unit is."""

_AFTER_TARGET: Final = {"<=": 1, ">": 1}


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where a comparison in a step's condition turns: at `value` it is not what it is at `value` - 1.

    `margin` is how far from it is near.
    """

    step: int
    condition: str
    compared: Expression
    value: int

    @property
    def margin(self) -> int:
        """A tenth of the value, and one at least."""
        return max(1, abs(self.value) // _NEAR)


def thresholds_of(version: Version) -> tuple[Threshold, ...]:
    """Return the thresholds of a version: of each comparison of an integer with a constant, in order."""
    return tuple(
        Threshold(
            index,
            expression_of(node).text,
            compared.left,
            compared.target + _AFTER_TARGET.get(compared.operator, 0),
        )
        for index, step in enumerate(version.reward.steps)
        if step.when is not None
        for node in _comparisons(step.when.node)
        if (compared := _compared(node)) is not None
    )


def near_sql(thresholds: Sequence[Threshold], standings: str) -> str:
    """Return the query for how many users stand where: threshold (its index), bin, users, below, above.

    Bin 0 has those below a tenth of the threshold, `BINS` those at twice it and above; all are in bin 0 when
    the threshold is not positive. A user whose value is unknown is nowhere.
    """
    parts = [_near(index, threshold, standings) for index, threshold in enumerate(thresholds)]
    return " UNION ALL ".join(parts)


def _near(index: int, threshold: Threshold, standings: str) -> str:
    value, margin = threshold.value, threshold.margin
    bins = f'least(greatest(CAST("compared" AS HUGEINT) * 10 // {value}, 0), {BINS})' if value > 0 else "0"
    return f"""
SELECT {index} AS "threshold", CAST({bins} AS INTEGER) AS "bin", count(*) AS "users",
  count(*) FILTER (WHERE "compared" >= {value - margin} AND "compared" < {value}) AS "below",
  count(*) FILTER (WHERE "compared" >= {value} AND "compared" < {value + margin}) AS "above"
FROM (SELECT {standing_sql(threshold.compared)} AS "compared" FROM "{standings}")
WHERE "compared" IS NOT NULL GROUP BY ALL HAVING count(*) > 0
"""


def _comparisons(node: Node) -> Iterator[Node]:
    match node:
        case And(operands) | Or(operands):
            for operand in operands:
                yield from _comparisons(operand)
        case Not(operand):
            yield from _comparisons(operand)
        case Between(operand, low, high):
            yield Compare(">=", operand, low)
            yield Compare("<=", operand, high)
        case Compare():
            yield node
        case _:
            return


def _compared(node: Node) -> Comparison | None:
    return comparison(expression_of(node))
