"""`rung worker`: one per home, stopped by a signal after its micro-batch."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from cli.command import Rung, purchase, running_worker, start, write_lines
from rung import bootstrap
from rung.cli.errors import ExitCode


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
