"""Standings by SQL are what the status shows: the same measures, met steps and rates, for any user."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.scenes import opened_scene
from campaign_pairs import LADDER
from rung.batch.duck import DuckEngine, EngineSettings
from rung.batch.files import FIGURES_SCHEMA
from rung.batch.forecast.standings import RATE, measure_column, standings_sql
from rung.batch.settlement.cash_back import met_column, rate_scale
from rung.batch.told import told_sql
from rung.campaign.catalog import CountedVersion
from rung.campaign.spec import load
from rung.status.ladder import Ladder
from strategies import user_attribute_event

SPEC = """\
campaign: all-of-it
timezone: UTC
currency: EUR
attributes: {country: string}
user_attributes: {premium: boolean, points: integer, tier: string}
versions:
  - version: 0
    counts_from: 2021-01
    measures:
      payments: {count: "amount >= 100"}
      total: {sum: amount}
      countries: {distinct: country}
    reward:
      base_percent: "0.5"
      steps:
        - {name: always, add_percent: "0.125"}
        - {name: often, when: "payments >= 3", add_percent: "1"}
        - {name: premium, when: "user.premium", add_percent: "0.25"}
        - {name: not-premium, when: "NOT user.premium", add_percent: "0.05"}
        - {name: unknown, when: "user.premium IS NULL OR user.points IS NOT NULL", add_percent: "2"}
        - {name: mixed, when: "total - 2 * payments > 100 AND NOT (countries = 1 OR user.points < 5)", add_percent: "3"}
        - {name: between, when: "total NOT BETWEEN -10 AND 250 OR user.points BETWEEN payments AND 7", add_percent: "4"}
        - {name: tier, when: "user.tier IN ('gold', '') OR user.tier > 'm'", add_percent: "5"}
        - {name: not-tier, when: "user.tier NOT IN ('gold', 'silver') AND countries <> 0", add_percent: "6"}
        - {name: points, when: "-user.points * 3 <= 12 AND user.points <> 0", add_percent: "7"}
        - {name: limited, when: "countries >= 2", add_percent: "10", on: "country = 'DE'"}
"""
CAMPAIGN = load(SPEC, "spec")
SERIES = {"payments": 7, "total": 8, "countries": 9}
COUNTED = CountedVersion(CAMPAIGN, CAMPAIGN.versions[0], SERIES, {}, (0, 40_000))
PERIOD = 24_257


@dataclass(frozen=True)
class Told:
    """What is known of a user; the tokens are the counters of `countries`."""

    payments: int | None
    total: int | None
    tokens: Mapping[int, int]
    attributes: Mapping[str, object] | None

    def measures(self) -> dict[str, int]:
        countries = sum(value > 0 for value in self.tokens.values())
        return {"payments": self.payments or 0, "total": self.total or 0, "countries": countries}

    def figures(self, user: str) -> list[tuple[str, int, int, int, int]]:
        found = [(SERIES["countries"], token, value) for token, value in self.tokens.items()]
        found += [(SERIES["payments"], 0, self.payments)] if self.payments else []
        found += [(SERIES["total"], 0, self.total)] if self.total else []
        return [
            *((user, series, PERIOD, token, value) for series, token, value in found if value),
            # What happened in another period, or is of another version, is not looked at.
            (user, SERIES["total"], PERIOD + 1, 0, 1_000),
            (user, 6, PERIOD, 0, 1_000),
        ]


def values() -> st.SearchStrategy[object]:
    """Return attribute values of any type: only those of the declared type are known."""
    return st.sampled_from(
        [
            *(True, False, 0, -4, -5, 5, 7, 8, 2**53, -(2**53), 2**53 + 1, 10**30, -(10**30), 1.0, 1.5),
            *("", "gold", "silver", "true", "5", 'q"\\', "né", [1], {"a": 1}),
        ]
    )


@st.composite
def told(draw: st.DrawFn) -> Told:
    tokens = st.dictionaries(st.integers(0, 3) | st.just(2**64 - 1), st.integers(-1, 2), max_size=4)
    attributes = st.dictionaries(st.sampled_from(["premium", "points", "tier", "other"]), values())
    return Told(
        draw(st.none() | st.integers(-1, 8)),
        draw(st.none() | st.integers(-300, 300) | st.just(10**15)),
        draw(tokens),
        draw(st.none() | attributes),
    )


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Generator[DuckEngine]:
    """Give one engine for all examples."""
    with DuckEngine.open(EngineSettings("512MiB", 1, tmp_path_factory.mktemp("engine") / "spill")) as opened:
        yield opened


@given(st.dictionaries(st.sampled_from(["ann", "bob", "cat", "ユ"]), told(), max_size=4))
def test_as_the_status_shows_it(engine: DuckEngine, users: dict[str, Told]) -> None:
    """Measures, each met step and the rate are those of `Ladder.rate`, whatever is NULL or of another type."""
    rows = [row for user, one in users.items() for row in one.figures(user)]
    names = FIGURES_SCHEMA.names
    figures = pa.table({name: [row[at] for row in rows] for at, name in enumerate(names)}, FIGURES_SCHEMA)
    known = {user: one.attributes for user, one in users.items() if one.attributes is not None}
    texts = [json.dumps(one) for one in known.values()]
    found = engine.query(
        standings_sql(COUNTED, PERIOD),
        users=pa.table({"user_id": pa.array(list(users), pa.string())}),
        figures=figures,
        told=pa.table(
            {"user_id": pa.array(list(known), pa.string()), "attributes": pa.array(texts, pa.string())}
        ),
    ).to_pylist()
    reward = COUNTED.version.reward
    ladder = Ladder(reward, CAMPAIGN.user_attributes)
    assert [row["user_id"] for row in found] == sorted(users)
    for row in found:
        one = users[row["user_id"]]
        rate = ladder.rate(one.measures(), one.attributes or {})
        assert {name: row[measure_column(name)] for name in SERIES} == one.measures()
        met = [step for index, step in enumerate(reward.steps) if row[met_column(index)]]
        assert tuple(met) == rate.met
        assert Decimal(row[RATE]) / rate_scale(reward) == rate.percent


def test_the_last_attributes_told(tmp_path: Path) -> None:
    """The highest sequence counts, of two with one sequence the first, and nothing from behind the end."""
    with opened_scene(tmp_path, [LADDER]) as scene:
        scene.append(
            [
                user_attribute_event("alice", 2, {"points": 2}),
                user_attribute_event("alice", 1, {"points": 1}),
                user_attribute_event("bob", 5, {"points": 5, "premium": None}),
                user_attribute_event("bob", 5, {"points": 6}),
            ]
        )
        snapshot = scene.workshop.aggregate_to(dict(scene.log.ends())).snapshot
        scene.append([user_attribute_event("bob", 6, {"points": 7})])
        scene.workshop.aggregate_to(dict(scene.log.ends()))
        workshop = scene.workshop
        state, catalog = workshop.lake.state(), workshop.catalog()
        query = told_sql(workshop.engine, state, catalog, snapshot.positions)
        found = scene.workshop.engine.query(query).to_pylist()
        nothing = workshop.engine.query(told_sql(workshop.engine, state, catalog, {}))
    assert {row["user_id"]: row["attributes"] for row in found} == {
        "alice": '{"points":2}',
        "bob": '{"points":5}',
    }
    assert nothing.num_rows == 0
