"""`rung lag`: how far each partition is applied, and which cannot go on."""

from __future__ import annotations

import shutil
from pathlib import Path

from cli.command import Rung, purchase, trim, write_lines
from rung import bootstrap
from rung.cli.errors import ExitCode
from rung.cli.stuck import stuck_text
from rung.status.lag import Stuck
from rung.transaction.routing import partition_of

ANN = partition_of(b"ann", 4)


def test_what_waits(small: Rung, tmp_path: Path) -> None:
    """Start, end, the last offset applied and what waits are told for every partition; exit code 0."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", purchase("t1")))
    small.fine("ingest", write_lines(tmp_path / "f", purchase("t2"), purchase("t3")))
    found = small.fine("lag", "--json").json
    assert (found["ok"], found["lag_events"], len(found["partitions"])) == (True, 2, 4)
    assert found["lag_seconds"] >= 0
    assert found["partitions"][ANN] == {
        "partition": ANN,
        "start": 0,
        "end": 3,
        "applied": 0,
        "lag_events": 2,
        "state": "ok",
    }
    ran = small.fine("lag")
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[0] == ["partition", "start", "end", "applied", "lag", "state"]
    assert rows[1 + ANN] == [str(ANN), "0", "3", "0", "2", "ok"]
    assert ran.err.startswith("2 events to apply; the oldest has waited ")


def test_passed_by_retention(small: Rung, tmp_path: Path) -> None:
    """A partition whose next event was trimmed away is named, with what to do; exit code 1."""
    small.fine("ingest", write_lines(tmp_path / "e", purchase("t1")))
    trim(small.home, ANN)
    ran = small("lag", "--json")
    assert (ran.code, ran.json["ok"]) == (ExitCode.PROBLEMS, False)
    assert [one["state"] for one in ran.json["partitions"]].count("passed_by_retention") == 1
    text = small("lag")
    assert "passed by retention" in text.out
    assert text.err.startswith(f"error: partition {ANN}: events were trimmed away")


def test_another_log(small: Rung, tmp_path: Path) -> None:
    """A log that was made anew makes every partition stuck; exit code 1."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", purchase("t1")))
    shutil.rmtree(small.home / "log")
    bootstrap.initialise(small.home)
    ran = small("lag", "--json")
    assert ran.code == ExitCode.PROBLEMS
    assert {one["state"] for one in ran.json["partitions"]} == {"log_replaced"}
    assert "partitions 0, 1, 2, 3: the store's positions are of another log" in small("lag").err


def test_every_reason_has_its_way_out() -> None:
    """Partitions are grouped by reason, each with what to do."""
    text = stuck_text({3: Stuck.AHEAD_OF_LOG, 1: Stuck.AHEAD_OF_LOG, 2: Stuck.PASSED_BY_RETENTION})
    first, second = text.split("; partition 2: ")
    assert first.startswith("partitions 1, 3: the log has lost events that are applied.")
    assert second.startswith("events were trimmed away before they were applied.")
