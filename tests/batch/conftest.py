"""Fixtures of the batch layer's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.command import Rung


@pytest.fixture
def rung(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Rung:
    """Return a command line on a home that was made, with no campaign."""
    command = Rung(tmp_path / "home", capsys)
    command.fine("init")
    return command
