"""Fixtures of the command line's tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cli.command import SPEC, Rung


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("RUNG_"):
            monkeypatch.delenv(name)


@pytest.fixture
def rung(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Rung:
    """Return a command line on a home that was made, with no campaign."""
    command = Rung(tmp_path / "home", capsys)
    command.fine("init")
    return command


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """Return a file with a small campaign."""
    file = tmp_path / "small.yaml"
    file.write_text(SPEC, encoding="utf-8")
    return file


@pytest.fixture
def small(rung: Rung, spec: Path) -> Rung:
    """Return a command line on a home with the small campaign."""
    rung.fine("campaign", "apply", spec)
    return rung
