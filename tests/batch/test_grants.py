"""Grants and adjustments: what is settled stays, what comes later is an addition, and ids are told by hand."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from batch.settling import Row, Scene, rows
from batch.test_close import NOT_COMPARED, bought, reasons, told
from campaign_pairs import Pair
from rung.batch.settlement.grants import Granted, export
from rung.batch.settlement.settled import SettledDamaged, SettleRefused

SPEC = """
campaign: step
timezone: Asia/Tokyo
currency: JPY
user_attributes: {premium: boolean}
versions:
  - version: 1
    counts_from: 2020-01
    measures: {payments: {count: "amount >= 100"}}
    reward:
      base_percent: "1"
      cap: {per_transaction: 40, per_period: 70}
      steps:
        - {name: two, when: "payments >= 2", add_percent: "0.5"}
        - {name: gold, when: "user.premium", add_percent: "2.5"}
"""
JANUARY = [bought(f"j{number}", f"2024-01-{number:02}T12:00:00+09:00") for number in (1, 31)]
FEBRUARY = [
    bought("a", "2024-02-01T00:00:00+09:00", amount=999),
    bought("b", "2024-02-29T23:59:59+09:00", amount=2000),
    bought("c", "2024-02-10T00:00:00+09:00", "bob", 1550),
    bought("d", "2024-03-01T00:00:00+09:00"),
    bought("e", "2024-01-31T23:59:59+09:00", "eve", 99),
]


def closed_scene(tmp_path: Path, spec: str = SPEC) -> Scene:
    scene = Scene.make(tmp_path / "home", Pair(spec, NOT_COMPARED))
    scene.feed([*JANUARY, *FEBRUARY])
    scene.close("step", "2024-01")
    return scene


def brief(granted: Granted, number: int = 0) -> list[tuple[object, ...]]:
    """Return what is granted by the settlement of an index, without times and ids."""
    names = ("user_id", "transaction_id", "amount", "rate_percent", "cash_back")
    return [tuple(row[name] for name in names) for row in rows(granted.files[number])]


def id_of(scene: Scene, *parts: str) -> str:
    """Return a grant's id by hand."""
    with scene.workshop() as workshop:
        identity = workshop.catalog().versions_of("step")[1].version.identity
    return hashlib.sha256("/".join(["step", "1", identity, *parts]).encode()).hexdigest()


def test_rates_are_those_of_the_period_before(tmp_path: Path) -> None:
    """Each purchase earns at the closed rate of its user; who is not in the result has counted nothing."""
    scene = closed_scene(tmp_path)
    granted = scene.grant("step", "2024-02")
    assert granted.added
    assert brief(granted) == [
        ("ann", "a", 999, "1.5", 14),
        ("ann", "b", 2000, "1.5", 30),
        ("bob", "c", 1550, "1.0", 15),
    ]
    (manifest,) = granted.manifests
    assert (manifest.number, manifest.grants, manifest.cash_back, manifest.currency) == (1, 3, 59, "JPY")
    assert manifest.origin.counting_period == "2024-01"
    assert granted.files[0].rows == tmp_path / "home/batch/grants/step/2024-02/1.parquet"
    assert rows(granted.files[0])[0]["grant_id"] == id_of(scene, "2024-02", "a")


def test_again_is_nothing(tmp_path: Path) -> None:
    """A second run, also after events of other periods, writes nothing and exports the same bytes."""
    scene = closed_scene(tmp_path)
    export(scene.grant("step", "2024-02"), tmp_path / "first.csv", "csv")
    scene.feed([bought("z", "2024-03-05T00:00:00+09:00"), told("ann", 1, premium=True)])
    granted = scene.grant("step", "2024-02")
    assert not granted.added
    export(granted, tmp_path / "second.csv", "csv")
    assert (tmp_path / "first.csv").read_bytes() == (tmp_path / "second.csv").read_bytes()
    with (tmp_path / "first.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert table[0] == {
        "grant_id": id_of(scene, "2024-02", "a"),
        "user_id": "ann",
        "transaction_id": "a",
        "completed_at": "2024-01-31T15:00:00.000000Z",
        "amount": "999",
        "rate_percent": "1.5",
        "cash_back": "14",
    }
    export(granted, tmp_path / "all.parquet", "parquet")
    assert pq.read_table(tmp_path / "all.parquet").to_pylist() == rows(*granted.files)


