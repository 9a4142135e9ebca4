"""`make bench`: measures this machine and says which targets are met. `SCALE=0.01` is a quick look."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from bench import serving, speed
from bench.machine import PROJECT, machine
from bench.report import Figure, show, show_profile, write

TIME_LIMIT_SECONDS = 40 * 60


def main() -> None:
    scale = _scale(os.environ.get("SCALE") or "1")
    if shutil.which("wrk") is None:
        raise SystemExit("error: wrk is not installed. On Debian and Ubuntu: apt-get install wrk")
    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, _stop)
    signal.alarm(TIME_LIMIT_SECONDS)
    figures: list[Figure] = []
    profiles: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory(prefix="rung-bench-") as folder:
        facts = machine(Path(folder))
        print("Log to store ...", flush=True)
        figures += speed.measure(Path(folder), scale, profiles)
        print("Status API ...", flush=True)
        figures += serving.measure(Path(folder) / "full", scale, profiles)
        print("Profile ...", flush=True)
        profiles["worker's functions, microseconds per event under the profiler"] = speed.profile(
            Path(folder), scale
        )
    facts["load_after"] = round(os.getloadavg()[0], 2)
    show(facts, figures)
    for name, lines in profiles.items():
        show_profile(name, lines)
    print(f"\nWritten to {write(PROJECT / 'bench' / 'results', facts, scale, figures, profiles)}")
    if scale == 1 and any(figure.verdict.startswith("short") for figure in figures):
        sys.exit(1)


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale <= 1:
        raise SystemExit(f"error: SCALE is a number above 0 and at most 1, not {text}")
    return scale


def _stop(number: int, _frame: object) -> None:
    raise SystemExit(f"error: stopped by {signal.Signals(number).name}; nothing was written")


main()
