"""The pure evaluation: spec, figures, user attributes and an instant in; the exact JSON out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from rung.campaign.calendar import TIME_MAX, TIME_MIN, Calendar, Period, PeriodKind
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.status.evaluate import Evaluator, UnknownCampaign
from rung.store.port import NOTHING_APPLIED, Applied, Standing, StoreError
from rung.store.records import FIGURE, UserAttributes, encode_figures, encode_user_attributes
from rung.transaction.times import parse_time

Figures = Mapping[tuple[str, int, str, str], int | Sequence[int]]
"""(campaign, version, measure, period) -> the value, or for a distinct measure the value of each token."""


NO_CONDITIONS: list[object] = []


def catalog_of(*specs: str, starts: Mapping[int, int] | None = None) -> Catalog:
    catalog = Catalog()
    for spec in specs:
        catalog = catalog.apply(load(spec, "spec"), starts or {})
    return catalog


def instant(text: str) -> int:
    at = parse_time(text)
    assert at is not None
    return at


def record_of(catalog: Catalog, figures: Figures) -> bytes:
    """Return a user's stored record, as the worker writes it."""
    counted = {(one.campaign.name, one.version.number): one for one in catalog.versions}
    rows: list[tuple[int, int, int, int]] = []
    for (campaign, version, measure, period), value in figures.items():
        one = counted[campaign, version]
        ordinal = Period.parse(period, one.campaign.calendar.kind).ordinal
        series = one.series[measure]
        if isinstance(value, int):
            rows.append((series, ordinal, 0, value))
        else:
            rows += [(series, ordinal, token, each) for token, each in enumerate(value, 1)]
    rows.sort(key=lambda row: (row[1], row[0], row[2]))
    return encode_figures(np.zeros(len(rows), dtype=np.int64), np.array(rows, dtype=FIGURE), 1)[0]


def evaluate(
    catalog: Catalog,
    at: int | Period,
    figures: Figures | None = None,
    attributes: Mapping[str, object] | None = None,
    applied: Applied = NOTHING_APPLIED,
    campaign: str | None = None,
) -> bytes:
    """Return the encoded status of user 17850 in partition 0."""
    standing = Standing(
        None if figures is None else record_of(catalog, figures),
        None if attributes is None else encode_user_attributes(UserAttributes(1, attributes)),
        applied,
        1,
    )
    return msgspec.json.encode(Evaluator(catalog).status("17850", 0, standing, at, campaign))


def campaigns_of(encoded: bytes) -> Any:
    return json.loads(encoded)["campaigns"]


def exactly(document: object) -> bytes:
    """Return a document's bytes: the order of the fields and the form of the numbers count, too."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


HANDOVER = """\
campaign: step
timezone: Asia/Tokyo
currency: JPY
user_attributes: {premium: boolean, linked: boolean}
attributes: {service: string}
versions:
  - version: 0
    counts_from: 2020-04
    measures:
      payments: {count: "amount >= 100"}
      total: {sum: amount}
    reward:
      base_percent: "0.5"
      steps:
        - {name: fifty-payments, when: "payments >= 50", add_percent: "0.5"}
        - {name: big-spender, when: "total >= 100000", add_percent: "0.5"}
  - version: 1
    counts_from: 2021-08
    measures:
      payments: {count: "amount >= 300"}
      total: {sum: amount}
      services: {distinct: service}
    reward:
      base_percent: "0.5"
      steps:
        - {name: gold, when: "payments >= 30 AND services >= 3 AND user.premium", add_percent: "0.5"}
        - {name: mall, add_percent: "6", on: "service = 'mall'"}
