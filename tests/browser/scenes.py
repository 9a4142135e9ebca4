"""Statuses that a page is shown with, in the API's own types: the month of November 2026 in Tokyo."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from playwright.sync_api import Page, Route

from rung.campaign.spans import SpanDescription
from rung.status.messages import CampaignDescription, CatalogDescription, Unit, VersionDescription
from rung.status.view import (
    AnyOf,
    AsOf,
    CampaignStatus,
    Check,
    Comparison,
    Condition,
    CountingStatus,
    EffectiveStatus,
    State,
    StepStatus,
    UserStatus,
)

NOW: Final = "2026-11-20T14:32:05+09:00"
_MEASURES: Final = {"payments": Unit.COUNT, "total": Unit.MONEY, "services": Unit.COUNT}


def described(counts_until: str | None = None, currency: str = "JPY") -> CatalogDescription:
    """Return what the API tells of the one campaign of these scenes."""
    versions = (VersionDescription(0, _MEASURES, {"payments": 300}),)
    spans = (SpanDescription(0, "2026-01", counts_until),)
    return CatalogDescription(
        (CampaignDescription("step", "Asia/Tokyo", currency, "month", "next", counts_until, spans, versions),)
    )


def at_least(name: str, value: int, target: int) -> Comparison:
    """Return a condition that so much of a measure is there."""
    return Comparison(f"{name} >= {target}", value >= target, value, target, max(0, target - value))


def step(name: str, *conditions: Condition, add: str = "0.5", on: str | None = None) -> StepStatus:
    """Return a step with what it asks for."""
    met = all(condition.met for condition in conditions)
    return StepStatus(name, met, add, conditions, msgspec.UNSET if on is None else on)


def gold(payments: int, total: int) -> StepStatus:
    """Return the step that asks for 30 payments and 50,000 yen."""
    return step("gold", at_least("payments", payments, 30), at_least("total", total, 50_000))


def counting(
    payments: int,
    total: int,
    *more: StepStatus,
    period: str = "2026-11",
    state: State = State.PROVISIONAL,
) -> CountingStatus:
    """Return progress with so many payments and yen; `more` steps come after gold."""
    measures = {"payments": payments, "total": total, "services": min(payments, 2)}
    steps = (gold(payments, total), *more)
    rate = "1.0" if steps[0].met else "0.5"
    if state is State.CLOSED:
        steps = tuple(msgspec.structs.replace(one, conditions=()) for one in steps)
    return CountingStatus(period, 0, state, measures, rate, steps)


def effective(
    payments: int,
    total: int,
    *more: StepStatus,
    period: str = "2026-11",
    earned_in: str = "2026-10",
    state: State = State.CLOSED,
) -> EffectiveStatus:
    """Return the rate in force that so many payments and yen have earned."""
    earned = counting(payments, total, *more, period=earned_in, state=state)
    return EffectiveStatus(period, earned_in, 0, state, earned.rate_percent, earned.measures, earned.steps)


def status(
    now: CountingStatus | None, in_force: EffectiveStatus | None, *, pending: bool = False
) -> UserStatus:
    """Return what the user is told."""
    as_of = AsOf(0, 41, "2026-11-20T05:31:40Z", pending)
    return UserStatus("ann", as_of, (CampaignStatus("step", now, in_force),))


def rich_status() -> UserStatus:
    """Return a status with all that a card can show."""
    wide = step(
        "wide",
        AnyOf(
            "services >= 3 OR user.premium",
            met=False,
            any_of=(at_least("services", 2, 3), Check("user.premium", met=False)),
        ),
        add="0.25",
    )
    first = step("first-payment", at_least("payments", 18, 1), add="0.1")
    mall = step("mall", add="6.0", on="service = 'mall'")
    return status(counting(18, 32_400, first, wide, mall), effective(30, 61_000, mall))


def explained(*transactions: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `explain` tells of transactions; see `transaction`."""
    return {"transactions": list(transactions)}


def transaction(number: int, reason: str, *history: tuple[str, str, int]) -> dict[str, Any]:
    """Return an explained transaction with its steps."""
    steps = [{"status": word, "at": at, "amount": amount} for word, at, amount in history]
    return {"transaction_id": f"t{number}", "reason": reason, "history": steps}


@dataclass
class Recorded:
    """Answers what a page asks of the API: each status in turn, and the last one from then on.

    An empty answer to `statuses` lets the page wait; `is_away` has requests fail as without a network.
    """

    statuses: Sequence[UserStatus]
    catalog: CatalogDescription = field(default_factory=described)
    explanation: Mapping[str, Any] = field(default_factory=explained)
    is_away: bool = False
    asked: list[str] = field(default_factory=list[str])

    def answer_on(self, page: Page) -> None:
        """Answer from here on."""
        page.route("**/v1/**", self._answer)

    def _answer(self, route: Route) -> None:
        path = route.request.url.partition("/v1/")[2]
        self.asked.append(path)
        if self.is_away:
            route.abort("connectionrefused")
        elif path.startswith("campaigns"):
            _fulfil_json(route, msgspec.json.encode(self.catalog))
        elif "/explain?" in path:
            _fulfil_json(route, json.dumps(self.explanation).encode())
        elif not self.statuses:
            # Never answered: the page stays in its loading state.
            pass
        else:
            told = b"".join(_event(one) for one in self.statuses)
            self.statuses = self.statuses[-1:]
            route.fulfill(body=told, content_type="text/event-stream")


def _event(told: UserStatus) -> bytes:
    return b'event: status\nid: "1"\ndata: %s\n\n' % msgspec.json.encode(told)


def _fulfil_json(route: Route, body: bytes) -> None:
    route.fulfill(body=body, content_type="application/json")
