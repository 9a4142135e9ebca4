"""The cash back of purchases, as DuckDB SQL: each at its user's rate, rounded, and limited by the caps.

All of it is exact. A percentage has few decimals, so the percentages of a version are whole numbers of one
power of ten, and the cash back is a division of integers of 128 bits.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import pyarrow as pa

from rung.campaign.model import Reward, Rounding, Step, Version
from rung.plan.compile import purchase_sql
from rung.status.ladder import percent_text

_AMOUNT: Final = '"amount" * "rate"'


def met_column(index: int) -> str:
    """Return the name of the column that tells whether a user has met a version's step of an index."""
    return f"met.{index}"


def cash_back_sql(version: Version, purchases_relation: str, rates_relation: str) -> str:
    """Return the query for the cash back of purchases in one effective period.

    Args:
        version: The version that counted the counting period.
        purchases_relation: A quoted name, or a query in parentheses, of the purchases of the period: user_id,
            transaction_id, completed_at (microseconds since the epoch), amount (what is left after refunds),
            gross_amount, refunded_amount (BIGINT, minor units), and a column of each attribute of the
            campaign (`rung.plan.compile.attribute_column`).
        rates_relation: As that, of what each user earned: user_id, and a boolean for each step of the version
            (`met_column`). A purchase whose user is not in it has no row in the answer.

    Returns:
        A query for user_id, transaction_id, completed_at, amount, rate (the percentage of this purchase,
        times `rate_scale`; BIGINT) and cash_back (BIGINT, minor units), in no order. With `cap.per_period` a
        user's purchases earn in the order of completed_at and transaction_id; the one that reaches the cap
        gets the rest.
    """
    reward = version.reward
    scale = rate_scale(reward)
    rates = " + ".join(
        [
            _scaled(reward.base_percent, scale),
            *(_added(index, step, scale) for index, step in enumerate(reward.steps)),
        ]
    )
    granted = _rounded(reward.rounding, 100 * scale)
    if reward.cap.per_transaction is not None:
        granted = f"least({granted}, {reward.cap.per_transaction})"
    limited = '"earned"'
    if reward.cap.per_period is not None:
        earlier = (
            'coalesce(sum("earned") OVER (PARTITION BY "user_id" ORDER BY "completed_at", "transaction_id"'
            " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)"
        )
        limited = f'least("earned", greatest({reward.cap.per_period} - {earlier}, 0))'
    kept = '"user_id", "transaction_id", "completed_at", "amount", "rate"'
    return f"""
WITH "rated" AS (
  SELECT p."user_id", "transaction_id", "completed_at", "amount", {rates} AS "rate"
  FROM {purchases_relation} p JOIN {rates_relation} r ON p."user_id" = r."user_id"
), "rounded" AS (
  SELECT {kept}, {granted} AS "earned" FROM "rated"
)
SELECT "user_id", "transaction_id", "completed_at", "amount", CAST("rate" AS BIGINT) AS "rate",
  CAST({limited} AS BIGINT) AS "cash_back"
FROM "rounded"
"""


def rate_scale(reward: Reward) -> int:
    """Return the power of ten by which all percentages of a reward are whole numbers."""
    percents = [reward.base_percent, *(step.add_percent for step in reward.steps)]
    return 10 ** max(max(0, -_exponent(percent)) for percent in percents)


def rate_texts(rates: pa.ChunkedArray, reward: Reward) -> pa.Array:
    """Return the exact text of each percentage that is a number times `rate_scale`."""
    encoded = rates.combine_chunks().dictionary_encode()
    scale = rate_scale(reward)
    texts = [percent_text(Decimal(rate) / scale) for rate in encoded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(encoded.indices)


def _exponent(percent: Decimal) -> int:
    exponent = percent.as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent


def _scaled(percent: Decimal, scale: int) -> str:
    return f"CAST({int(percent * scale)} AS HUGEINT)"


def _added(index: int, step: Step, scale: int) -> str:
    """Return what a step adds to a purchase's rate: a condition that is NULL is not true."""
    condition = f'r."{met_column(index)}"'
    if step.on is not None:
        condition += f" AND {purchase_sql(step.on)}"
    return f"CASE WHEN {condition} THEN {_scaled(step.add_percent, scale)} ELSE 0 END"


def _rounded(rounding: Rounding, divisor: int) -> str:
    """Return the quotient of a product that is not negative, rounded to a whole number."""
    match rounding:
        case Rounding.DOWN:
            return f"({_AMOUNT}) // {divisor}"
        case Rounding.UP:
            return f"({_AMOUNT} + {divisor - 1}) // {divisor}"
        case Rounding.HALF_UP:
            return f"({_AMOUNT} + {divisor // 2}) // {divisor}"
        case Rounding.HALF_EVEN:
            # Half of the divisor, which is even, is added, and a tie that went up to an odd number goes back.
            up = f"(({_AMOUNT} + {divisor // 2}) // {divisor})"
            tie = f"({_AMOUNT}) % {divisor} = {divisor // 2} AND {up} % 2 = 1"
            return f"({up} - CASE WHEN {tie} THEN 1 ELSE 0 END)"