"""


def test_two_versions_at_once() -> None:
    """In the month of a handover one version counts and the one before is in force, each with its measures."""
    catalog = catalog_of(HANDOVER)
    figures: Figures = {
        ("step", 0, "payments", "2021-07"): 61,
        ("step", 0, "total", "2021-07"): 80_312,
        ("step", 1, "payments", "2021-08"): 12,
        ("step", 1, "total", "2021-08"): 34_567,
        ("step", 1, "services", "2021-08"): [3, 0, 9],
        # Neither a version outside its months nor another month is looked at.
        ("step", 0, "payments", "2021-08"): 999,
        ("step", 1, "payments", "2021-07"): 999,
        ("step", 1, "payments", "2021-09"): 999,
    }
    applied = Applied(40_911, instant("2021-08-09T21:50:00+09:00"))
    found = evaluate(catalog, instant("2021-08-09T23:00:00+09:00"), figures, {"premium": True}, applied)
    assert found == exactly(
        {
            "user_id": "17850",
            "as_of": {"partition": 0, "offset": 40_911, "event_at": "2021-08-09T12:50:00Z"},
            "campaigns": [
                {
                    "campaign": "step",
                    "counting": {
                        "period": "2021-08",
                        "version": 1,
                        "state": "provisional",
                        "measures": {"payments": 12, "total": 34_567, "services": 2},
                        "rate_percent": "0.5",
                        "steps": [
                            {
                                "name": "gold",
                                "met": False,
                                "add_percent": "0.5",
                                "conditions": [
                                    {
                                        "kind": "comparison",
                                        "expression": "payments >= 30",
                                        "met": False,
                                        "value": 12,
                                        "target": 30,
                                        "remaining": 18,
                                    },
                                    {
                                        "kind": "comparison",
                                        "expression": "services >= 3",
                                        "met": False,
                                        "value": 2,
                                        "target": 3,
                                        "remaining": 1,
                                    },
                                    {"kind": "check", "expression": "user.premium", "met": True},
                                ],
                            },
                            {
                                "name": "mall",
                                "met": True,
                                "add_percent": "6.0",
                                "conditions": NO_CONDITIONS,
                                "on": "service = 'mall'",
                            },
                        ],
                    },
                    "effective": {
                        "period": "2021-08",
                        "earned_in": "2021-07",
                        "version": 0,
                        "state": "provisional",
                        "rate_percent": "1.0",
                        "measures": {"payments": 61, "total": 80_312},
                        "steps": [
                            {
                                "name": "fifty-payments",
                                "met": True,
                                "add_percent": "0.5",
                                "conditions": [
                                    {
                                        "kind": "comparison",
                                        "expression": "payments >= 50",
                                        "met": True,
                                        "value": 61,
                                        "target": 50,
                                        "remaining": 0,
                                    }
                                ],
                            },
                            {
                                "name": "big-spender",
                                "met": False,
                                "add_percent": "0.5",
                                "conditions": [
                                    {
                                        "kind": "comparison",
                                        "expression": "total >= 100000",
                                        "met": False,
                                        "value": 80_312,
                                        "target": 100_000,
                                        "remaining": 19_688,
                                    }
                                ],
                            },
                        ],
                    },
                }
            ],
        }
    )


def test_a_user_without_transactions() -> None:
    """Nothing stored means zero progress, the base rate, offset -1 and no time."""
    catalog = catalog_of(SMALL)
    steps = [
        {
            "name": "three",
            "met": False,
            "add_percent": "0.25",
            "conditions": [compared("payments >= 3", False, 0, 3, 3)],
        }
    ]
    figures = {"version": 0, "state": "provisional"}
    measures = {"payments": 0, "total": 0}
    assert evaluate(catalog, instant("2021-03-05T00:00:00Z")) == exactly(
        {
            "user_id": "17850",
            "as_of": {"partition": 0, "offset": -1, "event_at": None},
            "campaigns": [
                {
                    "campaign": "small",
                    "counting": {
                        "period": "2021-03",
                        **figures,
                        "measures": measures,
                        "rate_percent": "1.0",
                        "steps": steps,
                    },
                    "effective": {
                        "period": "2021-03",
                        "earned_in": "2021-02",
                        **figures,
                        "rate_percent": "1.0",
                        "measures": measures,
                        "steps": steps,
                    },
                }
            ],
        }
    )


SMALL = """\
campaign: small
timezone: Asia/Tokyo
currency: JPY
counts_until: 2021-05
versions:
  - version: 0
    counts_from: 2021-02
    measures:
      payments: {count: "amount >= 100"}
      total: {sum: amount}
    reward:
      base_percent: "1"
      steps: [{name: three, when: "payments >= 3", add_percent: "0.25"}]
