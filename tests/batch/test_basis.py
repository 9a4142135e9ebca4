"""Which purchases cash back is reckoned on, and which attributes the lake's transactions have."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batch.scenes import opened_scene
from campaign_pairs import LADDER
from rung.batch.forecast.basis import Extent, extent_of, missing_attributes
from rung.campaign.calendar import Period, PeriodKind
from rung.campaign.model import Campaign, Effective
from rung.campaign.spec import load
from strategies import StepData, TransactionData

CAMPAIGN = load(LADDER.spec, "spec")


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def extent(first: str, last: str, latest: str, now: str = "2030-01-01") -> Extent:
    return Extent(instant(first), instant(last), instant(latest), instant(now))


@pytest.mark.parametrize(
    ("found", "period", "basis"),
    [
        (extent("2011-01-05", "2011-04-09", "2011-04-09"), "2011-01", "measured 2011-02"),
        (extent("2011-01-05", "2011-04-09", "2011-04-09"), "2011-02", "measured 2011-03"),
        # April has not ended: the rates of March are taken to March's purchases.
        (extent("2011-01-05", "2011-04-09", "2011-04-09"), "2011-03", "projected 2011-03"),
        (extent("2011-01-05", "2011-04-09", "2011-04-09"), "2011-04", "projected 2011-03"),
        # A refund in May shows that April is over.
        (extent("2011-01-05", "2011-04-09", "2011-05-02"), "2011-03", "measured 2011-04"),
        # A step in the far future does not end what the clock has not ended.
        (extent("2011-01-05", "2011-04-09", "2099-01-01", "2011-04-10"), "2011-03", "projected 2011-03"),
        (extent("2011-04-05", "2011-04-09", "2011-04-09"), "2011-04", "partial 2011-04"),
        # Nobody bought anything in the last whole month.
        (extent("2011-01-05", "2011-02-09", "2011-06-02"), "2011-05", "projected 2011-02"),
    ],
)
def test_whose_purchases(found: Extent, period: str, basis: str) -> None:
    """A whole effective period is measured; else the last whole one is the basis, else the last one."""
    got = found.basis_of(CAMPAIGN, Period.parse(period, PeriodKind.MONTH))
    assert f"{got.kind} {got.period}" == basis


def test_the_same_period() -> None:
    """With `effective: same` the counting period itself is the effective one."""
    same = replace(CAMPAIGN, effective=Effective.SAME)
    found = extent("2011-01-05", "2011-04-09", "2011-04-09")
    for period, basis in (("2011-03", "measured 2011-03"), ("2011-04", "projected 2011-03")):
        got = found.basis_of(same, Period.parse(period, PeriodKind.MONTH))
        assert f"{got.kind} {got.period}" == basis


def candidate(attributes: str, when: str) -> Campaign:
    return load(
        f"""\
campaign: candidate
timezone: UTC
currency: GBP
attributes: {{{attributes}}}
versions:
  - version: 0
    counts_from: 2011-01
    measures: {{seen: {{count: "{when}"}}}}
    reward: {{base_percent: "1"}}
""",
        "spec",
    )


@pytest.mark.parametrize(
    ("attributes", "when", "wrong"),
    [
        ("country: string, unused: string", "country = 'X'", []),
        (
            "colour: string",
            "colour = 'red'",
            ["attribute colour: no transaction of the lake has it; they have"],
        ),
        (
            "lines: string",
            "lines = 'x'",
            ["attribute lines: in 2 transactions of the lake its value is no string: declare it as integer"],
        ),
        (
            "note: integer",
            "note > 1",
            ["attribute note: in 1 transactions of the lake its value is no integer: no type fits it"],
        ),
        ("lines: integer, gift: boolean", "lines > 1 AND gift", []),
    ],
)
def test_attributes_that_events_do_not_have(
    tmp_path: Path, attributes: str, when: str, wrong: list[str]
) -> None:
    """An attribute that is used and absent, or of another type, is named with what to do."""
    step = (StepData("COMPLETED", "2011-03-05T10:00:00Z", 100),)
    with opened_scene(tmp_path, [LADDER]) as scene:
        scene.append(
            [
                TransactionData("t1", "alice", {"country": "Y", "lines": 3, "note": 1.5}, step).event(),  # type: ignore[dict-item]
                TransactionData("t2", "bob", {"lines": -3, "gift": False}, step).event(),
            ]
        )
        workshop = scene.workshop
        snapshot = workshop.aggregate_to(dict(scene.log.ends())).snapshot
        merged = [workshop.snapshots.paths(names) for names in snapshot.merged.values()]
        campaign = candidate(attributes, when)
        found = missing_attributes(workshop.engine, merged, campaign, campaign.versions[0])
        known = extent_of(workshop.engine, merged, 5)
    assert len(found) == len(wrong)
    for line, begin in zip(found, wrong, strict=True):
        assert line.startswith(begin)
    at = instant("2011-03-05T10:00:00")
    assert known == Extent(at, at, at, 5)
