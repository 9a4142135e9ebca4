"""Campaigns told twice: as the spec that Rung compiles, and as the oracle's Python, written by hand.

Together they use every kind of measure, both ways to post refunds, every kind of period, zones on both sides
of UTC with and without daylight saving, versions that follow one another, a shadow version, and NULL logic.
"""

from __future__ import annotations

from dataclasses import dataclass

from oracle import OracleCampaign, OracleStep, OracleVersion
from strategies import ATTRIBUTES, USER_ATTRIBUTES


@dataclass(frozen=True)
class Pair:
    """One campaign in both languages."""

    spec: str
    oracle: OracleCampaign


_DECLARED = """
attributes: {country: string, lines: integer, gift: boolean}
user_attributes: {premium: boolean, points: integer}
"""


def _oracle(
    name: str, zone: str, period: str, *versions: OracleVersion, until: str | None = None
) -> OracleCampaign:
    return OracleCampaign(name, zone, period, versions, ATTRIBUTES, USER_ATTRIBUTES, until)


LADDER = Pair(
    f"""
campaign: ladder
timezone: Europe/London
currency: GBP
{_DECLARED}
versions:
  - version: 0
    counts_from: 2010-12
    measures:
      payments: {{count: "amount >= 300"}}
      total: {{sum: amount}}
      countries: {{distinct: country}}
    reward:
      base_percent: "0.5"
      steps:
        - {{name: often, when: "payments >= 3", add_percent: "0.25"}}
        - {{name: rich, when: "total >= 50000 AND user.premium", add_percent: "0.5"}}
        - {{name: known, when: "user.points IS NULL OR user.points + payments > 5", add_percent: "1"}}
        - {{name: abroad, when: "countries >= 1", add_percent: "6", on: "country <> 'United Kingdom'"}}
""",
    _oracle(
        "ladder",
        "Europe/London",
        "month",
        OracleVersion(
            0,
            "2010-12",
            {
                "payments": ("count", lambda p: p["amount"] >= 300),
                "total": ("sum", lambda p: p["amount"]),
                "countries": ("distinct", lambda p: p["country"]),
            },
            base_percent="0.5",
            steps=[
                OracleStep("often", lambda m, _: m["payments"] >= 3, "0.25"),
                OracleStep("rich", lambda m, u: m["total"] >= 50_000 and u["premium"] is True, "0.5"),
                OracleStep("known", lambda m, u: u["points"] is None or u["points"] + m["payments"] > 5, "1"),
                OracleStep("abroad", lambda m, _: m["countries"] >= 1, "6", limited=True),
            ],
        ),
    ),
)

REFUNDS_IN_TOKYO = Pair(
    f"""
campaign: refunds-in-tokyo
timezone: Asia/Tokyo
currency: GBP
effective: same
{_DECLARED}
versions:
  - version: 7
    counts_from: 2011-01
    measures:
      days: {{distinct: day}}
      kept: {{sum: "amount - 2 * refunded_amount"}}
      large: {{count: "NOT (gross_amount < 30000 OR amount < 100)"}}
    refunds: {{post_to: refund}}
    reward:
      base_percent: "0"
      steps:
        - {{name: active, when: "days BETWEEN 2 AND 5 OR kept > 100000", add_percent: "1.125"}}
""",
    OracleCampaign(
        "refunds-in-tokyo",
        "Asia/Tokyo",
        "month",
        [
            OracleVersion(
                7,
                "2011-01",
                {
                    "days": ("distinct", lambda p: p["day"]),
                    "kept": ("sum", lambda p: p["amount"] - 2 * p["refunded_amount"]),
                    "large": ("count", lambda p: p["gross_amount"] >= 30_000 and p["amount"] >= 100),
                },
                post_to="refund",
                steps=[
                    OracleStep("active", lambda m, _: 2 <= m["days"] <= 5 or m["kept"] > 100_000, "1.125"),
                ],
            )
        ],
        ATTRIBUTES,
        USER_ATTRIBUTES,
        effective="same",
    ),
)

WEEKS_IN_NEW_YORK = Pair(
    f"""
campaign: weeks-in-new-york
timezone: America/New_York
currency: GBP
period: week
{_DECLARED}
versions:
  - version: 0
    counts_from: 2010-W40
    measures:
      abroad: {{count: "amount > 0", where: "country <> 'United Kingdom'"}}
      days: {{distinct: day, where: "amount BETWEEN 100 AND 100000"}}
      gross: {{sum: gross_amount, where: "country IN ('Germany', 'France', 'United Kingdom')"}}
    reward: {{base_percent: "1"}}
""",
    _oracle(
        "weeks-in-new-york",
        "America/New_York",
        "week",
        OracleVersion(
            0,
            "2010-W40",
            {
                "abroad": (
                    "count",
                    lambda p: p["amount"] > 0 and p["country"] not in {None, "United Kingdom"},
                ),
                "days": ("distinct", lambda p: p["day"] if 100 <= p["amount"] <= 100_000 else None),
                "gross": (
                    "sum",
                    lambda p: (
                        p["gross_amount"] if p["country"] in {"Germany", "France", "United Kingdom"} else 0
                    ),
                ),
            },
            base_percent="1",
        ),
    ),
)