"""
SAME = SMALL.replace("campaign: small", "campaign: same\neffective: same")
WEEKS = (
    SMALL.replace("small", "weeks\nperiod: week")
    .replace("2021-05", "2021-W02")
    .replace("2021-02", "2020-W53")
)
DAYS = (
    SMALL.replace("small", "days\nperiod: day")
    .replace("2021-05", "2021-03-02")
    .replace("2021-02", "2021-03-01")
)


@pytest.mark.parametrize(
    ("spec", "at", "counting", "effective"),
    [
        # The campaign begins at midnight in Tokyo; the first month has no rate yet.
        (SMALL, "2021-01-31T23:59:59.999999+09:00", None, None),
        (SMALL, "2021-02-01T00:00:00+09:00", "2021-02", None),
        (SMALL, "2021-01-31T14:59:59.999999Z", None, None),
        (SMALL, "2021-01-31T15:00:00Z", "2021-02", None),
        (SMALL, "2021-02-28T23:59:59.999999+09:00", "2021-02", None),
        (SMALL, "2021-03-01T00:00:00+09:00", "2021-03", ("2021-03", "2021-02")),
        # Counting ends, and what the last month earned is in force for one more.
        (SMALL, "2021-05-31T23:59:59.999999+09:00", "2021-05", ("2021-05", "2021-04")),
        (SMALL, "2021-06-01T00:00:00+09:00", None, ("2021-06", "2021-05")),
        (SMALL, "2021-06-30T23:59:59.999999+09:00", None, ("2021-06", "2021-05")),
        (SMALL, "2021-07-01T00:00:00+09:00", None, None),
        # With `effective: same` both begin and end together.
        (SAME, "2021-01-31T23:59:59.999999+09:00", None, None),
        (SAME, "2021-02-01T00:00:00+09:00", "2021-02", ("2021-02", "2021-02")),
        (SAME, "2021-05-31T23:59:59.999999+09:00", "2021-05", ("2021-05", "2021-05")),
        (SAME, "2021-06-01T00:00:00+09:00", None, None),
        (WEEKS, "2020-12-27T23:59:59.999999+09:00", None, None),
        (WEEKS, "2020-12-28T00:00:00+09:00", "2020-W53", None),
        (WEEKS, "2021-01-04T00:00:00+09:00", "2021-W01", ("2021-W01", "2020-W53")),
        (WEEKS, "2021-01-18T00:00:00+09:00", None, ("2021-W03", "2021-W02")),
        (DAYS, "2021-02-28T23:59:59.999999+09:00", None, None),
        (DAYS, "2021-03-01T00:00:00+09:00", "2021-03-01", None),
        (DAYS, "2021-03-03T12:00:00+09:00", None, ("2021-03-03", "2021-03-02")),
        (DAYS, "2021-03-04T00:00:00+09:00", None, None),
    ],
)
def test_periods(spec: str, at: str, counting: str | None, effective: tuple[str, str] | None) -> None:
    """Periods change at local midnight; one outside the campaign is null."""
    (found,) = campaigns_of(evaluate(catalog_of(spec), instant(at)))
    assert (found["counting"] and found["counting"]["period"]) == counting
    shown = found["effective"] and (found["effective"]["period"], found["effective"]["earned_in"])
    assert shown == effective


def test_one_evaluator_at_any_order_of_instants() -> None:
    """The window that an evaluator remembers is left at its edge, in both directions."""
    evaluator = Evaluator(catalog_of(SMALL))
    standing = Standing(None, None, NOTHING_APPLIED, 1)
    calendar = Calendar(PeriodKind.MONTH, "Asia/Tokyo")
    april = Period.parse("2021-04", PeriodKind.MONTH)
    start, end = calendar.starts_at(april), calendar.ends_at(april)
    shown: list[str | None] = []
    for at in (start, end - 1, end, end - 1, start, start - 1, start):
        counting = evaluator.status("a", 0, standing, at).campaigns[0].counting
        shown.append(None if counting is None else counting.period)
    assert shown == ["2021-04", "2021-04", "2021-05", "2021-04", "2021-04", "2021-03", "2021-04"]


def test_a_day_starts_in_each_campaigns_zone() -> None:
    """A date as `at` means its first instant in each campaign's own zone."""
    west = SMALL.replace("small", "west").replace("Asia/Tokyo", "America/Los_Angeles")
    catalog = catalog_of(SMALL, west)
    day = Period.parse("2021-03-01", PeriodKind.DAY)
    assert [one["counting"]["period"] for one in campaigns_of(evaluate(catalog, day))] == ["2021-03"] * 2
    # The same instant, given as one, is still February in the west.
    midnight_in_tokyo = campaigns_of(evaluate(catalog, instant("2021-03-01T00:00:00+09:00")))
    assert [one["counting"]["period"] for one in midnight_in_tokyo] == ["2021-03", "2021-02"]


