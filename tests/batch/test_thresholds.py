"""Thresholds are found in every comparison of a condition, and users are counted around them."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.batch.forecast.thresholds import BINS, Threshold, near_sql, thresholds_of
from rung.campaign.spec import load


def thresholds(when: str) -> tuple[Threshold, ...]:
    spec = f"""\
campaign: small
timezone: UTC
currency: EUR
user_attributes: {{premium: boolean, points: integer, tier: string}}
versions:
  - version: 0
    counts_from: 2021-01
    measures: {{payments: {{count: "amount > 0"}}, total: {{sum: amount}}}}
    reward:
      base_percent: "0"
      steps:
        - {{name: first, add_percent: "1"}}
        - {{name: second, when: "{when}", add_percent: "1"}}
"""
    return thresholds_of(load(spec, "spec").versions[0])


@pytest.mark.parametrize(
    ("when", "found"),
    [
        ("payments >= 3", [("payments >= 3", 3)]),
        ("payments > 3", [("payments > 3", 4)]),
        ("3 < payments", [("3 < payments", 4)]),
        ("payments <= 3", [("payments <= 3", 4)]),
        ("payments < 3", [("payments < 3", 3)]),
        ("payments = 3", [("payments = 3", 3)]),
        ("total BETWEEN 10 AND 20", [("total >= 10", 10), ("total <= 20", 21)]),
        (
            "payments >= 3 AND (total > 5 OR NOT (user.points - payments >= 2))",
            [("payments >= 3", 3), ("total > 5", 6), ("user.points - payments >= 2", 2)],
        ),
        ("payments > total OR user.premium OR user.tier = 'x' OR payments IN (1, 2)", []),
    ],
)
def test_where_comparisons_turn(when: str, found: list[tuple[str, int]]) -> None:
    """Every comparison with a constant has the value at which it turns; what has no constant has none."""
    assert [(one.condition, one.value) for one in thresholds(when)] == found
    assert all(one.step == 1 for one in thresholds(when))


users_values = st.lists(st.none() | st.integers(-50, 250) | st.just(2**62), max_size=30)


@given(
    st.sampled_from(["user.points >= 100", "user.points > 7", "user.points < 1", "user.points <= -6"]),
    users_values,
)
def test_users_around_a_threshold(when: str, points: list[int | None]) -> None:
    """Near is a tenth of the threshold, or one; the histogram is by tenths, and ends at twice the threshold."""
    (one,) = thresholds(when)
    with duckdb.connect() as connection:
        connection.register("standings", pa.table({"user.points": pa.array(points, pa.int64())}))
        rows = connection.sql(near_sql([one], "standings")).fetchall()
    known = [value for value in points if value is not None]
    margin = max(1, abs(one.value) // 10)
    assert sum(row[3] for row in rows) == sum(one.value - margin <= value < one.value for value in known)
    assert sum(row[4] for row in rows) == sum(one.value <= value < one.value + margin for value in known)
    bins = {row[1]: row[2] for row in rows}
    for at in range(BINS + 1):
        if one.value <= 0:
            assert bins == ({0: len(known)} if known else {})
            continue
        inside = [value for value in known if min(max(value * 10 // one.value, 0), BINS) == at]
        assert bins.get(at, 0) == len(inside)
