"""A summer of rule changes under live traffic: no request fails, and no figure is wrong for the version it names.

July counts version 0, while version 1 is counted as a shadow; August counts version 1, and version 0's rate
applies; September counts version 1, and version 1's rate applies. In mid-September version 1 turns out to be
wrong, and version 2 takes its place, is taken back, and takes it again.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from callers import AUTHORIZED
from cli.command import Rung
from end_to_end.test_kill import serving

SPEC = """\
campaign: summer
timezone: Asia/Tokyo
currency: JPY
versions:
  - version: 0
    counts_from: 2021-04
    measures: {payments: {count: "amount >= 100"}, total: {sum: amount}}
    reward: {base_percent: "0.5"}
"""
VERSION = """\
  - version: %d
    measures: {payments: {count: "amount >= %d"}, total: {sum: amount}}
    reward: {base_percent: "0.5"}
"""
FLOORS = {0: 100, 1: 300, 2: 200}
USERS = tuple(f"user-{number}" for number in range(30))
PERIODS = ("2021-07", "2021-08", "2021-09")
LATE_SHARE = 0.1


@dataclass
class Traffic:
    """Sends purchases of the present month, some of them late, and reads statuses; both check what they get.

    `now` is what the present is taken to be. `allowed` are the versions that a status may name for the
    counting and for the effective period. `counted` are the reads that found purchases.
    """

    port: int
    now: datetime
    allowed: set[tuple[int | None, int | None]]
    stop: threading.Event = field(default_factory=threading.Event)
    errors: list[BaseException] = field(default_factory=list[BaseException])
    reads: int = 0
    named: set[tuple[int | None, int | None]] = field(default_factory=set[tuple[int | None, int | None]])
    sums: dict[tuple[str, int, str], list[tuple[int, int]]] = field(
        default_factory=dict[tuple[str, int, str], list[tuple[int, int]]]
    )
    counted: int = 0
    sent: int = 0

    def send(self, connection: http.client.HTTPConnection) -> None:
        """Post purchases, one user's in order, and note every sum that a version may come to."""
        seed = random.Random(1)
        while not self.stop.is_set():
            lines: list[str] = []
            for _ in range(10):
                at = self.now - timedelta(seconds=seed.randrange(1, 1_000))
                if seed.random() < LATE_SHARE:
                    at -= timedelta(days=28)
                user, amount = seed.choice(USERS), seed.randrange(50, 1_000)
                self._note(user, at, amount)
                self.sent += 1
                history = [{"status": "COMPLETED", "at": at.isoformat(), "amount": amount}]
                event = {"transaction_id": f"t{self.sent:08}", "user_id": user, "history": history}
                lines.append(json.dumps(event))
            headers = {"content-type": "application/x-ndjson", **AUTHORIZED}
            connection.request("POST", "/v1/events", "\n".join(lines), headers)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 202, body
            time.sleep(0.03)

    def _note(self, user: str, at: datetime, amount: int) -> None:
        period = f"{at + timedelta(hours=9):%Y-%m}"
        for version, floor in FLOORS.items():
            sums = self.sums.setdefault((user, version, period), [(0, 0)])
            payments, total = sums[-1]
            sums.append((payments + (amount >= floor), total + amount))

    def read(self, connection: http.client.HTTPConnection, number: int) -> None:
        """Read statuses: a figure is one that the named version comes to, and never goes back."""
        seed = random.Random(number)
        reached: dict[tuple[str, int, str], int] = {}
        while not self.stop.is_set():
            user, allowed, now = seed.choice(USERS), set(self.allowed), self.now
            path = f"/v1/users/{user}/status?at={now.isoformat().replace('+', '%2B')}"
            connection.request("GET", path, headers=AUTHORIZED)
            answer = connection.getresponse()
            document = json.loads(answer.read())
            assert answer.status == 200, document
            allowed |= self.allowed
            status = document["campaigns"][0]
            parts = [part for part in (status["counting"], status["effective"]) if part is not None]
            names = tuple(part and part["version"] for part in (status["counting"], status["effective"]))
            assert names in allowed, (names, allowed, now)
            self.named.add(names)
            for part in parts:
                self._check(user, part, reached)
            self.reads += 1

    def _check(self, user: str, part: dict[str, Any], reached: dict[tuple[str, int, str], int]) -> None:
        period = part.get("earned_in") or part["period"]
        key = (user, part["version"], period)
        found = (part["measures"]["payments"], part["measures"]["total"])
        self.counted += found[1] > 0
        sums = self.sums.get(key, [(0, 0)])
        assert found in sums, (key, found)
        place = len(sums) - 1 - sums[::-1].index(found)
        assert place >= reached.get(key, 0), (key, found)
        reached[key] = sums.index(found)


