"""The purchases of an effective period as they are now, from a snapshot's merged transactions."""

from __future__ import annotations

from typing import Final

from rung.batch.sql import MERGED, attribute_sql
from rung.campaign.calendar import Period
from rung.campaign.model import Campaign
from rung.plan.compile import attribute_column
from rung.transaction.history import COMPLETED, ENDED, REFUNDED

DISOWNED: Final = "disowned"
"""A relation of ids (`id`): transactions of the partition that a user of another one has claimed first."""


def purchases_sql(campaign: Campaign, period: Period) -> str:
    """Return the query for the purchases that were completed in a period, of the relation `merged`.

    It needs the relation `DISOWNED`, too. What was canceled, or refunded in full, is no purchase any more.

    Returns:
        A query for user_id, transaction_id, completed_at (microseconds since the epoch), amount (what is left
        after refunds), gross_amount, refunded_amount (BIGINT, minor units), and a column of each attribute of
        the campaign (`rung.plan.compile.attribute_column`), in no order.
    """
    starts_at, ends_at = campaign.calendar.starts_at(period), campaign.calendar.ends_at(period)
    attributes = "".join(
        f', {attribute_sql(name, kind)} AS "{attribute_column(name)}"'
        for name, kind in campaign.attributes.items()
    )
    refunded = (
        'CAST(list_sum(list_transform("status", lambda s, i: '
        f'CASE WHEN s = {REFUNDED} THEN "amount"[i] ELSE 0 END)) AS BIGINT)'
    )
    return f"""
WITH "completed" AS (
  SELECT m.*, list_position("status", {COMPLETED}::TINYINT) AS "completed"
  FROM "{MERGED}" m ANTI JOIN "{DISOWNED}" d ON m."transaction_id" = d."id"
), "in_period" AS (
  SELECT *, "at"["completed"] AS "completed_at" FROM "completed"
  WHERE "completed" >= 1 AND "at"["completed"] >= {starts_at} AND "at"["completed"] < {ends_at}
), "states" AS (
  SELECT "user_id", "transaction_id", "completed_at", "amount"["completed"] AS "gross_amount",
    {refunded} AS "refunded_amount"{attributes}
  FROM "in_period" WHERE NOT list_has_any("status", [{", ".join(map(str, ENDED))}]::TINYINT[])
)
SELECT *, "gross_amount" - "refunded_amount" AS "amount" FROM "states"
WHERE "refunded_amount" = 0 OR "refunded_amount" < "gross_amount"
"""
