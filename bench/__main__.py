"""`make bench`: measures this machine and says which targets are met.

`SCALE=0.01` is a quick look; `PART=embedded` measures what needs no server, `PART=scale` Kafka and
DynamoDB, `PART=batch` the batch layer.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import at_scale, batch, serving, speed
from bench.machine import PROJECT, machine
from bench.report import Figure, line, show, show_profile, write

TIME_LIMIT_SECONDS = 90 * 60


def main() -> None:
    scale = _scale(os.environ.get("SCALE") or "1")
    part = os.environ.get("PART") or "all"
    if part not in {"all", "embedded", "scale", "batch"}:
        raise SystemExit(f"error: PART is all, embedded, scale or batch, not {part}")
    if shutil.which("wrk") is None:
        raise SystemExit("error: wrk is not installed. On Debian and Ubuntu: apt-get install wrk")
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    signal.alarm(TIME_LIMIT_SECONDS)
    figures: list[Figure] = []
    profiles: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory(prefix="rung-bench-") as folder:
        facts = machine(Path(folder))
        try:
            for figure in _measured(Path(folder), scale, part, profiles):
                figures.append(figure)
                print(f"  {line(figure)}", flush=True)
        except _Stopped as stopped:
            # What was measured until then took minutes, and is as good as in a whole run.
            facts["stopped_by"] = str(stopped)
    facts["load_after"] = round(os.getloadavg()[0], 2)
    show(facts, figures)
    for name, lines in profiles.items():
        show_profile(name, lines)
    print(f"\nWritten to {write(PROJECT / 'bench' / 'results', facts, scale, figures, profiles)}")
    if "stopped_by" in facts:
        raise SystemExit(f"error: stopped by {facts['stopped_by']}: the figures above are not all")
    if scale == 1 and any(figure.verdict.startswith("short") for figure in figures):
        sys.exit(1)


class _Stopped(BaseException):
    """A signal asked to stop, or the time is up; not an `Exception`, so that nothing else handles it."""


def _measured(folder: Path, scale: float, part: str, profiles: dict[str, dict[str, str]]) -> Iterator[Figure]:
    if part in {"all", "embedded"}:
        yield from _embedded(folder, scale, profiles)
    if part in {"all", "scale"}:
        print("Kafka and DynamoDB Local ...", flush=True)
        yield from at_scale.measure(folder / "servers", scale)
    if part in {"all", "batch"}:
        print("Batch layer ...", flush=True)
        yield from batch.measure(folder / "batch", scale)


def _embedded(folder: Path, scale: float, profiles: dict[str, dict[str, str]]) -> Iterator[Figure]:
    print("Log to store ...", flush=True)
    yield from speed.measure(folder, scale, profiles)
    print("Status API ...", flush=True)
    yield from serving.measure(folder / "full", scale, profiles)
    print("Profile ...", flush=True)
    profiles["worker's functions, microseconds per event under the profiler"] = speed.profile(folder, scale)


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 0 < scale <= 1:
        raise SystemExit(f"error: SCALE is a number above 0 and at most 1, not {text}")
    return scale


def _stop(number: int, _frame: object) -> None:
    raise _Stopped(signal.Signals(number).name)


main()
