"""The known bugs still fit the sources; `make seeded-bugs` tries whether the tests catch them."""

from __future__ import annotations

import subprocess

import pytest

from seeded_bugs.patches import PROJECT, Patch, patches


def test_there_are_ten() -> None:
    """There are at least ten known bugs, each about something else."""
    assert len({patch.bug for patch in patches()}) == len(patches()) >= 10


@pytest.mark.parametrize("patch", patches(), ids=lambda patch: patch.file.stem)
def test_a_patch_fits(patch: Patch) -> None:
    """A bug can be put into the sources as they are, and the tests that must catch it exist."""
    ended = subprocess.run(
        ["git", "apply", "--check", str(patch.file)], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert patch.caught_by
    assert all((PROJECT / test).is_file() for test in patch.caught_by)