@pytest.mark.parametrize("at", [TIME_MIN, TIME_MAX - 1])
def test_the_ends_of_time(at: int) -> None:
    """The first and the last instant of the calendar have a status: null, outside the campaign."""
    assert campaigns_of(evaluate(catalog_of(SMALL), at)) == [
        {"campaign": "small", "counting": None, "effective": None}
    ]


def test_outside_of_time() -> None:
    """An instant outside the calendar is refused."""
    for at in (TIME_MIN - 1, TIME_MAX):
        with pytest.raises(ValueError, match="is not within"):
            evaluate(catalog_of(SMALL), at)


CONDITIONS = """\
campaign: conditions
timezone: UTC
currency: EUR
effective: same
attributes: {{service: string}}
user_attributes: {{premium: boolean, points: integer, card: string}}
versions:
  - version: 0
    counts_from: 2021-01
    measures:
      payments: {{count: "amount > 0"}}
      total: {{sum: amount}}
      services: {{distinct: service}}
    reward:
      base_percent: "0.5"
      steps: [{{name: one, when: "{when}", add_percent: "0.5"}}]
"""


def compared(
    expression: str, met: bool, value: int | None, target: int, *remaining: int
) -> dict[str, object]:
    shown: dict[str, object] = {"kind": "comparison", "expression": expression, "met": met}
    shown |= {"value": value, "target": target}
    return {**shown, "remaining": remaining[0]} if remaining else shown


def checked(expression: str, met: bool) -> dict[str, object]:
    return {"kind": "check", "expression": expression, "met": met}


def some(expression: str, met: bool, *parts: dict[str, object]) -> dict[str, object]:
    return {"kind": "any_of", "expression": expression, "met": met, "any_of": list(parts)}


def every(expression: str, met: bool, *parts: dict[str, object]) -> dict[str, object]:
    return {"kind": "all_of", "expression": expression, "met": met, "all_of": list(parts)}


