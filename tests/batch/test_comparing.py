"""Simulations and diffs equal a brute-force count over the oracle's users, on random and on real purchases."""

from __future__ import annotations

import json
import lzma
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch.brute_force import Bought, Result, Terms, active, bought_in, results
from batch.scenes import Scene, opened_scene
from campaign_pairs import LADDER, REFUNDS_IN_TOKYO, Pair
from oracle import Oracle, OracleCampaign, OracleStep, OracleVersion
from rung.batch.forecast.comparing import Comparing, Examples, Question
from rung.batch.forecast.numbers import Compared, Outcome
from rung.batch.forecast.simulate import SimulationRefused, candidate_of, known_extent, simulate
from rung.batch.snapshots import SnapshotDamaged
from rung.campaign.calendar import Period, PeriodKind
from rung.campaign.spec import load
from rung.status.ladder import percent_text
from strategies import (
    ATTRIBUTES,
    USER_ATTRIBUTES,
    StepData,
    TransactionData,
    deliveries,
    transaction_lists,
    user_attribute_event,
    user_attribute_events,
)

EVENTS = Path(__file__).parents[2] / "examples" / "online-retail" / "events.ndjson.xz"

CANDIDATE = Pair(
    """
campaign: candidate
timezone: Europe/London
currency: GBP
attributes: {country: string, lines: integer, gift: boolean}
user_attributes: {premium: boolean, points: integer}
versions:
  - version: 3
    measures:
      payments: {count: "amount >= 100"}
      kept: {sum: "amount - refunded_amount"}
      countries: {distinct: country}
      days: {distinct: day}
    refunds: {post_to: refund}
    reward:
      base_percent: "0.75"
      steps:
        - {name: often, when: "payments >= 2 OR days >= 2", add_percent: "0.375"}
        - {name: rich, when: "kept >= 30000 AND NOT user.premium", add_percent: "1"}
        - {name: abroad, when: "countries >= 1", add_percent: "5", on: "country <> 'United Kingdom' AND amount < 60000"}
      cap: {per_transaction: 900, per_period: 1500}
      rounding: half_even
""",
    OracleCampaign(
        "candidate",
        "Europe/London",
        "month",
        [
            OracleVersion(
                3,
                None,
                {
                    "payments": ("count", lambda p: p["amount"] >= 100),
                    "kept": ("sum", lambda p: p["amount"] - p["refunded_amount"]),
                    "countries": ("distinct", lambda p: p["country"]),
                    "days": ("distinct", lambda p: p["day"]),
                },
                post_to="refund",
                base_percent="0.75",
                steps=[
                    OracleStep("often", lambda m, _: m["payments"] >= 2 or m["days"] >= 2, "0.375"),
                    OracleStep("rich", lambda m, u: m["kept"] >= 30_000 and u["premium"] is False, "1"),
                    OracleStep("abroad", lambda m, _: m["countries"] >= 1, "5", limited=True),
                ],
            )
        ],
        ATTRIBUTES,
        USER_ATTRIBUTES,
    ),
)
CANDIDATE_TERMS = Terms(
    {"abroad": lambda p: p["country"] not in {None, "United Kingdom"} and p["amount"] < 60_000},
    900,
    1500,
    "half_even",
)
LADDER_TERMS = Terms({"abroad": lambda p: p["country"] not in {None, "United Kingdom"}})


EDGES = [
    TransactionData(f"edge-{at}", "bob", {"country": "France"}, (StepData("COMPLETED", at, 5_000),))
    for at in ("2011-05-02T10:00:00Z", "2012-03-02T10:00:00Z")
]
"""The lake has these at least: the periods in question lie between them."""


def months(*texts: str) -> list[Period]:
    return [Period.parse(text, PeriodKind.MONTH) for text in texts]


def check_outcome(
    found: Outcome, version: OracleVersion, by_user: Mapping[str, Result], bought: Sequence[Bought]
) -> None:
    """Compare what was found with each user's result."""
    assert {step.step: step.users for step in found.steps} == {
        step.name: sum(step.name in one.met for one in by_user.values()) for step in version.steps
    }
    rates = Counter(percent_text(one.rate) for one in by_user.values())
    assert {rate.percent: rate.users for rate in found.rates} == rates
    assert found.cash_back.amount == sum(one.cash_back for one in by_user.values())
    assert found.purchases == len(bought)
    assert found.spent == sum(one.values["amount"] for one in bought)
    if found.cash_back.amount == 0:
        assert (found.cash_back.low, found.cash_back.high) == (0, 0)
    assert found.cash_back.low <= found.cash_back.high


