"""`rung campaign diff`: what changes for whom, the report's hash, and who is named."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cli.command import SPEC, Rung, write_lines
from cli.test_simulate import EVENTS
from rung import bootstrap
from rung.batch.forecast.diffs import accepted_diff
from rung.campaign.catalog import Catalog
from rung.cli.errors import ExitCode

SHADOW = """\
  - version: 1
    measures:
      payments: {count: "amount >= 500"}
      days: {distinct: day}
    reward:
      base_percent: "1"
      steps:
        - {name: three, when: "payments >= 4", add_percent: "0.5"}
        - {name: two-days, when: "days = 2", add_percent: "0.75"}
"""


@pytest.fixture
def two(rung: Rung, spec: Path, tmp_path: Path) -> Rung:
    """Return a command line on a home with two versions and purchases of three months."""
    spec.write_text(SPEC + SHADOW, encoding="utf-8")
    rung.fine("campaign", "apply", spec)
    rung.fine("ingest", write_lines(tmp_path / "events", *EVENTS))
    return rung


def test_what_changes(two: Rung) -> None:
    """Users up and down, per step, costs and the hash, which is the file's SHA-256 and can be accepted."""
    ran = two.fine("campaign", "diff", "small", "0", "1", "--period", "2021-08", "--json").json
    compared = ran["report"]["compared"]
    assert {name: compared["moves"][name] for name in ("up", "down", "same")} == {
        "up": 1,
        "down": 1,
        "same": 0,
    }
    assert compared["moves"]["steps"] == [
        {"step": "three", "gained": 0, "lost": 1, "kept": 0},
        {"step": "two-days", "gained": 1, "lost": 0, "kept": 0},
    ]
    assert compared["moves"]["cash_back"]["amount"] == (200 + 175) - (300 + 100)
    assert (ran["examples"], ran["notes"]) == (None, [])
    file = Path(ran["file"])
    assert hashlib.sha256(file.read_bytes()).hexdigest() == ran["hash"] == file.stem
    home = bootstrap.open_home(two.home)
    with bootstrap.opened_store(home, read_only=True) as store:
        catalog = Catalog.decode(store.catalog()[1])
    assert accepted_diff(home.batch_folder, ran["hash"], catalog, "small", 1, 0).compared.users == 2
    again = two.fine(
        "campaign", "diff", "small", "0", "1", "--period", "2021-08", "--as-of-snapshot", "--json"
    )
    assert again.json["hash"] == ran["hash"]


def test_for_people(two: Rung) -> None:
    """Tables, charts and the hash; users are named only where that is asked for."""
    ran = two.fine("campaign", "diff", "small", "0", "1", "--period", "2021-08")
    assert "small 2021-08, version 0 (before) and 1 (after): 2 users, 1 up, 1 down, 0 the same" in ran.err
    assert "Hash: " in ran.err
    assert "█" in ran.out
    assert "ann" not in ran.out
    assert "bob" not in ran.out
    named = two.fine("campaign", "diff", "small", "0", "1", "--period", "2021-08", "--examples")
    lines = [" ".join(line.split()) for line in named.out.splitlines()]
    assert "bob 1.0% 1.75% none two-days payments 2, days 2" in lines
    assert "ann 1.5% 1.0% three none payments 3, days 3" in lines
    told = two.fine("campaign", "diff", "small", "0", "1", "--period", "2021-08", "--examples", "--json").json
    assert [one["user_id"] for one in told["examples"]["up"]] == ["bob"]


def test_a_period_that_is_not_over(two: Rung) -> None:
    """It is said, and the diff goes on."""
    ran = two.fine("campaign", "diff", "small", "0", "1", "--period", "2021-10")
    assert "Note: 2021-10 is not whole" in ran.err
    assert "Note: 2021-10: the cash back is projected from the purchases of 2021-09" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["smal", "0", "1", "--period", "2021-08"], "no campaign is named 'smal'; did you mean small?"),
        (["small", "0", "3", "--period", "2021-08"], "campaign small has no version 3; there are: 0, 1"),
        (["small", "1", "1", "--period", "2021-08"], "version 1 is compared with itself: name two versions"),
        (["small", "0", "1", "--period", "2021-W08"], "'2021-W08' is not a month such as 2021-08 (campaign small counts by month)"),
        (["small", "0", "1", "--period", "2020-08"], "2020-08 is outside of the lake's data: it has purchases from 2021-08 to 2021-10"),
    ],
)  # fmt: skip
def test_bad_arguments(two: Rung, arguments: list[str], message: str) -> None:
    """Each has one clear line; no report is written."""
    ran = two("campaign", "diff", *arguments)
    assert (ran.code, ran.err) == (ExitCode.BAD_INPUT, f"error: {message}\n")
    assert not (two.home / "batch" / "diffs").exists()
