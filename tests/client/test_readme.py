"""The README's example of the client."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from callers import KEY
from cli.command import PROJECT


def test_the_example_is_true(served: str, tmp_path: Path) -> None:
    """The README's example runs as it stands there, on a server at another port."""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"(?s)```python\n(from pathlib.*?)```", readme)
    assert "http://127.0.0.1:8080" in example
    (tmp_path / "rung.key").write_text(f"{KEY}\n", encoding="ascii")
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", example.replace("http://127.0.0.1:8080", served)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "small 1.0 {'payments': 1, 'total': 5200}\n"
