"""`rung` as a process of its own, with fault points armed: started, stopped, killed, waited for."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cli.command import PROJECT
from servers.dynamodb import ACCESS_KEY, SECRET_KEY
from servers.process import ServerProcess

KILLED: Final = -signal.SIGKILL
_PATH: Final = f"{PROJECT / 'src'}:{PROJECT / 'tests'}:{PROJECT}"


class RungProcess(ServerProcess):
    """A command of Rung that runs until it is ended. What it prints is in `server.log` of its folder."""

    def __init__(self, name: str, folder: Path, arguments: Sequence[str], arms: Sequence[str] = ()) -> None:
        """Take a command line, and the arms of `faults.armed`."""
        self._told = folder / "told"
        self.is_settled = False
        """Whether its end was asked for, or seen."""
        environment = {
            "PYTHONPATH": _PATH,
            "PYTHONWARNINGS": "error",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }
        command = [
            *("/usr/bin/env", *(f"{key}={value}" for key, value in environment.items())),
            *(sys.executable, "-m", "faults.armed", str(self._told), *arms, "--", *arguments),
        ]
        super().__init__(name, command, folder, lambda: True)

    def told(self) -> list[str]:
        """Return the armed points that were passed, in order."""
        return self._told.read_text(encoding="ascii").splitlines() if self._told.exists() else []

    def printed(self) -> str:
        """Return what it has printed so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def wait_for_text(self, text: str, seconds_max: float = 30.0) -> None:
        """Wait until it has printed a text."""
        deadline = time.monotonic() + seconds_max
        while text not in self.printed():
            assert self.running, self.printed()
            assert time.monotonic() < deadline, f"{self.name} does not say {text!r}: {self.printed()}"
            time.sleep(0.02)

    def wait_until_told(self, point: str, seconds_max: float = 30.0) -> None:
        """Wait until it has passed an armed point."""
        deadline = time.monotonic() + seconds_max
        while point not in self.told():
            assert self.running, self.printed()
            assert time.monotonic() < deadline, f"{self.name} does not pass {point}: {self.printed()}"
            time.sleep(0.01)

    def wait_until_stopped(self, seconds_max: float = 30.0) -> None:
        """Wait until it stands still (SIGSTOP), as the system says."""
        deadline = time.monotonic() + seconds_max
        while self.state() != "T":
            assert self.running, self.printed()
            assert time.monotonic() < deadline, f"{self.name} does not stand still: {self.printed()}"
            time.sleep(0.005)

    def state(self) -> str:
        """Return the state of the process as the system names it: R, S, T and so on."""
        stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        return stat.rpartition(")")[2].split()[0]

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self.is_settled = True
        # To it alone: its children are its own affair.
        os.kill(self.pid, signal.SIGTERM)

    def ended(self, seconds_max: float = 30.0) -> int:
        """Wait until it has ended by itself, and return its exit code; a signal is negative."""
        assert self._process is not None
        code = self._process.wait(seconds_max)
        self.is_settled = True
        self._forget()
        return code

    def kill_at_once(self) -> int:
        """End it without a word (SIGKILL), and return its exit code."""
        self._signal(signal.SIGKILL)
        return self.ended()
