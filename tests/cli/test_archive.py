"""`rung archive`: every event goes to the lake once, until it is stopped or has caught up."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from cli.command import Rung, purchase, start, trim, write_lines
from lake.comparing import difference
from rung import bootstrap
from rung.cli.errors import ExitCode
from rung.transaction.routing import partition_of

ANN = partition_of(b"ann", 4)
BOB = next(name for name in map(str, range(99)) if partition_of(name.encode(), 4) != ANN)


def is_whole(home: Path) -> bool:
    """Tell whether the lake has what the log has."""
    opened = bootstrap.open_home(home)
    with (
        bootstrap.opened_log(opened) as log,
        bootstrap.opened_lake(opened) as lake,
    ):
        return difference(log, lake) == ""


def test_until_caught_up(small: Rung, tmp_path: Path) -> None:
    """It archives what is in the log, applied or not, tells how much, and ends; a second run finds nothing."""
    small.fine("ingest", write_lines(tmp_path / "e", purchase("t1"), purchase("t1"), "no json"))
    first = small.fine("archive", "--until-caught-up", "--json")
    assert first.json["events"] == 3
    assert "Partitions: 0, 1, 2, 3\n" in first.err
    assert small.fine("archive", "--until-caught-up", "--json").json["events"] == 0
    small.fine("ingest", write_lines(tmp_path / "f", purchase("t2")))
    assert "Archived 1 event (" in small.fine("archive", "--until-caught-up").err
    assert is_whole(small.home)


def test_stopped(small: Rung, tmp_path: Path) -> None:
    """SIGTERM ends it cleanly: what it held, waiting for more events, is archived."""
    small.fine("ingest", write_lines(tmp_path / "e", purchase("t1"), purchase("t2")))
    environment = {"RUNG_LAKE_ARCHIVE_WAIT_SECONDS": "600"}
    with start("--home", small.home, "archive", "--json", environment=environment) as archiver:
        assert archiver.stderr is not None
        while "2 held" not in archiver.stderr.readline():
            assert archiver.poll() is None
        archiver.send_signal(signal.SIGTERM)
        out, _ = archiver.communicate(timeout=30)
        assert archiver.returncode == 0
    assert '"events":2' in out
    assert is_whole(small.home)


def test_lost_events(small: Rung, tmp_path: Path) -> None:
    """A partition whose next event is gone is named with the reason; the others are archived; exit code 5."""
    small.fine("ingest", write_lines(tmp_path / "e", purchase("t1"), purchase("t2", user=BOB)))
    trim(small.home, ANN)
    ran = small("archive", "--until-caught-up")
    assert ran.code == ExitCode.FAILED
    reason = f"the lake has partition {ANN} up to offset 0, and the log does not go on from there"
    assert f"Halted partition {ANN}: {reason}" in ran.err
    assert ran.err.splitlines()[-1].startswith(f"error: {reason}")
    found = small("lake", "status", "--json")
    assert found.code == ExitCode.PROBLEMS
    assert (found.json["events"], found.json["behind"], found.json["ok"]) == (1, 1, False)
    (problem,) = found.json["problems"]
    lost = "the events from offset 0 to before 1 were deleted from the log before they were archived"
    assert problem.startswith(f"partition {ANN}: {lost}: restore the log from a copy")


def test_another_log(small: Rung, tmp_path: Path) -> None:
    """A log in place of the one that was archived is refused in one clear line; exit code 5."""
    small.fine("ingest", write_lines(tmp_path / "e", purchase("t1")))
    small.fine("archive", "--until-caught-up")
    shutil.rmtree(small.home / "log")
    small.fine("ingest", write_lines(tmp_path / "f", purchase("t2")))
    for command in (("archive",), ("batch", "aggregate")):
        ran = small(*command)
        assert ran.code == ExitCode.FAILED
        (line,) = (line for line in ran.err.splitlines() if line.startswith("error: "))
        assert "Choose another folder for this log's lake" in line
    ran = small("lake", "status")
    assert ran.code == ExitCode.FAILED
    assert "the lake belongs to another log: point Rung at the one that it was made from" in ran.err
