"""Fixtures of the console's tests."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from cli.command import Rung, purchase
from console.console_rig import Rig, made_home, running, send


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with a campaign, a user with some purchases, and two events in quarantine."""
    found = made_home(tmp_path_factory.mktemp("console"))
    send(
        found,
        purchase("t1", "ann", 1_000),
        purchase("t2", "ann", 400, "2021-08-04T10:00:00Z"),
        purchase("t3", "ann", 900, "2021-08-05T10:00:00Z", [("REFUNDED", "2021-08-06T10:00:00Z", 900)]),
        '{"transaction_id": "t4", "user_id": "ann"}',
        purchase("t5", "<script>alert(1)</script>", -1),
    )
    return found


@pytest.fixture(scope="module")
def rig(home: Path) -> Generator[Rig]:
    """Run a console on the home. Tests of a module share it, and leave it as it was."""
    with running(home) as found:
        yield found


@pytest.fixture
def own(tmp_path: Path) -> Generator[Rig]:
    """Run a console on a home of its own, which a test may change."""
    with running(made_home(tmp_path)) as found:
        yield found


@pytest.fixture
def rung(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Rung:
    """Return a command line on a home that was made, with no campaign."""
    command = Rung(tmp_path / "home", capsys)
    command.fine("init")
    return command
