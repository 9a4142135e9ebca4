"""A server as a process: started, watched, killed, paused, stopped; always by its process id.

A server ends with the process that started it, however that one ends: a guard, a shell of a few bytes, waits
at a pipe that only the starter holds. When the pipe closes, the guard kills the server. (The kernel's own
signal for that, PR_SET_PDEATHSIG, comes when the starting *thread* ends, and is set between fork and exec,
where a process with threads must not run Python.) A fork of the starter that runs on without exec holds the
pipe, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from servers.errors import ServerError

START_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 10.0
_POLL_SECONDS: Final = 0.02
_PAUSED_POLL_SECONDS: Final = 0.002
_LOG_TAIL_BYTES: Final = 2_000
_GUARD: Final = 'cat >/dev/null; kill -KILL "-$0" 2>/dev/null'


class ServerProcess:
    """A command that serves. Its output is appended to `server.log` in its folder; it is a context manager.

    `ready` asks once whether the server does its work, and may raise an `OSError` to say no.
    """

    def __init__(self, name: str, command: Sequence[str], folder: Path, ready: Callable[[], bool]) -> None:
        """Take what to run; nothing is started yet."""
        self.name = name
        self.folder = folder
        self.log_file = folder / "server.log"
        self._command = tuple(command)
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the process id.

        Raises:
            ServerError: the server does not run.
        """
        if self._process is None:
            raise ServerError(f"{self.name} does not run: launch it first")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Return whether the process is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def memory_bytes(self) -> int:
        """Return how much memory the process holds (its resident set)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def launch(self, seconds_max: float = START_SECONDS_MAX) -> Self:
        """Start the server and return once it is ready.

        Raises:
            ServerError: it ended, or is not ready in time; the text has the end of its log.
        """
        if self.running:
            raise ServerError(f"{self.name} runs already, as process {self.pid}")
        self._forget()
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(self._process.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._wait_until_ready(seconds_max)
        except BaseException:
            self.kill()
            raise
        return self

    def kill(self) -> None:
        """End the server at once (SIGKILL), and return when it is gone. Killing twice is fine."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        self._forget()

    def stop(self, seconds_max: float = STOP_SECONDS_MAX) -> bool:
        """Ask the server to end (SIGTERM), and kill it after a while. Return whether it ended by itself."""
        if self._process is None:
            return True
        # One that is paused would never see the request.
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            return False
        else:
            return True
        finally:
            self.kill()

    def pause(self) -> None:
        """Let the server stand still (SIGSTOP): its connections stay, and nothing is answered.

        Raises:
            ServerError: it goes on for too long.
        """
        os.kill(self.pid, signal.SIGSTOP)
        # On a busy machine its threads may go on for a while, and answer.
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while set(self._thread_states()) != {"T"}:
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} does not stand still within {STOP_SECONDS_MAX:.0f} s")
            time.sleep(_PAUSED_POLL_SECONDS)

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self, seconds_max: float = START_SECONDS_MAX) -> None:
        """Start the server again as it was, after it was killed or stopped; one that runs is killed first."""
        self.kill()
        self.launch(seconds_max)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _thread_states(self) -> Iterator[str]:
        """Yield the state of each thread as the system names it: R, S, T and so on."""
        for stat in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            # One that ends meanwhile answers nothing any more.
            with suppress(FileNotFoundError, ProcessLookupError):
                yield stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the server's process group, unless the server has ended."""
        if self._process is not None and self._process.poll() is None:
            # It may have ended since; until it is waited for, its id belongs to nobody else.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _forget(self) -> None:
        """End the guard before anything else can get the id that it guards."""
        if self._guard is not None:
            self._guard.kill()
            self._guard.wait()
            assert self._guard.stdin is not None
            self._guard.stdin.close()
        self._guard = None
        self._process = None

    def _wait_until_ready(self, seconds_max: float) -> None:
        deadline = time.monotonic() + seconds_max
        while True:
            assert self._process is not None
            code = self._process.poll()
            if code is not None:
                raise ServerError(f"{self.name} ended with {code} while it started: {self._log_tail()}")
            with suppress(OSError):
                if self._ready():
                    return
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{self.name} was not ready within {seconds_max:g} seconds: {self._log_tail()}"
                )
            time.sleep(_POLL_SECONDS)

    def _log_tail(self) -> str:
        text = self.log_file.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return f"{self.log_file} ends with\n{text}" if text else f"{self.log_file} is empty"