def test_a_lost_file_is_made_again(tmp_path: Path) -> None:
    """As of its recorded positions the lake gives the same bytes, whatever was appended since."""
    scene = closed_scene(tmp_path)
    scene.grant("step", "2024-02")
    scene.feed([bought("b", "2024-02-29T23:59:59+09:00", amount=2000, refund=1000)])
    granted = scene.grant("step", "2024-02")
    before = [one.rows.read_bytes() for one in granted.files]
    scene.feed([bought("z", "2024-02-05T00:00:00+09:00")])
    for one in granted.files:
        one.rows.unlink()
    again = scene.grant("step", "2024-02")
    assert again.added
    assert [one.rows.read_bytes() for one in again.files[:2]] == before
    content = before[0]
    granted.files[0].rows.write_bytes(content + b"x")
    with pytest.raises(SettledDamaged, match="is not what was written"):
        scene.grant("step", "2024-02")


def test_bytes_that_the_lake_does_not_give(tmp_path: Path) -> None:
    """A lost file whose checksum is another one is not replaced by something else."""
    scene = closed_scene(tmp_path)
    files = scene.grant("step", "2024-02").files[0]
    text = files.manifest.read_text(encoding="utf-8")
    sha256 = hashlib.sha256(files.rows.read_bytes()).hexdigest()
    files.rows.unlink()
    files.manifest.write_text(text.replace(sha256, "0" * 64), encoding="utf-8")
    with pytest.raises(SettledDamaged, match="gives other bytes than its manifest says"):
        scene.grant("step", "2024-02")
    assert not files.rows.exists()
    files.manifest.write_text(text.replace('"partitions": 2', '"partitions": 3'), encoding="utf-8")
    with pytest.raises(SettledDamaged, match="was made from another log"):
        scene.grant("step", "2024-02")


def test_what_changes_later_is_an_addition(tmp_path: Path) -> None:
    """A refund takes back, a late purchase is granted, and a cap that has room again is filled up."""
    scene = closed_scene(tmp_path)
    scene.feed([bought("f", "2024-02-20T00:00:00+09:00", amount=2600)])
    first = scene.grant("step", "2024-02")
    assert brief(first) == [
        ("ann", "a", 999, "1.5", 14),
        ("ann", "f", 2600, "1.5", 39),
        ("ann", "b", 2000, "1.5", 17),
        ("bob", "c", 1550, "1.0", 15),
    ]
    scene.feed(
        [
            bought("f", "2024-02-20T00:00:00+09:00", amount=2600, refund=2600),
            bought("late", "2024-02-20T00:00:00+09:00", "zoe", 700),
        ]
    )
    second = scene.grant("step", "2024-02")
    assert brief(second, 1) == [
        ("ann", "f", 0, "0.0", -39),
        ("ann", "b", 2000, "1.5", 13),
        ("zoe", "late", 700, "1.0", 7),
    ]
    ids = [row["grant_id"] for row in rows(second.files[1])]
    user = hashlib.sha256(b"ann").hexdigest()
    assert ids == [
        id_of(scene, "2024-02#2", user, "f"),
        id_of(scene, "2024-02#2", user, "b"),
        id_of(scene, "2024-02", "late"),
    ]
    assert second.files[0] == first.files[0]
    assert not scene.grant("step", "2024-02").added


