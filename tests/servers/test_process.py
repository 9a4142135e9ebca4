"""A server as a process, shown on a small one: it starts, stands still, goes on, and never outlives its starter."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from servers.errors import ServerError
from servers.ports import LOOPBACK, free_port, is_free
from servers.process import ServerProcess

PROJECT = Path(__file__).parents[2]

SMALL = """\
import signal, socket, sys
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        connection.sendall(b"yes")
        connection.close()
"""

STARTER = """\
import sys, time
from pathlib import Path
from servers.process import ServerProcess
server = ServerProcess("small", [sys.executable, "-c", "import time; time.sleep(60)"], Path(sys.argv[1]), lambda: True)
print(server.launch().pid, flush=True)
time.sleep(60)
"""


def _answers(port: int, seconds: float = 2.0) -> bool:
    with socket.create_connection((LOOPBACK, port), seconds) as connection:
        return connection.recv(3) == b"yes"


def _small(folder: Path, *arguments: str) -> tuple[ServerProcess, int]:
    port = free_port()
    command = [sys.executable, "-c", SMALL, str(port), *arguments]
    return ServerProcess("small", command, folder, lambda: _answers(port)), port


def _is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_start_and_stop(tmp_path: Path) -> None:
    """A started server answers, has its output in its folder, and is gone after the context."""
    small, port = _small(tmp_path / "small")
    with small.launch() as server:
        assert server.running
        assert _answers(port)
        assert server.memory_bytes > 1_000_000
        assert server.log_file.read_text(encoding="utf-8") == "listening\n"
        assert os.getpgid(server.pid) == server.pid
        pid = server.pid
        with pytest.raises(ServerError, match=f"small runs already, as process {pid}"):
            server.launch()
    assert not _is_alive(pid)
    assert not small.running
    assert is_free(port)
    with pytest.raises(ServerError, match="small does not run"):
        assert small.pid


def test_kill_and_restart(tmp_path: Path) -> None:
    """A killed server is gone at once, and answers at the same port after a restart."""
    small, port = _small(tmp_path)
    with small.launch() as server:
        pid = server.pid
        server.kill()
        server.kill()
        assert not _is_alive(pid)
        server.restart()
        assert server.pid != pid
        assert _answers(port)


def test_pause_and_resume(tmp_path: Path) -> None:
    """A paused server runs and is silent, and answers what waits when it is resumed."""
    small, port = _small(tmp_path)
    with small.launch() as server:
        server.pause()
        with socket.create_connection((LOOPBACK, port), 0.2) as connection:
            with pytest.raises(TimeoutError):
                connection.recv(3)
            assert server.running
            server.resume()
            connection.settimeout(5)
            assert connection.recv(3) == b"yes"


@pytest.mark.parametrize(("arguments", "by_itself"), [([], True), (["stubborn"], False)])
def test_a_paused_server_stops(tmp_path: Path, arguments: list[str], by_itself: bool) -> None:
    """A paused server is stopped as any other; one that does not end when asked is killed."""
    small, _ = _small(tmp_path, *arguments)
    pid = small.launch().pid
    small.pause()
    assert small.stop(seconds_max=0.3 if arguments else 10) == by_itself
    assert not _is_alive(pid)
    assert small.stop()


def test_one_that_ends(tmp_path: Path) -> None:
    """A server that ends while it starts is an error that has its last words."""
    command = [sys.executable, "-c", "import sys; sys.exit('no room')"]
    with pytest.raises(
        ServerError, match=r"small ended with 1 while it started: .*server\.log ends with\nno room"
    ):
        ServerProcess("small", command, tmp_path, lambda: _answers(1)).launch()


def test_one_that_is_not_ready(tmp_path: Path) -> None:
    """A server that does not get ready in time is killed, and is an error."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    server = ServerProcess("small", command, tmp_path, lambda: False)
    with pytest.raises(ServerError, match=r"small was not ready within 0\.3 seconds: .* is empty"):
        server.launch(seconds_max=0.3)
    assert not server.running


def test_the_death_of_the_starter(tmp_path: Path) -> None:
    """When the process that started a server is killed, the server ends, and so does its guard."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert _is_alive(pid)
        starter.kill()
        starter.wait()
    _wait_until(lambda: not _is_alive(pid))


def test_the_guard_goes_with_the_server(tmp_path: Path) -> None:
    """A server that is stopped leaves no guard that could kill another process with its id."""
    small, _ = _small(tmp_path)
    small.launch()
    guard = small._guard
    assert guard is not None
    small.stop()
    assert guard.returncode == -signal.SIGKILL


def test_ports() -> None:
    """A port with a listener is not free, and is not chosen."""
    port = free_port()
    assert is_free(port)
    with socket.create_server((LOOPBACK, port)):
        assert not is_free(port)
        assert free_port() != port
