"""The lock that one process has at a time, and who has it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rung.exclusive import Held, exclusive, holder

HOLDING = (
    "import os, sys; from pathlib import Path; from rung.exclusive import exclusive\n"
    "with exclusive(Path(sys.argv[1]), f'process {os.getpid()}: test'):\n"
    "    print('held', flush=True); sys.stdin.read()\n"
)


def started(path: Path) -> subprocess.Popen[str]:
    """Start a process that has the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_one_at_a_time(tmp_path: Path) -> None:
    """Whoever comes second is told who has it, and gets it after the end."""
    path = tmp_path / "lock"
    with started(path) as process:
        with pytest.raises(Held, match=f"^process {process.pid}: test$"), exclusive(path, "2"):
            pass
        process.communicate("")
    with exclusive(path, f"{os.getpid()}"):
        assert holder(path) == str(os.getpid())
    assert holder(path) is None


def test_a_look_takes_nothing(tmp_path: Path) -> None:
    """Who has it can be asked at any time, and nobody is refused for it; after a kill nobody has it."""
    path = tmp_path / "lock"
    assert holder(path) is None
    with started(path) as process:
        assert holder(path) == f"process {process.pid}: test"
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert path.read_text(encoding="utf-8") == f"process {process.pid}: test\n"
    assert holder(path) is None
    with exclusive(path, "1"):
        # The first process of a machine is always there, and somebody else's.
        assert holder(path) == "1"