@pytest.mark.parametrize(
    ("when", "figures", "attributes", "conditions"),
    [
        # Comparisons of measures: what is missing is told where more helps, and only there.
        ("payments >= 3", {"payments": 2}, {}, [compared("payments >= 3", False, 2, 3, 1)]),
        ("payments >= 3", {"payments": 3}, {}, [compared("payments >= 3", True, 3, 3, 0)]),
        ("payments >= 3", {"payments": 9}, {}, [compared("payments >= 3", True, 9, 3, 0)]),
        ("payments > 3", {"payments": 3}, {}, [compared("payments > 3", False, 3, 3, 1)]),
        ("payments > 3", {"payments": 4}, {}, [compared("payments > 3", True, 4, 3, 0)]),
        ("3 <= payments", {"payments": 1}, {}, [compared("3 <= payments", False, 1, 3, 2)]),
        ("payments <= 3", {"payments": 4}, {}, [compared("payments <= 3", False, 4, 3)]),
        ("payments < 3", {"payments": 2}, {}, [compared("payments < 3", True, 2, 3)]),
        ("payments = 3", {"payments": 3}, {}, [compared("payments = 3", True, 3, 3)]),
        ("payments <> 3", {"payments": 3}, {}, [compared("payments <> 3", False, 3, 3)]),
        # What was refunded in a later period makes a sum negative.
        ("total >= 100", {"total": -250}, {}, [compared("total >= 100", False, -250, 100, 350)]),
        ("total >= -300", {"total": -250}, {}, [compared("total >= -300", True, -250, -300, 0)]),
        ("services >= 2", {"services": [1, 0, -1, 7]}, {}, [compared("services >= 2", True, 2, 2, 0)]),
        ("services >= 1", {"services": [0, -1]}, {}, [compared("services >= 1", False, 0, 1, 1)]),
        (
            "payments * 2 + total >= 10",
            {"payments": 2, "total": 3},
            {},
            [compared("payments * 2 + total >= 10", False, 7, 10, 3)],
        ),
        ("payments BETWEEN 2 AND 3", {"payments": 2}, {}, [checked("payments BETWEEN 2 AND 3", True)]),
        # User attributes; an unknown one is NULL, and what is NULL is not met.
        ("user.premium", {}, {"premium": True}, [checked("user.premium", True)]),
        ("user.premium", {}, {"premium": False}, [checked("user.premium", False)]),
        ("user.premium", {}, {"premium": None}, [checked("user.premium", False)]),
        ("user.premium", {}, {}, [checked("user.premium", False)]),
        ("NOT user.premium", {}, {}, [checked("NOT user.premium", False)]),
        ("NOT user.premium", {}, {"premium": False}, [checked("NOT user.premium", True)]),
        ("user.premium IS NULL", {}, {}, [checked("user.premium IS NULL", True)]),
        ("user.premium IS NULL", {}, {"premium": True}, [checked("user.premium IS NULL", False)]),
        ("user.points >= 5", {}, {}, [compared("user.points >= 5", False, None, 5)]),
        ("user.points < 5", {}, {}, [compared("user.points < 5", False, None, 5)]),
        ("user.points >= 5", {}, {"points": 4}, [compared("user.points >= 5", False, 4, 5, 1)]),
        # A value of another type than declared is unknown; true is no 1.
        ("user.points >= 1", {}, {"points": True}, [compared("user.points >= 1", False, None, 1)]),
        ("user.points >= 1", {}, {"points": "9"}, [compared("user.points >= 1", False, None, 1)]),
        ("user.premium", {}, {"premium": 1}, [checked("user.premium", False)]),
        # So is an integer that no event may have once it is declared.
        ("user.points >= 1", {}, {"points": 2**53}, [compared("user.points >= 1", True, 2**53, 1, 0)]),
        ("user.points >= 1", {}, {"points": 2**53 + 1}, [compared("user.points >= 1", False, None, 1)]),
        ("user.points < 1", {}, {"points": -(2**53) - 1}, [compared("user.points < 1", False, None, 1)]),
        ("user.card = 'gold'", {}, {"card": "gold"}, [checked("user.card = 'gold'", True)]),
        (
            "user.card IN ('gold', 'black')",
            {},
            {"card": "black"},
            [checked("user.card IN ('gold', 'black')", True)],
        ),
        ("user.card NOT IN ('gold')", {}, {}, [checked("user.card NOT IN ('gold')", False)]),
        # AND is taken apart, OR is one condition with its parts, nested ones too.
        (
            "payments >= 1 AND (total >= 5 AND user.premium)",
            {"payments": 1},
            {"premium": True},
            [
                compared("payments >= 1", True, 1, 1, 0),
                compared("total >= 5", False, 0, 5, 5),
                checked("user.premium", True),
            ],
        ),
        (
            "payments >= 2 OR services >= 1",
            {"payments": 2},
            {},
            [
                some(
                    "payments >= 2 OR services >= 1",
                    True,
                    compared("payments >= 2", True, 2, 2, 0),
                    compared("services >= 1", False, 0, 1, 1),
                )
            ],
        ),
        (
            "user.premium OR (payments >= 2 AND (total >= 9 OR services >= 1))",
            {"payments": 2, "total": 8},
            {},
            [
                some(
                    "user.premium OR payments >= 2 AND (total >= 9 OR services >= 1)",
                    False,
                    checked("user.premium", False),
                    every(
                        "payments >= 2 AND (total >= 9 OR services >= 1)",
                        False,
                        compared("payments >= 2", True, 2, 2, 0),
                        some(
                            "total >= 9 OR services >= 1",
                            False,
                            compared("total >= 9", False, 8, 9, 1),
                            compared("services >= 1", False, 0, 1, 1),
                        ),
                    ),
                )
            ],
        ),
        # NOT stays in one piece.
        (
            "NOT (payments >= 2 OR user.premium)",
            {"payments": 1},
            {"premium": False},
            [checked("NOT (payments >= 2 OR user.premium)", True)],
        ),
    ],
)
def test_conditions(
    when: str,
    figures: Mapping[str, int | Sequence[int]],
    attributes: Mapping[str, object],
    conditions: Sequence[Mapping[str, object]],
) -> None:
    """A step lists the conditions that have to be met together, each with its value and what is missing."""
    catalog = catalog_of(CONDITIONS.format(when=when))
    keyed: Figures = {("conditions", 0, measure, "2021-04"): value for measure, value in figures.items()}
    (found,) = campaigns_of(evaluate(catalog, instant("2021-04-01T00:00:00Z"), keyed, attributes))
    (step,) = found["counting"]["steps"]
    assert exactly(step["conditions"]) == exactly(conditions)
    assert step["met"] == all(condition["met"] for condition in conditions)
    assert found["counting"]["rate_percent"] == ("1.0" if step["met"] else "0.5")
    assert found["effective"]["steps"] == [step]


