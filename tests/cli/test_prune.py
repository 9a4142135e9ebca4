"""`rung prune` and `rung batch settle`: what a home forgets, why not, and what comes of it later."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.command import SPEC, Rung, purchase, write_lines
from rung.cli.errors import ExitCode


@pytest.fixture
def fed(rung: Rung, tmp_path: Path) -> Rung:
    """Return a command line on a home that keeps one month, with events of three."""
    file = tmp_path / "keep.yaml"
    file.write_text(SPEC.replace("currency:", "keep: 1 month\ncurrency:"), encoding="utf-8")
    rung.fine("campaign", "apply", file)
    days = [f"2021-{month:02}-{day:02}T00:00:00Z" for month in range(4, 10) for day in range(1, 29)]
    lines = [
        purchase(f"{user}-{at}", user, at=at) for user in ("ann", "bob", "cy", "dee", "eve") for at in days
    ]
    rung.fine("ingest", "--wait", write_lines(tmp_path / "events.ndjson", *lines))
    return rung


def refund(rung: Rung, folder: Path, day: str) -> None:
    at = f"2021-{day}T00:00:00Z"
    line = purchase(f"ann-{at}", "ann", at=at, then=[("REFUNDED", "2021-09-28T00:00:00Z", 600)])
    rung.fine("ingest", "--wait", write_lines(folder / f"{day}.ndjson", line))


def test_nothing_was_verified(fed: Rung) -> None:
    """Nothing is pruned that is not proved right: the command says what to run, and changes nothing."""
    fed.fine("archive", "--until-caught-up")
    for arguments in (("prune",), ("prune", "--yes")):
        ran = fed(*arguments)
        assert ran.code == ExitCode.PROBLEMS
        assert "nothing was verified yet: run `rung batch verify`" in ran.out + ran.err
    assert fed.fine("prune", "--help").code == 0
    assert [entry["action"] for entry in fed.fine("audit", "--json").json["entries"]] == ["campaign.apply"]


def test_a_prune(fed: Rung, tmp_path: Path) -> None:
    """A dry run shows what --yes does; later events wait, are settled, and verification stays clean."""
    fed.fine("batch", "verify")
    planned = fed.fine("prune", "--json").json
    assert (planned["done"], planned["refusals"]) == (False, [])
    assert planned["kept_from"] == {"before": None, "after": "2021-08-01T00:00:00Z"}
    assert planned["transactions"] == 5 * 4 * 28
    done = fed.fine("prune", "--yes", "--reason", "the summer is over", "--json").json
    assert {**done, "done": False, "settled": None} == planned
    assert fed.fine("audit", "--json").json["entries"][-1]["reason"] == "the summer is over"
    refund(fed, tmp_path, "06-05")
    refund(fed, tmp_path, "09-05")
    waiting = fed.fine("quarantine", "list", "--json").json
    assert [one["reason"] for one in waiting["events"]] == ["pruned"]
    fed.fine("batch", "verify")
    settled = fed.fine("batch", "settle", "--json").json
    assert settled == {"released": 1, "transactions": 1, "conflicts": 0, "left": 0}
    assert fed.fine("quarantine", "list", "--json").json["events"] == []
    fed.fine("batch", "verify")
    assert "Settled 0 events" in fed.fine("batch", "settle").err


def test_a_pruned_period_is_told_by_nobody(fed: Rung) -> None:
    """The status of a day in a pruned period has no figures, rather than zeros."""
    day = ("status", "ann", "--at", "2021-06-15", "--json")
    assert fed.fine(*day).json["campaigns"][0]["counting"] is not None
    fed.fine("batch", "verify")
    fed.fine("prune", "--yes")
    assert fed.fine(*day).json["campaigns"][0]["counting"] is None
    kept = fed.fine("status", "ann", "--at", "2021-09-15", "--json").json["campaigns"][0]
    assert kept["effective"] is not None


def test_closed_periods(fed: Rung, tmp_path: Path) -> None:
    """Where periods are closed, none is pruned before; a later refund of one that was pruned makes an adjustment."""
    fed.fine("batch", "verify")
    fed.fine("batch", "close", "small", "2021-05", "--yes")
    ran = fed("prune", "--yes")
    assert ran.code == ExitCode.PROBLEMS
    assert ran.err.splitlines() == [
        f"error: period 2021-0{month} of campaign small is not closed: run `rung batch close small 2021-0{month}`"
        for month in (6, 7)
    ]
    for month in (6, 7):
        fed.fine("batch", "close", "small", f"2021-0{month}", "--yes")
    fed.fine("prune", "--yes")
    refund(fed, tmp_path, "06-05")
    fed.fine("batch", "settle")
    adjusted = fed.fine("batch", "adjust", "small", "2021-06", "--json").json
    assert adjusted["adjustments"][-1]["users"] == 1
    fed.fine("batch", "verify")