def check_moves(found: Compared, before: Mapping[str, Result], after: Mapping[str, Result]) -> None:
    """Compare the moves with each user's two results."""
    moves = found.moves
    assert moves is not None
    differences = [after[user].rate - before[user].rate for user in after]
    assert moves.up == sum(one > 0 for one in differences)
    assert moves.down == sum(one < 0 for one in differences)
    assert moves.same == sum(one == 0 for one in differences)
    assert {Decimal(one.percent): one.users for one in moves.rates} == Counter(differences)
    for step in moves.steps:
        had = {user for user, one in before.items() if step.step in one.met}
        has = {user for user, one in after.items() if step.step in one.met}
        assert (step.gained, step.lost, step.kept) == (len(has - had), len(had - has), len(had & has))
    total = sum(one.cash_back for one in after.values()) - sum(one.cash_back for one in before.values())
    assert moves.cash_back.amount == total


def check_period(found: Compared, oracle: Oracle) -> None:
    """Compare the candidate and the ladder in one period."""
    sides = (
        (found.before, LADDER.oracle, LADDER_TERMS),
        (found.after, CANDIDATE.oracle, CANDIDATE_TERMS),
    )
    bought = {
        campaign.name: bought_in(oracle, campaign, outcome.purchases_in)
        for outcome, campaign, _ in sides
        if outcome is not None
    }
    users = {
        user
        for outcome, campaign, _ in sides
        if outcome is not None
        for user in active(oracle, campaign, outcome.version, found.period, bought[campaign.name])
    }
    assert found.users == len(users)
    by_user: list[dict[str, Result]] = []
    for outcome, campaign, terms in sides:
        if outcome is not None:
            mine = bought[campaign.name]
            version = campaign.versions[0]
            by_user.append(results(oracle, campaign, version, found.period, mine, users, terms))
            check_outcome(outcome, version, by_user[-1], mine)
    if found.before is not None:
        check_moves(found, by_user[0], by_user[1])