RATES = """\
campaign: rates
timezone: UTC
currency: EUR
effective: same
attributes: {service: string}
versions:
  - version: 0
    counts_from: 2021-01
    measures: {payments: {count: "amount > 0"}}
    reward:
      base_percent: "0.10"
      steps:
        - {name: everyone, add_percent: "0.205"}
        - {name: mall, when: "payments >= 1", add_percent: "6", on: "service = 'mall'"}
        - {name: two, when: "payments >= 2", add_percent: "1"}
        - {name: three, when: "payments >= 3", add_percent: "0.0001"}
"""


@pytest.mark.parametrize(
    ("payments", "rate", "met"),
    [
        (0, "0.305", ["everyone"]),
        (1, "0.305", ["everyone", "mall"]),
        (2, "1.305", ["everyone", "mall", "two"]),
        (3, "1.3051", ["everyone", "mall", "two", "three"]),
    ],
)
def test_rates(payments: int, rate: str, met: list[str]) -> None:
    """The rate is the exact sum of the base and each met step without `on`; one with `on` is listed."""
    (found,) = campaigns_of(
        evaluate(
            catalog_of(RATES),
            instant("2021-04-01T00:00:00Z"),
            {("rates", 0, "payments", "2021-04"): payments},
        )
    )
    for part in (found["counting"], found["effective"]):
        assert part["rate_percent"] == rate
        assert [step["name"] for step in part["steps"] if step["met"]] == met
        assert [step.get("on") for step in part["steps"]] == [None, "service = 'mall'", None, None]


@pytest.mark.parametrize(
    ("starts", "state"),
    [({}, "provisional"), ({0: -1, 1: -1}, "provisional"), ({0: -1, 1: 0}, "partial"), ({2: 17}, "partial")],
)
def test_partial(starts: Mapping[int, int], state: str) -> None:
    """A version that was applied after an event is partial: earlier events are not in its figures."""
    (found,) = campaigns_of(evaluate(catalog_of(SMALL, starts=starts), instant("2021-04-01T00:00:00Z")))
    assert found["counting"]["state"] == found["effective"]["state"] == state


def test_each_version_has_its_own_state() -> None:
    """A later version that starts among events leaves the earlier one complete."""
    head, marker, second = HANDOVER.partition("  - version: 1\n")
    catalog = catalog_of(head).apply(load(head + marker + second, "spec"), {0: 5})
    (found,) = campaigns_of(evaluate(catalog, instant("2021-08-09T00:00:00+09:00")))
    assert (found["counting"]["version"], found["counting"]["state"]) == (1, "partial")
    assert (found["effective"]["version"], found["effective"]["state"]) == (0, "provisional")


