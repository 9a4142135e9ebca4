"""`python -m servers`: both servers in the foreground, until a signal."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from listening import only_on_loopback

PROJECT = Path(__file__).parents[2]


def test_in_the_foreground(tmp_path: Path) -> None:
    """It says where both are, and a signal ends it and both, without an error; `--fresh` empties the data."""
    for kind in ("kafka", "dynamodb"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "left").touch()
    with subprocess.Popen(
        [sys.executable, "-m", "servers", "--fresh", "--folder", tmp_path],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            said = ""
            while "Ctrl-C" not in said:
                line = program.stdout.readline()
                assert line, said
                said += line
            found = re.search(
                r'bootstrap_servers = "127\.0\.0\.1:(\d+)"(?s:.*)http://127\.0\.0\.1:(\d+)"', said
            )
            assert found is not None, said
            ports = [int(port) for port in found.groups()]
            assert all(only_on_loopback(port) for port in ports)
            program.send_signal(signal.SIGINT)
            assert "Stopped by SIGINT" in program.stdout.read()
            assert program.wait(20) == 0
        finally:
            program.kill()
    assert not any(only_on_loopback(port) for port in ports)
    assert not any((tmp_path / kind / "left").exists() for kind in ("kafka", "dynamodb"))
