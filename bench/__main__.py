"""`make bench`: measures this machine and says which targets are met. `SCALE=0.01` is a quick look."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from bench import serving, speed
from bench.report import Figure, machine, show, write


def main() -> None:
    scale = float(os.environ.get("SCALE") or "1")
    if not 0 < scale <= 1:
        raise SystemExit(f"error: SCALE is a number above 0 and at most 1, not {scale}")
    if shutil.which("wrk") is None:
        raise SystemExit("error: wrk is not installed. On Debian and Ubuntu: apt-get install wrk")
    facts = machine()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="rung-bench-") as folder:
        print("Log to store ...", flush=True)
        figures += speed.measure(Path(folder), scale)
        print("Status API ...", flush=True)
        figures += serving.measure(Path(folder) / "full", scale)
        print("Profile ...", flush=True)
        profile = speed.profile(Path(folder), scale)
    show(facts, figures)
    print("Where the worker's time goes, in microseconds per event, under the profiler:")
    for name, microseconds in profile.items():
        print(f"  {microseconds:6.2f}  {name}")
    print(f"Written to {write(Path('bench/results'), facts, scale, figures)}")
    if scale == 1 and any(figure.verdict.startswith("short") for figure in figures):
        sys.exit(1)


main()
