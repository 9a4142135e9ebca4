"""`rung worker`: one per home, stopped by a signal after its micro-batch."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from cli.command import Rung, purchase, running_worker, start, trim, write_lines
from rung import bootstrap
from rung.cli.errors import ExitCode
from rung.cli.work import Meter, progress_lines
from rung.log.port import LogUnavailable
from rung.speed.worker import Progress
from rung.transaction.routing import partition_of


def test_until_caught_up(small: Rung, tmp_path: Path) -> None:
    """It applies what is in the log, tells how much, and ends; a second run finds nothing."""
    small.fine("ingest", write_lines(tmp_path / "e", purchase("t1"), purchase("t1"), "no json"))
    first = small.fine("worker", "--until-caught-up", "--json").json
    assert {name: first[name] for name in ("events", "duplicates", "quarantined", "lag")} == {
        "events": 2,
        "duplicates": 1,
        "quarantined": 1,
        "lag": 0,
    }
    again = small.fine("worker", "--until-caught-up")
    assert "Applied 0 events" in again.err


def test_quarantine_is_told(small: Rung, tmp_path: Path) -> None:
    """The summary says how many events were quarantined, and how to see them."""
    small.fine("ingest", write_lines(tmp_path / "e", "no json"))
    ran = small.fine("worker", "--until-caught-up")
    assert f"Quarantined 1 event: rung --home {small.home} quarantine list" in ran.err


@pytest.mark.parametrize(
    "command", [("worker",), ("replay", "--yes"), ("serve", "--port", "0")], ids=" ".join
)
def test_one_worker_per_home(small: Rung, command: tuple[str, ...]) -> None:
    """A second worker is refused with the process id of the first; exit code 4."""
    with running_worker(small.home) as worker:
        ran = small(*command)
    assert ran.code == ExitCode.BUSY
    assert f"(process {worker.pid})" in ran.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_stop_it(small: Rung, tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end a worker without an error; what it applied is there."""
    small.fine("ingest", write_lines(tmp_path / "e", purchase("t1")))
    with start("--home", small.home, "worker") as worker:
        home = bootstrap.open_home(small.home)
        with bootstrap.opened_store(home, read_only=True) as store:
            while store.counters().events == 0:
                assert worker.poll() is None
        worker.send_signal(number)
        _, err = worker.communicate(timeout=30)
    assert worker.returncode == 0, err
    assert "Applied 1 event " in err


def test_the_lock_is_freed_by_a_kill(small: Rung) -> None:
    """A worker that was killed leaves no lock behind."""
    with start("--home", small.home, "worker") as worker:
        while not (small.home / "worker.lock").exists():
            assert worker.poll() is None
        worker.kill()
        worker.communicate(timeout=30)
    small.fine("worker", "--until-caught-up")


def test_its_partitions_are_told(small: Rung, tmp_path: Path) -> None:
    """It tells the partitions that it applies, and with --json the document is all on standard output."""
    small.fine("ingest", write_lines(tmp_path / "e", purchase("t1")))
    ran = small.fine("worker", "--until-caught-up", "--json")
    assert "Partitions: 0, 1, 2, 3\n" in ran.err
    assert ran.json["events"] == 1


def test_a_partition_that_is_halted(small: Rung, tmp_path: Path) -> None:
    """A partition whose next event is gone is named with the reason; the others are applied; exit code 5."""
    partition = partition_of(b"ann", 4)
    other = next(user for user in map(str, range(99)) if partition_of(user.encode(), 4) != partition)
    small.fine("ingest", write_lines(tmp_path / "e", purchase("t1"), purchase("t2", user=other)))
    trim(small.home, partition)
    ran = small("worker", "--until-caught-up")
    assert ran.code == ExitCode.FAILED
    assert f"Halted partition {partition}: partition {partition} starts at offset 1" in ran.err
    assert ran.err.splitlines()[-1].startswith(f"error: partition {partition} starts at offset 1")
    status = small.fine("status", other, "--at", "2021-08-04", "--json").json
    assert status["campaigns"][0]["counting"]["measures"]["payments"] == 1


def test_another_log(small: Rung, tmp_path: Path) -> None:
    """A log in place of the one that was applied is refused in one clear line; exit code 5."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", purchase("t1")))
    shutil.rmtree(small.home / "log")
    ran = small("worker", "--until-caught-up")
    assert ran.code == ExitCode.FAILED
    (line,) = (line for line in ran.err.splitlines() if line.startswith("error: "))
    assert line.startswith("error: the store's positions refer to the log ")
    assert "rung replay" in line


def test_what_the_live_line_cannot_tell(small: Rung, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the log does not answer the line says so and goes on with what is known."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", purchase("t1")))
    home = bootstrap.open_home(small.home)
    with bootstrap.opened_log(home) as log, bootstrap.opened_store(home) as store:
        meter = Meter(log, store)
        assert meter.read().lag == 0

        def unreachable() -> dict[int, int]:
            raise LogUnavailable("no broker answers")

        monkeypatch.setattr(log, "ends", unreachable)
        assert meter.close().lag is None


@pytest.mark.parametrize(
    ("progress", "lines"),
    [
        (Progress(frozenset(), {}), ["Partitions: none"]),
        (Progress(frozenset({10, 2}), {3: "why"}), ["Partitions: 2, 10", "Halted partition 3: why"]),
    ],
)
def test_progress_in_words(progress: Progress, lines: list[str]) -> None:
    """What a worker does is said in a line, and each halted partition in one of its own."""
    assert progress_lines(progress) == lines
