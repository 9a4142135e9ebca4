"""What the figures were measured on: the machine, the versions and the commit."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
import timeit
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

PROJECT: Final = Path(__file__).parents[1]
_LIBRARIES: Final = (
    "duckdb", "granian", "lmdb", "msgspec", "numpy", "pyarrow", "starlette", "uvloop", "xxhash", "zstandard",
)  # fmt: skip
_SYNCS: Final = 100


def machine(folder: Path) -> dict[str, Any]:
    """Return the facts of this machine; `folder` is on the disk that is measured."""
    return {
        "commit": commit(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "python_nanoseconds": _python_nanoseconds(),
        **{name: version(name) for name in _LIBRARIES},
        "sync_milliseconds": _sync_milliseconds(folder),
        "load_before": round(os.getloadavg()[0], 2),
    }


def commit() -> str:
    """Return the short commit, with `-changed` when tracked files differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=True
        ).stdout.strip()

    if not (PROJECT / ".git").exists():
        return "unknown"
    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "--short=12", "HEAD") + ("-changed" if changed else "")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _python_nanoseconds() -> int:
    """Return how long Python takes for a small function: builds of one version differ by a third."""
    turns = 100_000
    made = "def made(number): return {number: (number, str(number))}"
    return round(min(timeit.repeat("made(1_000)", made, number=turns)) / turns * 1e9)


def _sync_milliseconds(folder: Path) -> dict[str, float]:
    """Return how long the disk takes to make 4 KiB durable."""
    took: list[float] = []
    file = folder / "sync"
    descriptor = os.open(file, os.O_CREAT | os.O_RDWR)
    try:
        for number in range(_SYNCS):
            os.pwrite(descriptor, bytes(4096), number * 4096)
            started = time.perf_counter()
            os.fdatasync(descriptor)
            took.append((time.perf_counter() - started) * 1000)
    finally:
        os.close(descriptor)
        file.unlink()
    return {
        "min": round(min(took), 2),
        "median": round(statistics.median(took), 2),
        "max": round(max(took), 2),
    }
