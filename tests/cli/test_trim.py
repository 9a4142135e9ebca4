"""`rung log trim`, and what explains and derives figures when the log no longer has all events."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cli.command import Rung, program, purchase, running_worker, trim, write_lines
from rung.cli.errors import ExitCode
from rung.transaction.routing import partition_of

ANN = partition_of(b"ann", 4)


@pytest.fixture
def archived(small: Rung, tmp_path: Path) -> Rung:
    """Return a command line on a home with three applied events of ann in two blocks, and a bad one, archived."""
    small.fine("ingest", write_lines(tmp_path / "e", purchase("t1"), purchase("t2", amount=700)))
    small.fine("ingest", "--wait", write_lines(tmp_path / "f", purchase("t3"), '{"user_id": "ann"}'))
    small.fine("archive", "--until-caught-up")
    return small


def figures(rung: Rung) -> dict[str, int]:
    status = rung.fine("status", "ann", "--at", "2021-08-04", "--json").json
    return status["campaigns"][0]["counting"]["measures"]


def starts(rung: Rung) -> list[int]:
    return [one["start"] for one in rung.fine("lag", "--json").json["partitions"]]


def test_a_dry_run(archived: Rung) -> None:
    """Without --yes it only shows what could be deleted."""
    ran = archived.fine("log", "trim")
    assert "4 events can be deleted, in whole blocks: rung --home " in ran.err
    (line,) = (line for line in ran.out.splitlines() if line.split()[0] == str(ANN))
    assert line.split() == [str(ANN), "0", "4", "4", "4", "0"]
    assert starts(archived) == [0, 0, 0, 0]


def test_trim(archived: Rung, tmp_path: Path) -> None:
    """With --yes it deletes what is archived and applied, and what came since stays."""
    archived.fine("ingest", "--wait", write_lines(tmp_path / "g", purchase("t4")))
    ran = archived.fine("log", "trim", "--yes", "--json").json
    assert ran["trimmed"]
    assert ran["partitions"][ANN] == {
        "partition": ANN,
        "start": 0,
        "archived": 4,
        "applied": 5,
        "before": 4,
        "start_now": 4,
    }
    assert starts(archived)[ANN] == 4
    assert "Deleted 0 events from the log" in archived.fine("log", "trim", "--yes").err
    assert archived.fine("lake", "status", "--json").json["ok"]
    archived.fine("archive", "--until-caught-up")
    archived.fine("batch", "aggregate")
    assert archived.fine("log", "trim", "--yes", "--json").json["partitions"][ANN]["start_now"] == 5


def test_beside_a_worker(archived: Rung) -> None:
    """A worker may run meanwhile."""
    with running_worker(archived.home):
        assert program("--home", archived.home, "log", "trim", "--yes").code == 0


def test_no_lake(small: Rung, tmp_path: Path) -> None:
    """Without a lake nothing is trimmed."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", purchase("t1")))
    ran = small("log", "trim", "--yes")
    assert ran.code == ExitCode.FAILED
    assert "there is no lake in" in ran.err
    assert starts(small) == [0, 0, 0, 0]


def test_explain_reads_the_lake(archived: Rung, tmp_path: Path) -> None:
    """An explanation of events that were trimmed away is the same as before, rejected ones included."""
    before = archived.fine("explain", "ann", "small", "2021-08", "--json").json
    archived.fine("log", "trim", "--yes")
    assert archived.fine("explain", "ann", "small", "2021-08", "--json").json == before
    assert before["measures"] == {"payments": 3, "total": 2_700}
    archived.fine("ingest", "--wait", write_lines(tmp_path / "g", purchase("t4"), purchase("t1", amount=9)))
    after = archived.fine("explain", "ann", "small", "2021-08", "--json").json
    assert (after["exact"], after["measures"]) == (True, {"payments": 4, "total": 3_700})
    assert len(after["rejected"]) == len(before["rejected"]) + 1


def test_explain_without_a_lake(archived: Rung) -> None:
    """Where neither log nor lake has the user's events that is said; exit code 5."""
    archived.fine("log", "trim", "--yes")
    shutil.rmtree(archived.home / "lake")
    ran = archived("explain", "ann", "small", "2021-08")
    assert ran.code == ExitCode.FAILED
    assert ran.err.startswith(
        "error: the log no longer has all of the user's events, and there is no lake in "
    )


def test_replay_reads_the_lake(archived: Rung, tmp_path: Path) -> None:
    """A replay begins with the lake, says so, and gives the same figures and the same quarantine."""
    archived.fine("log", "trim", "--yes")
    archived.fine("ingest", "--wait", write_lines(tmp_path / "g", purchase("t4")))
    before, waiting = figures(archived), archived.fine("quarantine", "list", "--json").json
    ran = program("--home", archived.home, "replay", stdin="y\n")
    assert ran.code == 0, ran.err
    assert "Forget all figures and apply 5 events, 4 of them from the lake, again?" in ran.err
    assert "Applied 4 events again; quarantined 1" in ran.err
    assert figures(archived) == before == {"payments": 4, "total": 3_700}
    again = archived.fine("quarantine", "list", "--json").json
    kept = ("partition", "offset", "reason", "detail")
    assert [[one[name] for name in kept] for one in again["events"]] == [
        [one[name] for name in kept] for one in waiting["events"]
    ]


def test_replay_without_a_lake(archived: Rung) -> None:
    """Where the lake does not have what was trimmed away a replay is refused, and nothing changes."""
    before = figures(archived)
    archived.fine("log", "trim", "--yes")
    shutil.rmtree(archived.home / "lake")
    ran = archived("replay", "--yes")
    assert ran.code == ExitCode.FAILED
    assert ran.err.startswith(
        f"error: the log no longer begins with its first event in partition {ANN}, and there is no lake in "
    )
    assert "a replay would lose what was trimmed away" in ran.err
    assert figures(archived) == before


def test_replay_from_a_lake_that_is_behind(archived: Rung, tmp_path: Path) -> None:
    """A lake that has only a part of what was trimmed away is no help."""
    archived.fine("ingest", "--wait", write_lines(tmp_path / "g", purchase("t4")))
    trim(archived.home, ANN)
    ran = archived("replay", "--yes")
    assert ran.code == ExitCode.FAILED
    assert f"the lake has partition {ANN} up to offset 4, and the log from 5 on: a replay would" in ran.err
