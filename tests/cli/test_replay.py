"""`rung replay`: the state derived from the whole log again."""

from __future__ import annotations

import shutil
from pathlib import Path

from cli.command import SPEC, Rung, program, purchase, trim, write_lines
from rung.cli.errors import ExitCode


def _measures(rung: Rung, campaign: str) -> tuple[str, dict[str, int]]:
    status = rung.fine("status", "ann", "--campaign", campaign, "--at", "2021-08-04", "--json").json
    counting = status["campaigns"][0]["counting"]
    return counting["state"], counting["measures"]


def test_a_late_campaign_counts_the_past(small: Rung, spec: Path, tmp_path: Path) -> None:
    """After a replay, a campaign that came later counts every event, and the others as before."""
    lines = (purchase("t1"), purchase("t2", amount=200), "no json")
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", *lines))
    before = _measures(small, "small")
    spec.write_text(SPEC.replace("campaign: small", "campaign: late"), encoding="utf-8")
    small.fine("campaign", "apply", spec)
    assert _measures(small, "late") == ("partial", {"payments": 0, "total": 0})
    ran = small.fine("replay", "--yes", "--json").json
    assert (ran["events"], ran["quarantined"]) == (2, 1)
    assert _measures(small, "late") == ("provisional", {"payments": 1, "total": 1_200})
    assert _measures(small, "small") == before
    assert small.fine("quarantine", "list", "--json").json["count"] == 1


def test_it_asks(small: Rung, tmp_path: Path) -> None:
    """Without --yes it asks, says how much there is to do, and no means no."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", purchase("t1")))
    ran = program("--home", small.home, "replay", stdin="n\n")
    assert ran.code == ExitCode.INTERRUPTED
    assert "Forget all figures and apply 1 event again?" in ran.err
    assert _measures(small, "small")[1]["payments"] == 1
    ran = program("--home", small.home, "replay", stdin="y\n")
    assert ran.code == 0
    assert "Applied 1 event again; quarantined 0" in ran.err


def test_a_trimmed_log_is_refused(small: Rung, tmp_path: Path) -> None:
    """A replay from a trimmed log would lose figures: it is refused, and nothing changes; exit code 5."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", purchase("t1")))
    for partition in range(4):
        trim(small.home, partition)
    ran = small("replay", "--yes")
    assert ran.code == ExitCode.FAILED
    assert ran.err.startswith("error: the log no longer begins with its first event in partition ")
    assert "a replay would lose what was trimmed away" in ran.err
    assert _measures(small, "small")[1]["payments"] == 1


def test_another_log(small: Rung, tmp_path: Path) -> None:
    """A replay takes the store to the log that is there now."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", purchase("t1")))
    shutil.rmtree(small.home / "log")
    small.fine("ingest", write_lines(tmp_path / "f", purchase("t2", amount=7_000)))
    assert small("worker", "--until-caught-up").code == ExitCode.FAILED
    small.fine("replay", "--yes")
    assert _measures(small, "small")[1] == {"payments": 1, "total": 7_000}
    assert small.fine("lag", "--json").json["ok"]
