"""Fixtures of the webhooks' tests: a home whose campaign has steps, and an endpoint for its messages."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from cli.command import Rung
from webhooks.receiver import Receiver, configure, receiving

SPEC = """\
campaign: small
timezone: UTC
currency: EUR
user_attributes: {premium: boolean}
versions:
  - version: 0
    counts_from: 2021-01
    measures: {payments: {count: "amount >= 500"}, total: {sum: amount}}
    reward:
      base_percent: "1"
      steps:
        - {name: two, when: "payments >= 2", add_percent: "0.5"}
        - {name: rich, when: "total >= 2500 AND user.premium", add_percent: "1"}
"""


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("RUNG_"):
            monkeypatch.delenv(name)


@pytest.fixture
def receiver() -> Generator[Receiver]:
    """Return an endpoint that takes everything."""
    with receiving(Receiver()) as found:
        yield found


@pytest.fixture
def rung(tmp_path: Path, capsys: pytest.CaptureFixture[str], receiver: Receiver) -> Rung:
    """Return a command line on a home whose campaign has two steps, and whose messages go to the endpoint."""
    command = Rung(tmp_path / "home", capsys)
    command.fine("init")
    (tmp_path / "small.yaml").write_text(SPEC, encoding="utf-8")
    command.fine("campaign", "apply", tmp_path / "small.yaml")
    configure(command.home, receiver.url)
    return command
