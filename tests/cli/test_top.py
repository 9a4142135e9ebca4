"""`rung top`: one frame, frames on a real terminal, and what is told while something is away."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.command import PROJECT, Rung, purchase, running_worker, start, trim, write_lines
from rung.batch.lease import only_job
from rung.cli.api_glance import ApiGlance
from rung.cli.errors import ExitCode
from rung.cli.frame import frame
from rung.cli.glance import Glance, PartitionGlance

ROWS, COLUMNS = 24, 80
DEADLINE_SECONDS = 60
_LOGGED_IN = "import os; os.login_tty(0); from rung.cli.main import main; main()"
"""The command line in a session that the terminal controls, so that Ctrl-C reaches it as a signal."""


@pytest.fixture
def bought(small: Rung, tmp_path: Path) -> Rung:
    """Return a command line on a home with two purchases and an event in quarantine."""
    lines = [purchase("t1"), purchase("t2", "bob"), purchase("t1"), "no json"]
    small.fine("ingest", "--wait", write_lines(tmp_path / "events", *lines))
    return small


def test_one_frame(bought: Rung) -> None:
    """In a file it is a frame of plain lines that fit into 80 cells."""
    bought.fine("batch", "verify")
    ran = bought.fine("top", "--once")
    assert ran.err == ""
    assert all(len(line) <= COLUMNS and line == line.rstrip() for line in ran.out.splitlines())
    assert "\x1b" not in ran.out
    shown = " ".join(ran.out.split())
    for part in (
        "events -/s, 3 applied, 1 duplicates, last batch 4 at ",
        "lag 0 events, oldest waits 0.0 s (p50 0.0, p99 0.0 of 1 look)",
        "store 2 users, 2 transactions",
        "quarantine 1 event: not_json 1",
        ": all of 2 users equal",
        "batch job none runs",
        "partition applied lag state 0 ",
    ):
        assert part in shown


def test_as_json(bought: Rung) -> None:
    """As JSON it tells the same figures as `rung lag`, and what is not known is null."""
    seen = bought.fine("top", "--once", "--json").json
    lag = bought.fine("lag", "--json").json
    assert (seen["events"], seen["duplicates"], seen["quarantined"]) == (3, 1, 1)
    assert (seen["users"], seen["transactions"], seen["lag_events"]) == (2, 2, 0)
    assert [(one["partition"], one["end"], one["applied"]) for one in seen["partitions"]] == [
        (one["partition"], one["end"], one["applied"]) for one in lag["partitions"]
    ]
    assert seen["quarantine"] == {"events": 1, "more": False, "reasons": {"not_json": 1}}
    assert seen["api"]["problem"] == "not reachable"
    assert [seen[name] for name in ("events_per_second", "verified", "job", "worker")] == [None] * 4
    assert seen["problems"] == []


def test_what_waits_and_what_is_stuck(bought: Rung, tmp_path: Path) -> None:
    """Events that wait are told with how long; a partition that cannot go on has its reason."""
    bought.fine("ingest", write_lines(tmp_path / "more", *(purchase(f"m{number}") for number in range(5))))
    seen = bought.fine("top", "--once", "--json").json
    assert seen["lag_events"] == 5
    assert seen["freshness"]["seconds"] == seen["freshness"]["p99_seconds"] > 0
    for partition in range(4):
        trim(bought.home, partition)
    assert "passed by retention" in bought.fine("top", "--once").out


def test_a_job_and_a_verification(bought: Rung) -> None:
    """The batch job that runs is named as long as it does, and the last verification with its findings."""
    with only_job(bought.home / "batch", "verify"):
        assert bought.fine("top", "--once", "--json").json["job"] == f"process {os.getpid()}: verify"
    bought.fine("batch", "verify")
    seen = bought.fine("top", "--once", "--json").json
    assert seen["job"] is None
    assert (seen["verified"]["clean"], seen["verified"]["users"]) == (True, 2)


def test_the_worker(bought: Rung) -> None:
    """The process that applies events is named."""
    with running_worker(bought.home) as worker:
        assert bought.fine("top", "--once", "--json").json["worker"] == str(worker.pid)
    assert bought.fine("top", "--once", "--json").json["worker"] is None


def test_a_store_that_is_not_there(bought: Rung) -> None:
    """What cannot be asked is said, and the rest is shown."""
    shutil.rmtree(bought.home / "store")
    seen = bought.fine("top", "--once", "--json").json
    assert [problem for problem in seen["problems"] if "there is no store in" in problem]
    assert (seen["lag_events"], seen["partitions"], seen["users"]) == (None, [], None)
    shown = bought.fine("top", "--once").out
    assert "lag        unknown" in shown
    assert "cannot be asked: there is no store in" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--key-file", "NONE"], "NONE: cannot be read: No such file or directory"),
        (["--key-file", "EMPTY"], "EMPTY: is empty: `rung keys create` prints a key"),
        (["--key-file", "BINARY"], "BINARY: is no key: `rung keys create` prints one"),
        (["--every", "0"], "Invalid value for '--every': 0.0 is not in the range 0.2<=x<=3600; see rung top --help"),
        (["--every", "soon"], "Invalid value for '--every': 'soon' is not a valid float range; see rung top --help"),
    ],
)  # fmt: skip
def test_bad_input(
    small: Rung, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """Each wrong argument is named."""
    monkeypatch.chdir(tmp_path)
    Path("EMPTY").write_text("\n", encoding="ascii")
    Path("BINARY").write_bytes(b"\xff")
    ran = small("top", *arguments)
    assert (ran.code, ran.err) == (ExitCode.BAD_INPUT, f"error: {message}\n")


def test_looks_follow_each_other(bought: Rung, tmp_path: Path) -> None:
    """With --json each look is a line, with what was applied since the one before; SIGTERM ends it."""
    more = write_lines(tmp_path / "more", *(purchase(f"m{number}") for number in range(50)))
    with start("--home", bought.home, "top", "--json", "--every", "0.2") as running:
        assert running.stdout is not None
        first = json.loads(running.stdout.readline())
        assert first["events_per_second"] is None
        bought.fine("ingest", "--wait", more)
        rates: list[float] = []
        while not any(rates):
            seen: dict[str, Any] = json.loads(running.stdout.readline())
            rates = seen["rates"]
        assert max(rates) > 0
        running.terminate()
        _, err = running.communicate(timeout=DEADLINE_SECONDS)
    assert (running.returncode, err) == (0, "")


@contextmanager
def on_a_terminal(home: Path) -> Generator[tuple[subprocess.Popen[bytes], int]]:
    """Run `rung top` on a terminal of its own, of 80 cells by 24."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}}
    running = subprocess.Popen(
        [sys.executable, "-c", _LOGGED_IN, "--home", str(home), "top", "--every", "0.2"],
        env={**kept, "PYTHONPATH": str(PROJECT / "src"), "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        yield running, ours
    finally:
        running.kill()
        running.wait()
        os.close(ours)


def read_frames(terminal: int, count: int) -> bytes:
    """Return what was written to a terminal until it has so many frames, or until its end."""
    written = b""
    ends_at = time.monotonic() + DEADLINE_SECONDS
    while written.count(b"rung top") < count and time.monotonic() < ends_at:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                written += os.read(terminal, 65_536)
            except OSError:
                # Nobody has the terminal open any more.
                break
    return written


@pytest.mark.parametrize("key", [b"q", b"\x03"], ids=["q", "Ctrl-C"])
def test_on_a_terminal(bought: Rung, key: bytes) -> None:
    """On a terminal frames are drawn in colours, one over the other; a key ends it, and leaves all as it was."""
    with on_a_terminal(bought.home) as (running, terminal):
        before = termios.tcgetattr(terminal)
        written = read_frames(terminal, 3)
        assert termios.tcgetattr(terminal) != before
        os.write(terminal, key)
        written += read_frames(terminal, 1_000)
        assert running.wait(DEADLINE_SECONDS) == 0
        assert termios.tcgetattr(terminal) == before
    text = written.decode()
    assert text.startswith("\x1b[?1049h")
    assert text.endswith("\x1b[?1049l")
    assert "\x1b[2;32m" in text or "\x1b[32m" in text
    assert "every 0.2 s, q ends" in text
    for drawn in re.split(r"\x1b\[H", text)[1:]:
        rows = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn).split("\r\n")
        assert len(rows) <= ROWS
        assert max(map(len, rows)) <= COLUMNS


def test_a_terminal_that_hangs_up(bought: Rung) -> None:
    """SIGTERM ends it as a key does."""
    with on_a_terminal(bought.home) as (running, terminal):
        read_frames(terminal, 1)
        running.send_signal(signal.SIGTERM)
        assert read_frames(terminal, 1_000).endswith(b"\x1b[?1049l")
        assert running.wait(DEADLINE_SECONDS) == 0


def seen_with(partitions: list[PartitionGlance]) -> Glance:
    """Return a glance at a log of many partitions."""
    return Glance(
        at="2026-11-20T10:00:00Z",
        home="/data/rung",
        events=1_000_000_000,
        duplicates=1,
        quarantined=0,
        events_per_second=123_456.0,
        rates=[float(number) for number in range(300)],
        last_batch_events=1,
        last_batch_at="2026-11-20T10:00:00Z",
        lag_events=7,
        freshness=None,
        partitions=partitions,
        quarantine=None,
        users=None,
        transactions=None,
        worker=None,
        api=ApiGlance("http://127.0.0.1:8080", 1_000.0, 12_345, 1),
        verified=None,
        job="process 1: verify",
        problems=["the broker is away " * 20, "the table is away", "a third one"],
    )


def test_many_partitions() -> None:
    """Where not all fit, those that are stuck or furthest behind are shown, and nothing is wider than the screen."""
    partitions = [PartitionGlance(number, 10**12, 10**12 - 1, number % 7, "ok") for number in range(200)]
    partitions[100] = PartitionGlance(100, 1, 5, 0, "ahead_of_log")
    console = Console(width=COLUMNS, height=ROWS, highlight=False)
    with console.capture() as captured:
        console.print(frame(seen_with(partitions), COLUMNS, ROWS, "q ends"))
    rows = captured.get().splitlines()
    assert len(rows) <= ROWS
    assert max(map(len, rows)) <= COLUMNS
    assert "ahead of log" in captured.get()
    assert re.search(r"\.\.\. and 19\d other partitions, less behind", captured.get())
