"""Numbers, money, times and rules in words."""

from __future__ import annotations

import pytest

from rung.campaign.spec import load
from rung.console.accounts import Account
from rung.console.roles import Permission, Role, may
from rung.console.samples import Samples
from rung.console.wording import VERDICTS, ladder_of, measure_text
from rung.console.words import Zoned, count_text, duration_text, money_text
from rung.status.explanation import Verdict
from rung.store.memory import MemoryStore

SPEC = """\
campaign: words
timezone: UTC
currency: JPY
attributes: {service: string}
user_attributes: {premium: boolean}
versions:
  - version: 0
    measures:
      payments: {count: "amount >= 300"}
      total: {sum: amount}
      days: {distinct: day}
      services: {distinct: service, where: "service <> 'x'"}
    reward:
      base_percent: "0.5"
      steps:
        - {name: all, add_percent: "1"}
        - {name: gold, when: "payments >= 30 AND total > 50000 AND user.premium", add_percent: "0.5"}
        - {name: either, when: "days = 3 OR services < 2", add_percent: "2", on: "service = 'mall'"}
"""


@pytest.mark.parametrize(
    ("minor", "currency", "signed", "text"),
    [
        (50_000, "JPY", False, "¥50,000"),
        (0, "JPY", True, "¥0"),
        (123_450, "GBP", False, "£1,234.50"),
        (-5, "EUR", False, "-€0.05"),
        (5, "EUR", True, "+€0.05"),
        (1_250, "KWD", False, "KWD 1.250"),
        (1_250, "SEK", True, "+SEK 12.50"),
        (9_007_199_254_740_993, "JPY", False, "¥9,007,199,254,740,993"),
    ],
)
def test_money(minor: int, currency: str, signed: bool, text: str) -> None:
    """Money is written exactly, with the digits of its currency."""
    assert money_text(minor, currency, signed=signed) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h 0 min"),
        (90_000, "25 h 0 min"),
        (172_800, "2 days"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """A duration has its two largest units."""
    assert duration_text(seconds) == text


def test_counts() -> None:
    """One thing is one, and many have commas."""
    assert [count_text(number, "event") for number in (0, 1, 1_234)] == [
        "0 events",
        "1 event",
        "1,234 events",
    ]
    assert count_text(2, "entry", "entries") == "2 entries"


def test_times() -> None:
    """Every time is in the zone of the console, and says so."""
    zoned = Zoned("Asia/Tokyo")
    assert zoned.time(0) == "1970-01-01 09:00:00 JST"
    assert zoned.clock(0) == "09:00:00 JST"
    assert zoned.day(15 * 3_600_000_000) == "1970-01-02"
    assert zoned.moment("2026-11-20T14:32:05.123456Z") == "2026-11-20 23:32:05 JST"


def test_a_ladder_in_words() -> None:
    """Each step says in words what it takes; amounts are money, alternatives stand in brackets."""
    campaign = load(SPEC, "spec")
    rungs = ladder_of(campaign, campaign.versions[0])
    assert [(one.name, one.adds, one.takes, one.on) for one in rungs] == [
        ("all", "+1 %", "everybody", ""),
        ("gold", "+0.5 %", "payments at least 30, and total more than ¥50,000, and premium", ""),
        ("either", "+2 %", "(days exactly 3 or services less than 2)", "service = 'mall'"),
    ]
    assert [measure_text(one) for one in campaign.versions[0].measures] == [
        "how many purchases have amount >= 300",
        "the sum of amount",
        "how many different days",
        "how many different values of service of purchases where service <> 'x'",
    ]


def test_every_verdict_has_words() -> None:
    """A verdict that is added has to be put into words."""
    assert VERDICTS.keys() == set(Verdict)


def test_roles() -> None:
    """Each role has what the one before has; nothing is asked of nobody."""
    granted = {role: {one for one in Permission if may(role, one)} for role in Role}
    assert granted[Role.VIEWER] == {Permission.NOTHING, Permission.VIEW}
    assert granted[Role.OPERATOR] == granted[Role.VIEWER] | {Permission.OPERATE}
    assert granted[Role.APPROVER] == set(Permission)
    assert Account("ann", Role.VIEWER, "", 1).role == "viewer"


class _Log:
    """A log with a lag that a test chooses."""

    def __init__(self) -> None:
        self.end = 0

    def identity(self) -> tuple[str, int]:
        return ("log", 1)

    def starts(self) -> dict[int, int]:
        return {0: 0}

    def ends(self) -> dict[int, int]:
        return {0: self.end}

    def appended_at(self, position: object) -> int:
        return 0


def test_samples() -> None:
    """Lag and rate are kept look by look, and freshness is told over all of them."""
    now = [0]
    log = _Log()
    samples = Samples(MemoryStore(), log, lambda: now[0])  # type: ignore[arg-type]
    assert samples.freshness() is None
    samples.look()
    log.end = 4
    for seconds in range(1, 101):
        now[0] = seconds * 1_000_000
        samples.look()
    found = samples.last()
    assert (found.lag_events, found.lag_seconds, found.rate) == (4, 100.0, 0.0)
    fresh = samples.freshness()
    assert fresh is not None
    assert (fresh.p50, fresh.p99, fresh.samples, fresh.seconds) == (50.0, 99.0, 101, 100.0)
