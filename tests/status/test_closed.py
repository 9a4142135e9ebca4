"""The evaluation of closed periods: marks among the figures in, steps and rate of the close out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.campaign.calendar import Period, PeriodKind
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.status.evaluate import ClosedVersion, CompiledVersion, Evaluator
from rung.status.ladder import of_nobody
from rung.status.view import EffectiveStatus, State
from rung.store.marks import MARKS, STEPS_OF_MARK, steps_marks
from rung.store.port import NOTHING_APPLIED, Standing
from rung.store.records import FIGURE, UserAttributes, encode_figures, encode_user_attributes
from rung.transaction.times import parse_time

HEAD = """\
campaign: step
timezone: UTC
currency: EUR
user_attributes: {premium: boolean}
versions:
  - version: 0
    counts_from: 2021-01
    measures: {payments: {count: "amount >= 100"}, days: {distinct: day}}
    reward:
      base_percent: "1"
"""
SPEC = (
    HEAD
    + """\
      steps:
        - {name: two, when: "payments >= 2", add_percent: "0.5"}
        - {name: gold, when: "user.premium", add_percent: "2"}
        - {name: mall, add_percent: "6", on: "amount > 5"}
"""
)
STEPS_MAX = 64
JULY, AUGUST = (Period.parse(text, PeriodKind.MONTH) for text in ("2021-07", "2021-08"))
Rows = list[tuple[int, int, int, int]]


def closed_catalog(spec: str = SPEC) -> Catalog:
    return Catalog().apply(load(spec, "spec"), {}).with_closed("step", 0, JULY)


def record_of(rows: Rows) -> bytes:
    table = np.array(sorted(rows, key=lambda row: (row[1], row[0], row[2])), dtype=FIGURE)
    return encode_figures(np.zeros(len(rows), dtype=np.int64), table, 1)[0]


def rows_of(catalog: Catalog, payments: int, marks: Mapping[int, int]) -> Rows:
    """Return a user's figures in July: payments, days, and marks by the first step that they tell of."""
    (counted,) = catalog.versions
    rows = [(counted.series["payments"], JULY.ordinal, 0, payments)]
    rows += [
        (counted.series["days"], JULY.ordinal, token, value) for token, value in ((3, 1), (4, 0), (5, 2))
    ]
    tokens = {mark.first: mark.token for mark in steps_marks(counted)}
    return rows + [(MARKS, JULY.ordinal, tokens[first], value) for first, value in marks.items()]


def effective(catalog: Catalog, rows: Rows, at: str = "2021-08-04T12:00:00Z") -> EffectiveStatus:
    attributes = encode_user_attributes(UserAttributes(1, {"premium": True}))
    standing = Standing(record_of(rows) if rows else None, attributes, NOTHING_APPLIED, 1)
    status = Evaluator(catalog).status("ann", 0, standing, parse_time(at) or 0)
    found = status.campaigns[0].effective
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("bits", "rate", "met"),
    [
        (0b000, "1.0", ["mall"]),
        (0b001, "1.5", ["two", "mall"]),
        (0b010, "3.0", ["gold", "mall"]),
        (0b011, "3.5", ["two", "gold", "mall"]),
        # Nothing decides a step again, whatever its condition is worth now.
        (0b100, "1.0", []),
    ],
)
def test_steps_and_rate_are_those_that_are_kept(bits: int, rate: str, met: list[str]) -> None:
    """Neither the figures of now nor the attributes of now change anything; the figures are told as they are."""
    catalog = closed_catalog()
    found = effective(catalog, rows_of(catalog, 99, {0: bits} if bits else {}))
    assert (found.state, found.rate_percent, found.earned_in) == (State.CLOSED, rate, "2021-07")
    assert [step.name for step in found.steps if step.met] == met
    assert [(step.name, step.add_percent, step.conditions) for step in found.steps] == [
        ("two", "0.5", ()),
        ("gold", "2.0", ()),
        ("mall", "6.0", ()),
    ]
    assert found.measures == {"payments": 99, "days": 2}


def test_other_periods_and_other_marks() -> None:
    """A period that is not closed is evaluated as ever; a mark of another period or version is not looked at."""
    catalog = closed_catalog()
    (mark,) = steps_marks(catalog.versions[0])
    rows = rows_of(catalog, 1, {})
    rows += [(MARKS, JULY.ordinal, mark.token ^ 2, 1), (MARKS, AUGUST.ordinal, mark.token, 0b11)]
    assert effective(catalog, rows).rate_percent == "1.0"
    open_ = effective(catalog, rows, "2021-09-04T12:00:00Z")
    assert (open_.state, open_.earned_in, open_.rate_percent) == (State.PROVISIONAL, "2021-08", "3.0")
    assert open_.measures == {"payments": 0, "days": 0}
    assert effective(catalog, []).rate_percent == "1.0"


@given(st.integers(1, STEPS_MAX), st.data())
def test_any_steps_of_any_ladder(count: int, data: st.DataObject) -> None:
    """Whatever steps a result says were met, and of however many: marks as they are defined tell just those."""
    conditions = data.draw(st.lists(st.sampled_from((">= 1", "< 1")), min_size=count, max_size=count))
    met = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    steps = "".join(
        f'        - {{name: s{number}, when: "payments {condition}", add_percent: "0.5"}}\n'
        for number, condition in enumerate(conditions)
    )
    catalog = closed_catalog(f"{HEAD}      steps:\n{steps}")
    (counted,) = catalog.versions
    nobody = [step.met for step in of_nobody(counted)]
    assert nobody == [condition == "< 1" for condition in conditions]
    marks: dict[int, int] = {}
    for index, (is_met, nobodys) in enumerate(zip(met, nobody, strict=True)):
        first = index - index % STEPS_OF_MARK
        marks[first] = marks.get(first, 0) | (is_met != nobodys) << (index - first)
    rows = rows_of(catalog, 7, {first: value for first, value in marks.items() if value})
    evaluated = CompiledVersion(counted).in_period(JULY.ordinal)
    assert isinstance(evaluated, ClosedVersion)
    _, rate, found = evaluated.result(record_of(rows), JULY.ordinal, {})
    assert [step.met for step in found] == met
    assert float(rate) == 1 + 0.5 * sum(met)