@contextmanager
def running(traffic: Traffic) -> Generator[None]:
    """Send and read, in three threads, until the end; what went wrong in one of them is raised."""

    def guarded(work: Any, *arguments: object) -> None:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", traffic.port, timeout=30)) as connection:
                work(connection, *arguments)
        except BaseException as error:
            traffic.errors.append(error)
            traffic.stop.set()

    threads = [
        threading.Thread(target=guarded, args=work)
        for work in ((traffic.send,), (traffic.read, 1), (traffic.read, 2))
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        traffic.stop.set()
        for thread in threads:
            thread.join()
    if traffic.errors:
        raise traffic.errors[0]


def a_while(traffic: Traffic) -> None:
    """Let some traffic happen, and see some of it counted."""
    sent, reads, counted = traffic.sent, traffic.reads, traffic.counted
    deadline = time.monotonic() + 30
    while traffic.sent < sent + 100 or traffic.reads < reads + 50 or traffic.counted < counted + 10:
        assert not traffic.errors, traffic.errors
        assert time.monotonic() < deadline
        time.sleep(0.02)


def proven(rung: Rung, before: int, after: int, period: str) -> str:
    """Add a shadow's past, verify, compare it with what serves, and return the hash of the comparison."""
    rung.fine("batch", "backfill", "summer", str(after))
    verified = rung("batch", "verify", "--json")
    assert verified.code == 0, verified.out
    assert f"summer/{after}" in verified.json["versions"]
    return rung.fine(
        "campaign", "diff", "summer", str(before), str(after), "--period", period, "--json"
    ).json["hash"]


@pytest.mark.timeout(300)
def test_a_summer_of_rule_changes(tmp_path: Path, rung: Rung) -> None:
    """Every status of three months names a version that serves, and what that version counts."""
    spec = tmp_path / "summer.yaml"
    spec.write_text(SPEC, encoding="utf-8")
    rung.fine("campaign", "apply", spec)
    with serving(rung.home) as (_, port):
        traffic = Traffic(port, datetime(2021, 7, 20, 3, tzinfo=UTC), {(0, 0)})
        with running(traffic):
            a_while(traffic)
            spec.write_text(SPEC + VERSION % (1, FLOORS[1]), encoding="utf-8")
            rung.fine("campaign", "apply", spec)
            a_while(traffic)
            unproven = rung("campaign", "activate", "summer", "1", "--from", "2021-08", "--reason", "r")
            assert unproven.code != 0
            assert "rung batch backfill summer 1" in unproven.err
            digest = proven(rung, 0, 1, "2021-07")
            refused = rung("campaign", "activate", "summer", "1", "--from", "2021-08", "--reason", "r")
            assert refused.code == 1
            assert "rung campaign diff summer 0 1 --period 2021-07" in refused.err
            activate = ("campaign", "activate", "summer", "--reason", "stricter rules")
            rung.fine(*activate, "1", "--from", "2021-08", "--diff", digest)
            a_while(traffic)
            assert traffic.named == {(0, 0)}

            traffic.allowed = {(0, 0), (1, 0)}
            traffic.now = datetime(2021, 8, 20, 3, tzinfo=UTC)
            a_while(traffic)
            traffic.allowed = {(1, 0), (1, 1)}
            traffic.now = datetime(2021, 9, 14, 3, tzinfo=UTC)
            a_while(traffic)
            assert traffic.named == {(0, 0), (1, 0), (1, 1)}

            spec.write_text(SPEC + VERSION % (1, FLOORS[1]) + VERSION % (2, FLOORS[2]), encoding="utf-8")
            traffic.allowed = {(1, 1)}
            rung.fine("campaign", "apply", spec)
            a_while(traffic)
            digest = proven(rung, 1, 2, "2021-09")
            traffic.allowed = {(1, 1), (2, 1)}
            rung.fine(*activate, "2", "--from", "2021-09", "--diff", digest)
            traffic.allowed = {(2, 1)}
            a_while(traffic)
            traffic.allowed = {(1, 1), (2, 1)}
            rung.fine("campaign", "rollback", "summer", "--reason", "looked wrong")
            traffic.allowed = {(1, 1)}
            a_while(traffic)
            traffic.allowed = {(1, 1), (2, 1)}
            rung.fine(*activate, "2", "--from", "2021-09", "--diff", digest)
            traffic.allowed = {(2, 1)}
            a_while(traffic)
        assert traffic.named == {(0, 0), (1, 0), (1, 1), (2, 1)}
        assert rung("batch", "verify").code == 0
    actions = [entry["action"] for entry in rung.fine("audit", "--json").json["entries"]]
    assert actions == [
        "campaign.apply",
        "campaign.apply",
        "batch.backfill",
        "campaign.activate",
        "campaign.apply",
        "batch.backfill",
        "campaign.activate",
        "campaign.rollback",
        "campaign.activate",
    ]
