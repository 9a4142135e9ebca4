"""`rung console` for the tests of its pages, on a home with purchases, trouble and people."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.sync_api import Page

from cli.command import start
from console.console_rig import PASSWORD, add_people, current, day_of, made_home, send
from rung.campaign.calendar import Period

SPEC: Final = """\
campaign: step
timezone: Asia/Tokyo
currency: JPY
attributes: {service: string}
versions:
  - version: 0
    counts_from: 2021-01
    measures:
      payments: {count: "amount >= 100"}
      total: {sum: amount}
    reward:
      base_percent: "0.5"
      steps:
        - {name: ten-payments, when: "payments >= 10", add_percent: "0.5"}
        - {name: big-spender, when: "total >= 50000", add_percent: "0.5"}
"""
ADDED: Final = """\
  - version: 1
    measures:
      payments: {count: "amount >= 300"}
      total: {sum: amount}
      services: {distinct: service, where: "service IN ('mall', 'travel', 'books')"}
    reward:
      base_percent: "0.5"
      steps:
        - {name: gold, when: "payments >= 8 AND total >= 40000 AND services >= 2", add_percent: "0.5"}
        - {name: mall-bonus, when: "services >= 1", add_percent: "2", on: "service = 'mall'"}
"""
_SERVICES: Final = ("mall", "travel", "books", "food")
_USERS: Final = 30


@dataclass(frozen=True)
class ConsoleServer:
    """A console that runs."""

    url: str
    home: Path

    def sign_in(self, page: Page, name: str) -> Page:
        """Sign somebody in."""
        page.goto(f"{self.url}/sign-in")
        page.fill("#f-name", name)
        page.fill("#f-password", PASSWORD)
        page.click("main button")
        page.wait_for_url(f"{self.url}/")
        return page


@contextmanager
def console_server(folder: Path) -> Generator[ConsoleServer]:
    """Run a console on a home of its own."""
    home = made_home(folder, SPEC)
    add_people(home)
    send(home, *_events(current().previous()), *_events(current()), *_trouble())
    with start("--home", home, "console", "--port", "0") as process:
        try:
            assert process.stderr is not None
            line = ""
            while "Console: " not in line:
                line = process.stderr.readline()
                assert line, process.wait()
            yield ConsoleServer(line.split("Console: ")[1].strip().rstrip("/"), home)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _events(period: Period) -> list[str]:
    """Return purchases of a month: user k makes about k of them, of various amounts and services."""
    events: list[str] = []
    for user in range(_USERS):
        for number in range(user % 17 + 1):
            name = f"{period}-{user:03}-{number:03}"
            amount = 80 + (user * 977 + number * 613) % 9_000
            steps = [("COMPLETED", day_of(period, 1 + number), amount)]
            if (user + number) % 11 == 0:
                steps.append(("REFUNDED", day_of(period, 2 + number), amount))
            history = [{"status": status, "at": at, "amount": value} for status, at, value in steps]
            attributes = {"service": _SERVICES[(user + number) % len(_SERVICES)]}
            events.append(
                json.dumps(
                    {
                        "transaction_id": name,
                        "user_id": f"user-{user:03}",
                        "attributes": attributes,
                        "history": history,
                    }
                )
            )
    return events


def _trouble() -> list[str]:
    """Return events that go to quarantine, each for a reason of its own."""
    at = day_of(current())
    return [
        '{"transaction_id": "broken"',
        '{"transaction_id": "no-user"}',
        json.dumps(
            {
                "transaction_id": "negative",
                "user_id": "user-001",
                "attributes": {"service": "mall"},
                "history": [{"status": "COMPLETED", "at": at, "amount": -5}],
            }
        ),
    ]
