"""The oracle itself, against cases worked out by hand, so that it can be trusted with all the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle import Oracle, OracleCampaign, OracleStep, OracleVersion, Rule
from strategies import (
    ATTRIBUTES,
    CONFLICTS,
    ODD,
    POISON,
    USER_ATTRIBUTES,
    StepData,
    TransactionData,
    deliveries,
    in_order,
    transaction_lists,
    user_attribute_event,
)

MEASURES: Mapping[str, tuple[str, Rule]] = {
    "payments": ("count", lambda p: p["amount"] >= 300),
    "total": ("sum", lambda p: p["amount"]),
    "countries": ("distinct", lambda p: p["country"]),
    "days": ("distinct", lambda p: p["day"]),
}


CAMPAIGN = OracleCampaign(
    "c",
    "Asia/Tokyo",
    "month",
    [OracleVersion(0, None, MEASURES)],
    attributes=ATTRIBUTES,
    user_attributes=USER_ATTRIBUTES,
)
POSTS_TO_REFUND = replace(CAMPAIGN, name="d", versions=[OracleVersion(0, None, MEASURES, "refund")])


def transaction(*steps: tuple[str, str, int], name: str = "t", country: str = "UK") -> TransactionData:
    return TransactionData(name, "u", {"country": country}, tuple(StepData(*step) for step in steps))


def figures(campaign: OracleCampaign, *transactions: TransactionData) -> dict[tuple[str, str], int]:
    """Return (period, measure) -> figure."""
    oracle = Oracle([campaign]).apply_all(t.event() for t in transactions)
    assert oracle.quarantined == []
    return {(period, measure): figure for (_, _, _, measure, period), figure in oracle.figures().items()}


JUNE, JULY, AUGUST = "2011-06-10T00:00:00Z", "2011-07-10T00:00:00Z", "2011-08-10T00:00:00Z"
BOUGHT = ("COMPLETED", JUNE, 500)
WHOLE = {
    ("2011-06", "payments"): 1,
    ("2011-06", "total"): 500,
    ("2011-06", "countries"): 1,
    ("2011-06", "days"): 1,
}


@pytest.mark.parametrize(
    ("steps", "purchase", "refund"),
    [
        ([("CREATED", JUNE, 500)], {}, {}),
        ([("CREATED", JUNE, 500), ("CANCELED", JUNE, 500)], {}, {}),
        ([("CREATED", JUNE, 500), BOUGHT], WHOLE, WHOLE),
        ([BOUGHT, ("REFUNDED", JUNE, 0)], WHOLE, WHOLE),
        (
            [BOUGHT, ("REFUNDED", JULY, 200)],
            WHOLE | {("2011-06", "total"): 300},
            WHOLE | {("2011-07", "total"): -200},
        ),
        (
            [BOUGHT, ("REFUNDED", JULY, 201)],
            {("2011-06", "total"): 299, ("2011-06", "countries"): 1, ("2011-06", "days"): 1},
            WHOLE | {("2011-07", "total"): -201, ("2011-07", "payments"): -1},
        ),
        (
            [BOUGHT, ("REFUNDED", JULY, 200), ("REFUNDED", AUGUST, 300)],
            {},
            WHOLE | {("2011-07", "total"): -200, ("2011-08", "total"): -300, ("2011-08", "payments"): -1},
        ),
        (
            [BOUGHT, ("CANCELED", JULY, 0)],
            {},
            WHOLE | {("2011-07", "total"): -500, ("2011-07", "payments"): -1},
        ),
        ([BOUGHT, ("REFUNDED", JUNE, 500)], {}, {}),
        ([BOUGHT, ("CANCELED", JUNE, 0), ("REFUNDED", JULY, 100)], {}, {}),
        (
            [("COMPLETED", JUNE, 0)],
            {("2011-06", "countries"): 1, ("2011-06", "days"): 1},
            {("2011-06", "countries"): 1, ("2011-06", "days"): 1},
        ),
        (
            [("CREATED", AUGUST, 500), BOUGHT],
            WHOLE,
            WHOLE,
        ),
        (
            [("COMPLETED", "2011-06-30T15:00:00Z", 500)],
            {("2011-07", measure): value for (_, measure), value in WHOLE.items()},
            {("2011-07", measure): value for (_, measure), value in WHOLE.items()},
        ),
    ],
)
def test_contributions_worked_out_by_hand(
    steps: list[tuple[str, str, int]],
    purchase: dict[tuple[str, str], int],
    refund: dict[tuple[str, str], int],
) -> None:
    """One history, and what it adds with each `post_to`; a counter below zero counts no value."""
    assert figures(CAMPAIGN, transaction(*steps)) == purchase
    assert figures(POSTS_TO_REFUND, transaction(*steps)) == refund


def test_distinct_counts_a_value_once() -> None:
    """Two purchases in one country count one country, and it stays counted when one is refunded."""
    kept = transaction(BOUGHT, name="a")
    gone = transaction(BOUGHT, ("REFUNDED", JUNE, 500), name="b")
    abroad = transaction(BOUGHT, name="c", country="FR")
    assert figures(POSTS_TO_REFUND, kept, gone)["2011-06", "countries"] == 1
    assert figures(POSTS_TO_REFUND, kept, gone, abroad)["2011-06", "countries"] == 2


@pytest.mark.parametrize(
    ("kind", "zone", "at", "period", "before"),
    [
        ("month", "Asia/Tokyo", datetime(2011, 12, 31, 15, tzinfo=UTC), "2012-01", "2011-12"),
        ("month", "UTC", datetime(2012, 3, 1, tzinfo=UTC), "2012-03", "2012-02"),
        ("week", "UTC", datetime(2010, 1, 3, tzinfo=UTC), "2009-W53", "2009-W52"),
        ("week", "America/New_York", datetime(2011, 1, 3, 4, 59, tzinfo=UTC), "2010-W52", "2010-W51"),
        ("day", "Asia/Kathmandu", datetime(2012, 2, 29, 18, 15, tzinfo=UTC), "2012-03-01", "2012-02-29"),
    ],
)
def test_periods_of_the_calendar(kind: str, zone: str, at: datetime, period: str, before: str) -> None:
    """A period is that of the local day, and has one before it."""
    made = replace(CAMPAIGN, period=kind, zone=zone)
    assert made.period_of(made.local_day(at)) == period
    assert made.period_before(made.local_day(at)) == before


def test_a_version_counts_the_periods_that_the_schedule_gives_it() -> None:
    """Each from its start to the next one's start or the campaign's end; a shadow version counts all."""
    versions = [OracleVersion(0, "2011-06", MEASURES), OracleVersion(1, "2011-08", MEASURES)]
    made = replace(CAMPAIGN, versions=[*versions, OracleVersion(2, None, MEASURES)], counts_until="2011-08")
    bought = [
        transaction(("COMPLETED", f"2011-{month:02}-10T00:00:00Z", 500), name=str(month))
        for month in range(5, 10)
    ]
    found = Oracle([made]).apply_all(t.event() for t in bought).figures()
    periods = {v: sorted(p for _, number, _, m, p in found if (number, m) == (v, "total")) for v in range(3)}
    assert periods == {
        0: ["2011-06", "2011-07"],
        1: ["2011-08"],
        2: ["2011-05", "2011-06", "2011-07", "2011-08", "2011-09"],
    }


def test_a_version_applied_later_counts_what_comes_later() -> None:
    """A version started between two events has only what the second one adds."""
    bought = transaction(BOUGHT, ("REFUNDED", JULY, 100))
    oracle = Oracle([CAMPAIGN])
    oracle.apply(bought.event(1))
    oracle.put(replace(CAMPAIGN, versions=[*CAMPAIGN.versions, OracleVersion(1, None, MEASURES)]))
    oracle.apply(bought.event())
    assert oracle.figures()["c", 0, "u", "total", "2011-06"] == 400
    assert {key: figure for key, figure in oracle.figures().items() if key[1] == 1} == {
        ("c", 1, "u", "total", "2011-06"): -100
    }


def test_status_worked_out_by_hand() -> None:
    """The counting period shows its own progress, the effective one what the period before has earned."""
    steps = [
        OracleStep("one", lambda m, _: m["payments"] >= 1, "0.5"),
        OracleStep("rich", lambda m, u: m["total"] >= 900 and u["premium"] is True, "0.25"),
        OracleStep("mall", lambda m, _: m["payments"] >= 1, "6", limited=True),
    ]
    version = OracleVersion(3, "2011-06", MEASURES, base_percent="0.5", steps=steps)
    made = replace(CAMPAIGN, versions=[version])
    oracle = Oracle([made])
    oracle.apply_all(transaction(BOUGHT, name=name).event() for name in "ab")
    oracle.apply(user_attribute_event("u", 1, {"premium": True}))
    oracle.apply(user_attribute_event("u", 0, {"premium": False}))
    july = oracle.status("u", made, datetime(2011, 6, 30, 15, tzinfo=UTC), oracle.figures())
    assert july == {
        "counting": {
            "period": "2011-07",
            "version": 3,
            "measures": {"payments": 0, "total": 0, "countries": 0, "days": 0},
            "rate_percent": Decimal("0.5"),
            "steps": {"one": False, "rich": False, "mall": False},
        },
        "effective": {
            "period": "2011-06",
            "version": 3,
            "measures": {"payments": 2, "total": 1000, "countries": 1, "days": 1},
            "rate_percent": Decimal("1.25"),
            "steps": {"one": True, "rich": True, "mall": True},
        },
    }
    june = oracle.status("u", made, datetime(2011, 6, 1, tzinfo=UTC), oracle.figures())
    assert june["effective"] is None


@pytest.mark.parametrize("name", POISON)
def test_poison_is_quarantined_with_its_reason(name: str) -> None:
    """Each row of bad input has the one reason that the table gives it."""
    payload, reason = POISON[name]
    assert Oracle([CAMPAIGN]).apply(payload) == reason


@pytest.mark.parametrize("name", CONFLICTS)
def test_the_later_of_two_contradicting_events_is_quarantined(name: str) -> None:
    """First come, first kept."""
    first, second, reason = CONFLICTS[name]
    oracle = Oracle([CAMPAIGN])
    assert oracle.apply(first) is None
    assert oracle.apply(second) == reason
    assert oracle.apply(first) is None


@pytest.mark.parametrize("name", ODD)
def test_odd_events_are_right(name: str) -> None:
    """At its limits an event is still valid."""
    assert Oracle([CAMPAIGN]).apply(ODD[name]) is None


@given(st.data())
def test_delivery_changes_nothing(data: st.DataObject) -> None:
    """Permutation, repetition and gaps that keep the last event give the same figures."""
    whole = data.draw(transaction_lists())
    campaigns = [CAMPAIGN, POSTS_TO_REFUND]
    expected = Oracle(campaigns).apply_all(in_order(whole))
    found = Oracle(campaigns).apply_all(data.draw(deliveries(whole)))
    assert found.quarantined == expected.quarantined == []
    assert found.transactions == expected.transactions
    assert found.figures() == expected.figures()


@given(transaction_lists())
def test_both_post_to_agree_on_the_whole(whole: list[TransactionData]) -> None:
    """Over all periods, refunds posted anywhere sum to the same total."""
    found = Oracle([CAMPAIGN, POSTS_TO_REFUND]).apply_all(in_order(whole)).figures()
    totals = Counter[str]()
    for (campaign, _, _, measure, _), figure in found.items():
        if measure == "total":
            totals[campaign] += figure
    assert totals["c"] == totals["d"]