DAYS_IN_KATHMANDU = Pair(
    f"""
campaign: days-in-kathmandu
timezone: Asia/Kathmandu
currency: GBP
period: day
{_DECLARED}
versions:
  - version: 1
    counts_from: 2010-12-01
    measures:
      refunded: {{sum: refunded_amount}}
      touched: {{count: "refunded_amount > 0"}}
      sizes: {{distinct: lines, where: "lines >= 5"}}
    refunds: {{post_to: refund}}
    reward: {{base_percent: "1"}}
""",
    _oracle(
        "days-in-kathmandu",
        "Asia/Kathmandu",
        "day",
        OracleVersion(
            1,
            "2010-12-01",
            {
                "refunded": ("sum", lambda p: p["refunded_amount"]),
                "touched": ("count", lambda p: p["refunded_amount"] > 0),
                "sizes": (
                    "distinct",
                    lambda p: p["lines"] if p["lines"] is not None and p["lines"] >= 5 else None,
                ),
            },
            post_to="refund",
            base_percent="1",
        ),
    ),
)

NULLS = Pair(
    f"""
campaign: nulls
timezone: UTC
currency: GBP
{_DECLARED}
versions:
  - version: 0
    counts_from: 2010-12
    measures:
      plain: {{count: "NOT gift"}}
      unknown: {{count: "gift IS NULL"}}
      either: {{count: "gift OR lines > 6"}}
      other: {{count: "country NOT IN ('Germany', '')"}}
      sum_of_lines: {{sum: "lines * 2 - 1", where: "lines < 1000"}}
      gifts: {{distinct: gift}}
    reward: {{base_percent: "1"}}
""",
    _oracle(
        "nulls",
        "UTC",
        "month",
        OracleVersion(
            0,
            "2010-12",
            {
                "plain": ("count", lambda p: p["gift"] is False),
                "unknown": ("count", lambda p: p["gift"] is None),
                "either": (
                    "count",
                    lambda p: p["gift"] is True or (p["lines"] is not None and p["lines"] > 6),
                ),
                "other": ("count", lambda p: p["country"] not in {None, "Germany", ""}),
                "sum_of_lines": (
                    "sum",
                    lambda p: p["lines"] * 2 - 1 if p["lines"] is not None and p["lines"] < 1000 else 0,
                ),
                "gifts": ("distinct", lambda p: p["gift"]),
            },
            base_percent="1",
        ),
    ),
)

_FIRST_RULES = """
versions:
  - version: 0
    counts_from: 2010-12
    measures:
      payments: {count: "amount >= 300"}
      total: {sum: amount}
    reward:
      base_percent: "0.5"
      steps:
        - {name: often, when: "payments >= 2", add_percent: "0.5"}
"""
_LATER_RULES = """
  - version: 1
    counts_from: 2011-06
    measures:
      payments: {count: "amount >= 10000"}
      total: {sum: "amount - refunded_amount"}
      days: {distinct: day, where: "lines > 0"}
    refunds: {post_to: refund}
    reward: {base_percent: "0.25"}
  - version: 2
    measures:
      everything: {sum: gross_amount}
    reward: {base_percent: "0"}
"""
_VERSIONS_HEAD = f"""
campaign: versions
timezone: Asia/Tokyo
currency: GBP
{_DECLARED}"""
_FIRST_VERSION = OracleVersion(
    0,
    "2010-12",
    {
        "payments": ("count", lambda p: p["amount"] >= 300),
        "total": ("sum", lambda p: p["amount"]),
    },
    base_percent="0.5",
    steps=[OracleStep("often", lambda m, _: m["payments"] >= 2, "0.5")],
)
_LATER_VERSIONS = (
    OracleVersion(
        1,
        "2011-06",
        {
            "payments": ("count", lambda p: p["amount"] >= 10_000),
            "total": ("sum", lambda p: p["amount"] - p["refunded_amount"]),
            "days": ("distinct", lambda p: p["day"] if p["lines"] is not None and p["lines"] > 0 else None),
        },
        post_to="refund",
        base_percent="0.25",
    ),
    OracleVersion(2, None, {"everything": ("sum", lambda p: p["gross_amount"])}),
)

FIRST_VERSION = Pair(
    _VERSIONS_HEAD + _FIRST_RULES, _oracle("versions", "Asia/Tokyo", "month", _FIRST_VERSION)
)
"""What `VERSIONS` was before it got its later versions."""

VERSIONS = Pair(
    _VERSIONS_HEAD + "counts_until: 2011-11" + _FIRST_RULES + _LATER_RULES,
    _oracle("versions", "Asia/Tokyo", "month", _FIRST_VERSION, *_LATER_VERSIONS, until="2011-11"),
)

PAIRS = (LADDER, REFUNDS_IN_TOKYO, WEEKS_IN_NEW_YORK, DAYS_IN_KATHMANDU, NULLS, VERSIONS)
"""One of each; they can be applied together."""
