"""Running the command line in tests: in this process, or as a program of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rung import bootstrap
from rung.cli.main import run
from rung.log.embedded import EmbeddedLog

PROJECT = Path(__file__).parents[2]
EXAMPLES = PROJECT / "examples"
PROGRAM = (sys.executable, "-c", "from rung.cli.main import main; main()")


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as the JSON document that it is."""
        return json.loads(self.out)


class Rung:
    """Runs commands in this process, through the real entry point, on one home."""

    def __init__(self, home: Path, captured: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self._captured = captured

    def __call__(self, *arguments: str | Path) -> Ran:
        """Run a command on the home."""
        return self.bare("--home", self.home, *arguments)

    def bare(self, *arguments: str | Path) -> Ran:
        """Run a command line exactly as given."""
        self._captured.readouterr()
        code = run([str(argument) for argument in arguments])
        printed = self._captured.readouterr()
        return Ran(int(code), printed.out, printed.err)

    def fine(self, *arguments: str | Path) -> Ran:
        """Run a command on the home that has to succeed."""
        ran = self(*arguments)
        assert ran.code == 0, ran.err
        return ran


def start(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a command as a program of its own."""
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**_environment(), **(environment or {})},
    )


@contextmanager
def running_worker(home: Path) -> Generator[subprocess.Popen[str]]:
    """Run a worker as a program of its own, from when it has the home's lock; it is stopped at the end."""
    with start("--home", home, "worker") as worker:
        lock = home / "worker.lock"
        while not lock.exists() or lock.read_text(encoding="ascii") != f"{worker.pid}\n":
            assert worker.poll() is None
            time.sleep(0.01)
        yield worker
        worker.terminate()
        _, err = worker.communicate(timeout=30)
        assert worker.returncode == 0, err


def program(
    *arguments: str | Path,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Ran:
    """Run a command as a program of its own."""
    ended = subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**_environment(), **(environment or {})},
        check=False,
        timeout=60,
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def trim(home: Path, partition: int) -> None:
    """Delete all events of a partition of the embedded log of a home."""
    with bootstrap.opened_log(bootstrap.open_home(home)) as log:
        assert isinstance(log, EmbeddedLog)
        log.trim(partition, log.ends()[partition])


def purchase(
    transaction: str,
    user: str = "ann",
    amount: int = 1_000,
    at: str = "2021-08-03T10:00:00Z",
    then: Sequence[tuple[str, str, int]] = (),
) -> str:
    """Return an event: a purchase that is completed when it is made, and what came `then`."""
    steps = [("COMPLETED", at, amount), *then]
    history = [{"status": status, "at": moment, "amount": value} for status, moment, value in steps]
    return json.dumps({"transaction_id": transaction, "user_id": user, "history": history})


def always(answer: object) -> Callable[..., object]:
    """Return a function that gives an answer, whatever it is asked."""

    def call(*arguments: object, **named: object) -> object:
        return answer

    return call


def write_lines(file: Path, *lines: str) -> Path:
    """Write a file of events."""
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


SPEC = """\
campaign: small
timezone: UTC
currency: EUR
versions:
  - version: 0
    counts_from: 2021-01
    measures:
      payments: {count: "amount >= 500"}
      total: {sum: amount}
    reward:
      base_percent: "1"
      steps:
        - {name: three, when: "payments >= 3", add_percent: "0.5"}
"""


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNG_")}
    return {**kept, "PYTHONPATH": str(PROJECT / "src"), "PYTHONWARNINGS": "error"}
