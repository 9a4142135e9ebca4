"""`rung erase`: what has to be done before, and what is left of a user after it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from cli.command import Rung, purchase, write_lines
from rung.cli.errors import ExitCode
from rung.console.jobs import Job
from rung.console.kept import Kept
from rung.console.tasks import Task, TaskKind
from rung.faultpoints import arm, disarm

USER = "ann-in-question"
WHY = ("--reason", "was asked to")


@pytest.fixture
def settled(small: Rung, tmp_path: Path) -> Rung:
    """Return a command line on a home with a closed month, its grants, a report and a quarantined event."""
    lines = [
        purchase(f"t{len(name)}-{month}-{day}", name, at=f"2021-{month:02}-{day:02}T00:00:00Z")
        for name in (USER, "bob")
        for month in (7, 8)
        for day in (1, 2, 3)
    ]
    bad = json.dumps({"user_id": USER, "transaction_id": "bad", "history": []})
    told = json.dumps({"user_id": USER, "sequence": 1, "user_attributes": {"name": "Ann"}})
    small.fine("ingest", "--wait", write_lines(tmp_path / "events.ndjson", *lines, bad, told))
    small.fine("batch", "verify")
    small.fine("batch", "close", "small", "2021-07", "--yes")
    small.fine("grants", "small", "2021-08")
    return small


def files_with(folder: Path, needle: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and needle.encode() in path.read_bytes()]


def test_the_log_first(settled: Rung) -> None:
    """While the log has events of the user nothing is erased, and the command says what to run."""
    ran = settled("erase", USER, *WHY, "--yes")
    assert ran.code == ExitCode.PROBLEMS
    assert ran.err == "error: the log has 8 events of the user: run `rung log trim --yes` first\n"


def test_nothing_names_the_user(settled: Rung) -> None:
    """The id is nowhere in the home; what is settled has the same figures, and says when that was, not of whom."""
    grants = settled.fine("grants", "small", "2021-08", "--json").json
    settled.fine("log", "trim", "--yes")
    jobs = Kept(settled.home / "console" / "jobs", Job)
    jobs.put("a-replay", Job("a-replay", Task(kind=TaskKind.REPLAY, who="bob", user=USER), 0))
    done = settled.fine("erase", USER, *WHY, "--yes", "--json").json
    assert done["left"] == []
    assert (done["events"], done["transactions"], done["quarantined"], done["settled"]) == (8, 6, 1, 2)
    assert files_with(settled.home, USER) == []
    settled.fine("batch", "verify")
    closed = settled.home / "batch" / "closed" / "small" / "2021-07"
    manifest = json.loads((closed / "manifest.json").read_text())
    assert manifest["sha256"] == hashlib.sha256((closed / "result.parquet").read_bytes()).hexdigest()
    assert [sorted(one) for one in manifest["erasures"]] == [["at", "sha256_before"]]
    again = settled.fine("grants", "small", "2021-08", "--json").json
    assert again["cash_back"] == grants["cash_back"]
    settled.fine("batch", "adjust", "small", "2021-07")
    audit = settled.fine("audit", "--json").json
    assert audit["ok"]
    entry = audit["entries"][-1]
    assert (entry["action"], entry["subject"], entry["reason"]) == ("erase", "a user", "was asked to")


def test_a_reason_that_names_the_user(settled: Rung) -> None:
    """The audit list keeps the reason, so it must not name whom nothing else does."""
    ran = settled("erase", USER, "--reason", f"{USER} asked", "--yes")
    assert ran.code == ExitCode.BAD_INPUT
    assert ran.err == "error: --reason names the user, and the audit list keeps it: say it otherwise\n"


def test_cut_short_between_rows_and_manifest(settled: Rung) -> None:
    """An erasure that ends when rows have the new name and their manifest has not is completed by the next."""
    settled.fine("log", "trim", "--yes")

    def end_early() -> None:
        disarm("erasing_settled")
        raise KeyboardInterrupt

    arm("erasing_settled", end_early)
    assert settled("erase", USER, *WHY, "--yes").code == ExitCode.INTERRUPTED
    settled.fine("erase", USER, *WHY, "--yes")
    assert files_with(settled.home, USER) == []
    for folder in ("closed/small/2021-07", "grants/small/2021-08"):
        for path in (settled.home / "batch" / folder).glob("*.json"):
            rows = path.with_name("result.parquet" if path.stem == "manifest" else f"{path.stem}.parquet")
            digest = hashlib.sha256(rows.read_bytes()).hexdigest()
            assert json.loads(path.read_text(encoding="utf-8"))["sha256"] == digest
    settled.fine("batch", "verify")
