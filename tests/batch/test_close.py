"""Closing a counting period: when it may be, what is written, and that nothing of it ever changes."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from batch.settling import Scene, found, nothing, rows
from campaign_pairs import Pair
from harness import put_campaigns
from oracle import OracleCampaign
from rung.batch.proof.report import Reports
from rung.batch.proof.verify import verify
from rung.batch.settlement.close import Closing, Grace, verified_by_report
from rung.batch.settlement.settled import SettledDamaged, SettleRefused
from rung.campaign.catalog import CatalogRefused
from rung.campaign.spec import load
from rung.operations.author import Author
from rung.operations.catalog import change_campaign

SPEC = """
campaign: step
timezone: Asia/Tokyo
currency: JPY
user_attributes: {premium: boolean, tier: string}
counts_until: 2024-06
versions:
  - version: 1
    counts_from: 2020-01
    measures: {payments: {count: "amount >= 100"}, days: {distinct: day}}
    reward:
      base_percent: "1"
      steps:
        - {name: two, when: "payments >= 2 AND days >= 2", add_percent: "0.5"}
        - {name: gold, when: "user.premium", add_percent: "5"}
        - {name: mall, add_percent: "6", on: "amount > 5"}
"""
NOT_COMPARED = OracleCampaign("step", "Asia/Tokyo", "month", [])
CLOSING = Closing("tester", Grace(), 0.0, nothing)


def bought(
    transaction: str, at: str, user: str = "ann", amount: int = 1000, refund: int | None = None
) -> bytes:
    history = [{"status": "COMPLETED", "at": at, "amount": amount}]
    if refund is not None:
        history.append({"status": "REFUNDED", "at": at, "amount": refund})
    return json.dumps({"transaction_id": transaction, "user_id": user, "history": history}).encode()


def told(user: str, sequence: int, **values: object) -> bytes:
    return json.dumps({"user_id": user, "sequence": sequence, "user_attributes": values}).encode()


def scene_of(tmp_path: Path, spec: str = SPEC) -> Scene:
    return Scene.make(tmp_path / "home", Pair(spec, NOT_COMPARED))


def reasons(scene: Scene, text: str, closing: Closing = CLOSING) -> list[str]:
    with pytest.raises(SettleRefused) as caught:
        scene.close("step", text, closing)
    return list(caught.value.reasons)


def test_what_is_written(tmp_path: Path) -> None:
    """Every user that is known has a row: measures, the attributes that steps use, steps and the exact rate."""
    scene = scene_of(tmp_path)
    scene.feed(
        [
            bought("a", "2024-02-01T00:00:00+09:00"),
            bought("b", "2024-02-29T23:59:59.999999+09:00"),
            bought("c", "2024-03-01T00:00:00+09:00", "bob"),
            bought("d", "2024-01-31T23:59:59+09:00", "bob"),
            told("ann", 2, premium=True, tier="x"),
            told("ann", 1, premium=False),
            told("eve", 1, premium=None),
        ]
    )
    closed, is_new = scene.close("step", "2024-02")
    assert is_new
    names = [
        "user_id",
        "measure.payments",
        "measure.days",
        "user.premium",
        "step.two",
        "step.gold",
        "step.mall",
        "rate_percent",
    ]
    assert rows(closed.files) == [
        dict(zip(names, row, strict=True))
        for row in (
            ("ann", 2, 2, True, True, True, True, "6.5"),
            ("bob", 0, 0, None, False, False, True, "1.0"),
            ("eve", 0, 0, None, False, False, True, "1.0"),
        )
    ]
    manifest = closed.manifest
    assert (manifest.users, manifest.steps) == (3, {"two": 1, "gold": 1, "mall": 3})
    assert manifest.who == "tester"
    assert manifest.origin.version == 1
    assert sum(manifest.origin.positions.values()) == 7
    assert closed.files.rows == tmp_path / "home/batch/closed/step/2024-02/result.parquet"


def test_a_period_ends_at_midnight_of_its_zone(tmp_path: Path) -> None:
    """A month of Tokyo ends nine hours before that of London, and says so."""
    scene = scene_of(tmp_path)
    at_once = Closing("tester", Grace(0), 0.0, nothing)
    scene.now = "2024-02-29T14:59:59Z"
    assert reasons(scene, "2024-02", at_once) == [
        "period 2024-02 of campaign step has not ended: it ends at 2024-03-01T00:00:00+09:00 (Asia/Tokyo)"
    ]
    scene.now = "2024-02-29T15:00:00Z"
    assert scene.close("step", "2024-02", at_once)[1]


@pytest.mark.parametrize(
    ("grace", "early", "late", "until"),
    [
        (Grace(), "2024-03-03T14:59:59Z", "2024-03-03T15:00:00Z", "2024-03-04T00:00:00+09:00"),
        (Grace(0, 12), "2024-03-01T02:59:59Z", "2024-03-01T03:00:00Z", "2024-03-01T12:00:00+09:00"),
    ],
)
def test_late_events_are_waited_for(tmp_path: Path, grace: Grace, early: str, late: str, until: str) -> None:
    """Until the grace is over, three days if nothing else is said, a period stays open."""
    scene = scene_of(tmp_path)
    closing = Closing("tester", grace, 0.0, nothing)
    scene.now = early
    (reason,) = reasons(scene, "2024-02", closing)
    assert reason == (
        f"period 2024-02 of campaign step waits for late events until {until} (Asia/Tokyo): "
        "close it after that, or choose another --grace"
    )
    scene.now = late
    assert scene.close("step", "2024-02", closing)[1]


@pytest.mark.parametrize(
    ("kind", "zone", "period", "until"),
    [
        # The clock is put forward, and back, within the grace: its end is a midnight all the same.
        ("week", "Europe/London", "2024-W12", "2024-04-01T00:00:00+01:00 (Europe/London)"),
        ("day", "America/New_York", "2023-11-03", "2023-11-11T00:00:00-05:00 (America/New_York)"),
    ],
)
def test_grace_of_weeks_and_days(tmp_path: Path, kind: str, zone: str, period: str, until: str) -> None:
    """The grace is in days of the zone."""
    first = {"week": "2020-W01", "day": "2020-01-01"}[kind]
    last = {"week": "2024-W30", "day": "2024-06-30"}[kind]
    spec = SPEC.replace("Asia/Tokyo", zone).replace("currency", f"period: {kind}\ncurrency")
    spec = spec.replace("2020-01\n", f"{first}\n").replace("2024-06\n", f"{last}\n")
    scene = scene_of(tmp_path, spec)
    scene.now = "2024-03-30T00:00:00Z" if kind == "week" else "2023-11-08T00:00:00Z"
    (reason,) = reasons(scene, period, Closing("tester", Grace(7), 0.0, nothing))
    assert f"until {until}:" in reason


@pytest.mark.parametrize("period", ["2019-12", "2024-07"])
def test_outside_the_campaign(tmp_path: Path, period: str) -> None:
    """A period that no version serves is refused."""
    assert reasons(scene_of(tmp_path), period) == [
        f"campaign step does not count {period}: it counts 2020-01 to 2024-06"
    ]


def test_all_reasons_at_once(tmp_path: Path) -> None:
    """What stands against closing is told together: a grace, a partial version, no verification."""
    scene = scene_of(tmp_path, SPEC.replace("campaign: step", "campaign: first"))
    scene.feed([bought("a", "2024-02-01T00:00:00+09:00")])
    with scene.workshop() as workshop:
        put_campaigns(workshop.store, [Pair(SPEC, NOT_COMPARED)])
    scene.now = "2024-03-01T00:00:00Z"
    found_reasons = reasons(scene, "2024-02", Closing("tester", Grace(), 0.0))
    assert [reason.split(" of campaign step ")[1] for reason in found_reasons] == [
        "waits for late events until 2024-03-04T00:00:00+09:00 (Asia/Tokyo): close it after that, or choose another --grace",
        "is counted by version 1, whose past has not been added yet: run `rung batch backfill step 1` first",
        "is not verified: nothing was verified yet: run `rung batch verify`",
    ]


def test_events_that_are_not_applied(tmp_path: Path) -> None:
    """A worker that is behind is waited for, and not without end."""
    scene = scene_of(tmp_path)
    scene.feed([bought("a", "2024-02-01T00:00:00+09:00")], apply=False)
    assert reasons(scene, "2024-02", Closing("tester", Grace(), 0.3, nothing)) == [
        "1 of the log's events are not applied yet, and may belong to the period: start a worker, and see `rung lag`"
    ]
    assert not (tmp_path / "home/batch/closed").exists()


def test_a_second_time(tmp_path: Path) -> None:
    """A closed period is only looked at: its result is compared with its checksum."""
    scene = scene_of(tmp_path)
    scene.feed([bought("a", "2024-02-01T00:00:00+09:00")])
    closed, _ = scene.close("step", "2024-02")
    scene.feed([bought("b", "2024-02-02T00:00:00+09:00")])
    assert scene.close("step", "2024-02") == (closed, False)
    content = closed.files.rows.read_bytes()
    closed.files.rows.write_bytes(content[:-1])
    with pytest.raises(SettledDamaged, match="is not what was written"):
        scene.close("step", "2024-02")
    closed.files.rows.unlink()
    with pytest.raises(SettledDamaged, match="is missing, and its manifest is there"):
        scene.close("step", "2024-02")
    closed.files.rows.write_bytes(content)
    closed.files.manifest.write_text("{", encoding="utf-8")
    with pytest.raises(SettledDamaged, match="cannot be read"):
        scene.close("step", "2024-02")


def test_the_same_bytes(tmp_path: Path) -> None:
    """Two homes with the same events, in another order, close a period with the same bytes."""
    events = [
        bought(f"{number}", f"2024-02-{1 + number % 28:02}T12:00:00+09:00", f"user{number % 17}")
        for number in range(300)
    ]
    sums: set[str] = set()
    for name, fed in (("one", events), ("other", events[::-1])):
        scene = Scene.make(tmp_path / name, Pair(SPEC, NOT_COMPARED))
        scene.feed(fed)
        sums.add(scene.close("step", "2024-02")[0].manifest.sha256)
    assert len(sums) == 1


def test_nothing_happened(tmp_path: Path) -> None:
    """A period without any user is closed with an empty result."""
    scene = scene_of(tmp_path)
    closed, _ = scene.close("step", "2024-02")
    assert (closed.manifest.users, closed.manifest.steps) == (0, {"two": 0, "gold": 0, "mall": 0})
    assert pq.read_table(closed.files.rows).num_rows == 0


def test_the_schedule_moves_on(tmp_path: Path) -> None:
    """A closed period stays with the version that counted it, and is adjusted by that version's rules."""
    scene = scene_of(tmp_path)
    scene.feed([bought("a", "2024-02-01T00:00:00+09:00")])
    closed, _ = scene.close("step", "2024-02")
    second = SPEC[SPEC.index("  - version: 1") :].replace("version: 1", "version: 2")
    spec = SPEC + second.replace("    counts_from: 2020-01\n", "").replace(">= 100", ">= 5000")

    def activate(text: str) -> None:
        with scene.workshop() as workshop:
            change_campaign(
                workshop.store,
                "step",
                lambda before: before.activate("step", 2, found(workshop, "step", text)[1]),
                workshop.clock,
                "campaign.activate",
                "step 2",
                Author("tester", "a test"),
            )

    with scene.workshop() as workshop:
        revision, _ = workshop.store.catalog()
        catalog = workshop.catalog().apply(load(spec, "spec"), {})
        workshop.store.put_catalog(revision, catalog.encode(), None)
    with pytest.raises(CatalogRefused, match="2024-02 is closed, and stays with version 1, which counted it"):
        activate("2024-01")
    activate("2024-03")
    assert scene.close("step", "2024-02")[0].counted.version.number == 1
    assert scene.close("step", "2024-03")[0].counted.version.number == 2
    scene.feed([bought("b", "2024-02-02T00:00:00+09:00")])
    (row,) = rows(*scene.adjust("step", "2024-02").files)
    assert (row["delta.payments"], row["rate_before"], row["rate_after"]) == (1, "1.0", "1.5")
    assert closed.manifest.origin.version == 1


def write_report(scene: Scene, **changes: object) -> None:
    """Write a real report of the home, with some of it changed."""
    with scene.workshop() as workshop:
        report = verify(workshop, "20240301T000000", nothing)
        Reports(workshop.folder).write(msgspec.structs.replace(report, **changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"strangers": ["x"]}, "is not clean: run `rung batch repair 20240301T000000 --yes`"),
        ({"started_at": 1_709_218_799_999_999}, "is from before the end of the period"),
        ({"versions": ["step/2", "other/1"]}, "has not compared version 1"),
    ],
)
def test_what_proves_a_period(tmp_path: Path, changes: dict[str, object], reason: str | None) -> None:
    """The last report has to be clean, from after the period's end, and of this version."""
    scene = scene_of(tmp_path)
    write_report(scene, **changes)
    with scene.workshop() as workshop:
        campaign, period = found(workshop, "step", "2024-02")
        counted = workshop.catalog().versions_of("step")[1]
        unproved = verified_by_report(workshop, counted, campaign.calendar.ends_at(period))
    assert (unproved is None) is (reason is None)
    assert (reason or "") in (unproved or "")