def test_no_rate_changes_after_the_close(tmp_path: Path) -> None:
    """What comes for the counting period later is an adjustment; rates in force and grants stay."""
    scene = closed_scene(tmp_path)
    scene.grant("step", "2024-02")
    scene.feed(
        [
            bought("j1", "2024-01-01T12:00:00+09:00", refund=1000),
            bought("j9", "2024-01-09T12:00:00+09:00", "bob"),
            told("bob", 1, premium=True),
        ]
    )
    adjusted = scene.adjust("step", "2024-01")
    names = (
        "user_id",
        "delta.payments",
        "measure.payments",
        "step.two",
        "step.gold",
        "rate_before",
        "rate_after",
    )
    assert [tuple(row[name] for name in names) for row in rows(*adjusted.files)] == [
        ("ann", -1, 1, False, False, "1.5", "1.0"),
        ("bob", 1, 1, False, False, "1.0", "1.0"),
    ]
    assert not scene.grant("step", "2024-02").added
    assert not scene.adjust("step", "2024-01").added
    scene.feed([bought("j8", "2024-01-08T12:00:00+09:00")])
    twice = scene.adjust("step", "2024-01")
    assert [tuple(row[name] for name in names) for row in rows(twice.files[1])] == [
        ("ann", 1, 2, True, False, "1.0", "1.5")
    ]
    assert [one.number for one in twice.manifests] == [1, 2]
    ids = [row["adjustment_id"] for row in rows(*twice.files)]
    assert len(set(ids)) == 3
    assert ids[0] == id_of(scene, "2024-01#1", "-1,1,1.5,1.0", "ann")


def test_effective_in_the_same_period(tmp_path: Path) -> None:
    """With `effective: same` the purchases that counted earn the rate themselves."""
    scene = closed_scene(tmp_path, SPEC.replace("currency", "effective: same\ncurrency"))
    assert brief(scene.grant("step", "2024-01")) == [
        ("ann", "j1", 1000, "1.5", 15),
        ("ann", "j31", 1000, "1.5", 15),
    ]


@pytest.mark.parametrize(
    ("period", "now", "reason"),
    [
        (
            "2024-03",
            "2031-01-01T00:00:00Z",
            "the counting period 2024-02 of campaign step is not closed: run `rung batch close step 2024-02` first",
        ),
        ("2020-01", "2031-01-01T00:00:00Z", "campaign step does not count 2019-12: it counts 2020-01 on"),
        (
            "2024-02",
            "2024-02-29T14:59:59Z",
            "the effective period 2024-02 of campaign step ends at 2024-03-01T00:00:00+09:00 (Asia/Tokyo): grant it after that",
        ),
    ],
)
def test_refused(tmp_path: Path, period: str, now: str, reason: str) -> None:
    """Rates come from a closed period, and purchases from one that has ended."""
    scene = closed_scene(tmp_path)
    scene.now = now
    with pytest.raises(SettleRefused) as caught:
        scene.grant("step", period)
    assert caught.value.reasons == (reason,)
    assert not (tmp_path / "home/batch/grants").exists()


def test_a_period_that_is_not_closed_has_no_adjustment(tmp_path: Path) -> None:
    """An adjustment is of a closed result."""
    scene = closed_scene(tmp_path)
    with pytest.raises(SettleRefused, match="is not closed"):
        scene.adjust("step", "2024-02")


def test_a_result_of_rules_that_are_not_applied(tmp_path: Path) -> None:
    """A closed period names its version by identity, and no other rules are taken for it."""
    scene = closed_scene(tmp_path)
    manifest = tmp_path / "home/batch/closed/step/2024-01/manifest.json"
    with scene.workshop() as workshop:
        identity = workshop.catalog().versions_of("step")[1].version.identity
    text = manifest.read_text(encoding="utf-8").replace(identity, "f" * 64)
    manifest.write_text(text, encoding="utf-8")
    with pytest.raises(SettledDamaged, match="which is not applied"):
        scene.grant("step", "2024-02")


def test_nobody_earns_anything(tmp_path: Path) -> None:
    """A period without purchases is granted, too: with no grant."""
    scene = closed_scene(tmp_path)
    scene.close("step", "2025-01")
    granted = scene.grant("step", "2025-02")
    assert granted.added
    found: list[Row] = rows(*granted.files)
    assert found == []
    assert not scene.grant("step", "2025-02").added
    assert reasons(scene, "2019-01") == ["campaign step does not count 2019-01: it counts 2020-01 on"]
