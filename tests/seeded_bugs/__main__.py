"""`make seeded-bugs`: puts each known bug into a copy of the project, and demands that the tests catch it.

A bug is a patch in this folder. Above the patch stand what is wrong, and the tests that have to fail. One
that they let pass is a bug of the tests, and the end is 1. Arguments name patches; without any, all are tried.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from seeded_bugs.patches import PROJECT, Patch, patches

CAUGHT = 1
"""Pytest's exit code for tests that ran and failed; others mean that it could not run them."""


def copied(folder: Path) -> None:
    """Copy the project as it is in the working tree, without what Git ignores; share the servers' jars."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
    (folder / ".servers").symlink_to(PROJECT / ".servers")


def tried(patch: Patch) -> int:
    """Run a bug's tests on a project that has it, and return pytest's exit code."""
    with tempfile.TemporaryDirectory(prefix="rung-bug-") as name:
        folder = Path(name)
        copied(folder)
        subprocess.run(["git", "apply", str(patch.file)], cwd=folder, check=True)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", *patch.caught_by],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode not in {0, CAUGHT}:
            sys.stdout.write(ended.stdout[-3_000:] + ended.stderr[-3_000:])
        return ended.returncode


def main(names: list[str]) -> int:
    """Try the bugs that are named, or all, and return the exit code."""
    missed: list[str] = []
    known = {patch.file.stem for patch in patches()}
    if unknown := sorted(set(names) - known):
        sys.stderr.write(f"error: no such bug: {', '.join(unknown)}; there are: {', '.join(sorted(known))}\n")
        return 2
    for patch in patches():
        if names and patch.file.stem not in names:
            continue
        started = time.monotonic()
        code = tried(patch)
        word = "caught" if code == CAUGHT else "MISSED" if code == 0 else f"not run: pytest ended with {code}"
        sys.stdout.write(f"{patch.file.stem:26} {word:8} {time.monotonic() - started:6.1f} s  {patch.bug}\n")
        sys.stdout.flush()
        if code != CAUGHT:
            missed.append(patch.file.stem)
    if missed:
        sys.stderr.write(f"error: the tests do not catch {', '.join(missed)}\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