def test_a_shadow_is_not_served() -> None:
    """A version without counts_from is counted, and shown nowhere."""
    shadow = HANDOVER.replace("    counts_from: 2021-08\n", "")
    figures: Figures = {("step", 1, "payments", "2021-08"): 40, ("step", 0, "payments", "2021-08"): 7}
    (found,) = campaigns_of(evaluate(catalog_of(shadow), instant("2021-08-09T00:00:00Z"), figures))
    assert found["counting"]["version"] == found["effective"]["version"] == 0
    assert found["counting"]["measures"] == {"payments": 7, "total": 0}


def test_a_long_record() -> None:
    """In a record of many periods each period shows its own figures, and one between them shows zero."""
    figures: Figures = {
        ("days", 0, measure, f"2021-03-{day:02}"): day * factor
        for day in range(1, 32)
        if day != 17
        for measure, factor in (("payments", 1), ("total", -1_000))
    }
    days = DAYS.replace("counts_until: 2021-03-02\n", "")
    catalog = catalog_of(days)
    for day in range(1, 32):
        (found,) = campaigns_of(evaluate(catalog, instant(f"2021-03-{day:02}T12:00:00+09:00"), figures))
        shown = 0 if day == 17 else day
        assert found["counting"]["measures"] == {"payments": shown, "total": -1_000 * shown}


def test_campaigns_in_order_or_one() -> None:
    """All campaigns are shown in the catalog's order, each by its own figures; or the one asked for."""
    catalog = catalog_of(SMALL, SAME)
    figures: Figures = {("small", 0, "payments", "2021-04"): 1, ("same", 0, "payments", "2021-04"): 5}
    at = instant("2021-04-02T00:00:00Z")
    both = campaigns_of(evaluate(catalog, at, figures))
    assert [(one["campaign"], one["counting"]["measures"]["payments"]) for one in both] == [
        ("small", 1),
        ("same", 5),
    ]
    assert campaigns_of(evaluate(catalog, at, figures, campaign="same")) == both[1:]


@pytest.mark.parametrize(
    ("name", "suggestion"), [("smal", "small"), ("same-", "same"), ("zzz", None), ("", None)]
)
def test_unknown_campaign(name: str, suggestion: str | None) -> None:
    """An unknown name is refused, with the closest one if there is one."""
    with pytest.raises(UnknownCampaign, match="no campaign is named") as caught:
        evaluate(catalog_of(SMALL, SAME), TIME_MIN, campaign=name)
    assert caught.value.name == name
    assert caught.value.suggestion == suggestion
    assert caught.value.known == ("small", "same")


def test_no_campaign() -> None:
    """Without any campaign there is a status, with none in it."""
    assert campaigns_of(evaluate(Catalog(), TIME_MIN)) == []


@pytest.mark.parametrize(
    ("event_at", "text"),
    [
        ("2011-12-09T12:50:00Z", "2011-12-09T12:50:00Z"),
        ("2011-12-09T12:50:00.5+09:00", "2011-12-09T03:50:00.500000Z"),
        ("2011-12-09T12:50:00.000001Z", "2011-12-09T12:50:00.000001Z"),
        ("2099-12-31T23:59:59.999999Z", "2099-12-31T23:59:59.999999Z"),
    ],
)
def test_event_at(event_at: str, text: str) -> None:
    """The time of the last event is told in UTC, to the microsecond."""
    applied = Applied(0, instant(event_at))
    as_of = json.loads(evaluate(Catalog(), TIME_MIN, applied=applied))["as_of"]
    assert as_of == {"partition": 0, "offset": 0, "event_at": text}


@pytest.mark.parametrize(("figures", "attributes"), [(b"\x07", None), (None, b'[7,1,{"premium":true}]')])
def test_an_unknown_record(figures: bytes | None, attributes: bytes | None) -> None:
    """A record of another format is an error, never read as if it were known."""
    standing = Standing(figures, attributes, NOTHING_APPLIED, 1)
    with pytest.raises(StoreError, match="format"):
        Evaluator(catalog_of(SMALL)).status("a", 0, standing, instant("2021-04-01T00:00:00Z"))