def simulated(scene: Scene, periods: Sequence[Period]) -> list[Compared]:
    workshop = scene.workshop
    snapshot = workshop.aggregate_to(dict(scene.log.ends())).snapshot
    campaign = load(CANDIDATE.spec, "spec")
    against = workshop.catalog().campaigns["ladder"]
    return simulate(workshop, snapshot, campaign, campaign.versions[0], periods, against).periods


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_purchases(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any histories and attributes in any order: users, steps, rates, moves and cash back are the oracle's."""
    events = data.draw(transaction_lists().flatmap(deliveries))
    events += data.draw(st.lists(user_attribute_events(), max_size=5))
    events += [purchase.event() for purchase in EDGES]
    oracle = Oracle([LADDER.oracle, CANDIDATE.oracle]).apply_all(events)
    with opened_scene(tmp_path_factory.mktemp("home"), [LADDER]) as scene:
        scene.append(events)
        found = simulated(scene, months("2011-05", "2011-06", "2011-07", "2011-12"))
    for one in found:
        check_period(one, oracle)


@pytest.fixture(scope="module")
def retail() -> tuple[list[bytes], Oracle]:
    """Return every eighth user's real purchases with attributes, and the oracle of them."""
    by_user: dict[str, list[bytes]] = {}
    for event in lzma.decompress(EVENTS.read_bytes()).splitlines():
        by_user.setdefault(json.loads(event)["user_id"], []).append(event)
    users = sorted(by_user)[::8]
    events = [event for user in users for event in by_user[user]]
    events += [
        user_attribute_event(user, sequence, {"premium": number % 2 == sequence, "points": number % 9})
        for number, user in enumerate(users[::3])
        for sequence in (1, 0)
    ]
    return events, Oracle([LADDER.oracle, CANDIDATE.oracle]).apply_all(events)


def test_real_purchases(tmp_path: Path, retail: tuple[list[bytes], Oracle]) -> None:
    """Over the online shop's purchases each period is the oracle's: measured, and where it is projected."""
    events, oracle = retail
    with opened_scene(tmp_path, [LADDER]) as scene:
        scene.append(events)
        found = simulated(scene, months("2010-12", "2011-07", "2011-11", "2011-12"))
    assert [(one.after.basis, one.after.purchases_in, one.whole) for one in found] == [
        ("measured", "2011-01", True),
        ("measured", "2011-08", True),
        ("projected", "2011-11", True),
        ("projected", "2011-11", False),
    ]
    for one in found:
        assert one.users > 30
        check_period(one, oracle)
        for threshold in one.after.thresholds:
            assert sum(threshold.histogram) == one.users
        money = one.after.cash_back
        assert money.low < money.amount < money.high


def test_the_same_question_has_the_same_answer(tmp_path: Path, retail: tuple[list[bytes], Oracle]) -> None:
    """However the events came and were aggregated, numbers and intervals are the same."""
    events, _ = retail
    periods = months("2011-07")
    with opened_scene(tmp_path / "one", [LADDER]) as scene:
        scene.append(events)
        found = simulated(scene, periods)
        assert simulated(scene, periods) == found
    with opened_scene(tmp_path / "two", [LADDER]) as scene:
        shuffled = random.Random(5).sample(events, len(events))
        for first in range(0, len(shuffled), 4_000):
            scene.append(shuffled[first : first + 4_000])
            scene.workshop.aggregate_to(dict(scene.log.ends()))
        assert simulated(scene, periods) == found


def test_a_version_of_another_calendar_and_effective_period(
    tmp_path: Path, retail: tuple[list[bytes], Oracle]
) -> None:
    """A candidate is compared with a campaign of another zone, whose rates are in force at once."""
    events, _ = retail
    oracle = Oracle([REFUNDS_IN_TOKYO.oracle]).apply_all(events)
    campaign = load(CANDIDATE.spec, "spec")
    with opened_scene(tmp_path, [REFUNDS_IN_TOKYO]) as scene:
        scene.append(events)
        snapshot = scene.workshop.aggregate_to(dict(scene.log.ends())).snapshot
        against = scene.workshop.catalog().campaigns["refunds-in-tokyo"]
        (found,) = simulate(
            scene.workshop, snapshot, campaign, campaign.versions[0], months("2011-06"), against
        ).periods
        (unseen,) = simulate(
            scene.workshop, snapshot, campaign, campaign.versions[0], months("2010-12"), against
        ).periods
    # The other campaign serves nothing before 2011-01.
    assert (unseen.before, unseen.moves) == (None, None)
    before = found.before
    assert before is not None
    assert (before.purchases_in, found.after.purchases_in) == ("2011-06", "2011-07")
    bought = bought_in(oracle, REFUNDS_IN_TOKYO.oracle, "2011-06")
    mine = active(oracle, REFUNDS_IN_TOKYO.oracle, 7, "2011-06", bought)
    version = REFUNDS_IN_TOKYO.oracle.versions[0]
    by_user = results(oracle, REFUNDS_IN_TOKYO.oracle, version, "2011-06", bought, mine, Terms())
    # Users that only the candidate counts meet no step here, and earn nothing.
    assert before.steps[0].users == sum("active" in one.met for one in by_user.values())
    assert before.cash_back.amount == sum(one.cash_back for one in by_user.values()) > 0


def test_examples_are_those_who_change_most(tmp_path: Path, retail: tuple[list[bytes], Oracle]) -> None:
    """The users with the greatest differences come first, equal ones in the order of their ids."""
    events, oracle = retail
    with opened_scene(tmp_path, [LADDER]) as scene:
        scene.append(events)
        workshop = scene.workshop
        snapshot = workshop.aggregate_to(dict(scene.log.ends())).snapshot
        campaign = load(CANDIDATE.spec, "spec")
        period = months("2011-10")
        extent = known_extent(workshop, snapshot, campaign, period)
        after = candidate_of(workshop.catalog(), campaign, campaign.versions[0], period)
        before = workshop.catalog().versions_of("ladder")[0]
        examples = Examples(7)
        comparing = Comparing(workshop, snapshot)
        comparing.compare([Question(period[0], before, after)], extent, examples)
    users = {one.user_id for one in oracle.transactions.values()}
    sides: list[dict[str, Result]] = []
    for pair, terms in ((LADDER, LADDER_TERMS), (CANDIDATE, CANDIDATE_TERMS)):
        bought = bought_in(oracle, pair.oracle, "2011-11")
        version = pair.oracle.versions[0]
        known = users & {
            *active(oracle, LADDER.oracle, 0, "2011-10", bought),
            *active(oracle, CANDIDATE.oracle, 3, "2011-10", bought),
        }
        sides.append(results(oracle, pair.oracle, version, "2011-10", bought, known, terms))
    had, has = sides
    for sign, found in ((1, examples.up), (-1, examples.down)):
        changed = [(-sign * (has[user].rate - had[user].rate), user) for user in has]
        due = [user for difference, user in sorted(changed) if difference < 0][:7]
        assert [one.user_id for one in found] == due
        for one in found:
            assert one.after.measures == has[one.user_id].measures
            assert set(one.before.met) == had[one.user_id].met
            assert Decimal(one.after.percent) == has[one.user_id].rate
            assert one.before.cash_back == had[one.user_id].cash_back


def test_nobody_moves_to_the_same_rules(tmp_path: Path, retail: tuple[list[bytes], Oracle]) -> None:
    """The applied version as a candidate changes nothing for anyone; its figures are computed, not looked up."""
    events, _ = retail
    with opened_scene(tmp_path, [LADDER]) as scene:
        scene.append(events)
        snapshot = scene.workshop.aggregate_to(dict(scene.log.ends())).snapshot
        campaign = load(LADDER.spec, "spec")
        found = simulate(
            scene.workshop, snapshot, campaign, campaign.versions[0], months("2011-08"), campaign
        ).periods[0]
    moves = found.moves
    assert moves is not None
    assert (moves.up, moves.down, moves.same) == (0, 0, found.users)
    assert (moves.cash_back.amount, moves.cash_back.low, moves.cash_back.high) == (0, 0, 0)
    assert found.before == found.after


def test_a_period_without_users(tmp_path: Path) -> None:
    """Where nobody bought anything, before or in the effective period, everything is zero."""
    with opened_scene(tmp_path, [LADDER]) as scene:
        scene.append([purchase.event() for purchase in EDGES])
        (found,) = simulated(scene, months("2011-09"))
    assert (found.users, found.after.rates, found.after.purchases) == (0, [], 0)
    assert [step.users for step in found.after.steps] == [0, 0, 0]
    assert sum(sum(one.histogram) for one in found.after.thresholds) == 0
    assert found.moves is not None
    assert (found.moves.up, found.moves.down, found.moves.same, found.moves.rates) == (0, 0, 0, [])
    assert (found.after.basis, found.after.purchases_in) == ("measured", "2011-10")


def test_a_damaged_snapshot_is_refused(tmp_path: Path, retail: tuple[list[bytes], Oracle]) -> None:
    """Numbers are never made from a file that is not what was written."""
    events, _ = retail
    with opened_scene(tmp_path, [LADDER]) as scene:
        scene.append(events[:200])
        snapshot = scene.workshop.aggregate_to(dict(scene.log.ends())).snapshot
        name = snapshot.merged[0][0]
        path = scene.workshop.snapshots.path(name)
        path.write_bytes(path.read_bytes()[:-1])
        campaign = load(CANDIDATE.spec, "spec")
        with pytest.raises(SnapshotDamaged, match="is not what was written"):
            simulate(scene.workshop, snapshot, campaign, campaign.versions[0], months("2010-12"), None)


def test_too_many_periods(tmp_path: Path) -> None:
    """A range that nobody meant is refused before anything is read."""
    campaign = load(CANDIDATE.spec, "spec")
    with opened_scene(tmp_path) as scene:
        snapshot = scene.workshop.aggregate_to(dict(scene.log.ends())).snapshot
        first = months("1980-01")[0]
        many = [replace(first, ordinal=first.ordinal + index) for index in range(401)]
        with pytest.raises(SimulationRefused, match="401 periods are too many"):
            simulate(scene.workshop, snapshot, campaign, campaign.versions[0], many, None)
        with pytest.raises(SimulationRefused, match="no purchase yet"):
            simulate(scene.workshop, snapshot, campaign, campaign.versions[0], many[:1], None)
