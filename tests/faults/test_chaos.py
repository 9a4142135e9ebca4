"""Two minutes in which everything goes wrong."""

from __future__ import annotations

import pytest

from faults.chaos import main


@pytest.mark.timeout(480)
def test_chaos(capsys: pytest.CaptureFixture[str]) -> None:
    """All faults that heal, mixed for two minutes over both stores: all of them happen, and every user is right."""
    code = main(["--seconds", "120", "--seed", "20261"])
    printed = capsys.readouterr().out
    assert code == 0, printed
    assert printed.endswith("Every user equals the oracle\n")
