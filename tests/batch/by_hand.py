"""Cash back by hand: purchase by purchase, from the oracle's transactions. It shares no code with Rung."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Context, Decimal
from typing import Any

from oracle import ENDS, FigureKey, Oracle, OracleCampaign

EXACT = Context(prec=60)
ROUNDINGS = {
    "down": ROUND_DOWN,
    "up": ROUND_UP,
    "half_up": ROUND_HALF_UP,
    "half_even": ROUND_HALF_EVEN,
}


@dataclass(frozen=True)
class Purchase:
    """A purchase that is left, with what its conditions are asked of."""

    transaction_id: str
    user_id: str
    at: datetime
    values: Mapping[str, Any]


@dataclass(frozen=True)
class HandReward:
    """What a reward says beside its steps' conditions on measures; `on` has the limited steps."""

    rounding: str = "down"
    per_transaction: int | None = None
    per_period: int | None = None
    on: Mapping[str, Callable[[Mapping[str, Any]], object]] | None = None


def purchases_in(oracle: Oracle, campaign: OracleCampaign, period: str) -> list[Purchase]:
    """Return what was bought in a period and is left, in the order of time and id."""
    bought: list[Purchase] = []
    for one in oracle.transactions.values():
        completed = [(at, amount) for status, at, amount in one.history if status == "COMPLETED"]
        refunded = sum(amount for status, _, amount in one.history if status == "REFUNDED")
        if not completed or any(status in ENDS for status, _, _ in one.history):
            continue
        at, gross = completed[0]
        if refunded and refunded == gross:
            continue
        if campaign.period_of(campaign.local_day(at)) == period:
            values = {name: one.attributes.get(name) for name in campaign.attributes}
            values |= {"amount": gross - refunded, "gross_amount": gross, "refunded_amount": refunded}
            bought.append(Purchase(one.transaction_id, one.user_id, at, values))
    return sorted(bought, key=lambda one: (one.at, one.transaction_id.encode()))


def cash_back(
    oracle: Oracle,
    campaign: OracleCampaign,
    period: str,
    met: Callable[[str], Mapping[str, bool]],
    reward: HandReward,
) -> dict[str, tuple[str, int, Decimal, int]]:
    """Return user, amount, rate and cash back of each transaction of a period; `met` tells a user's steps."""
    (version,) = campaign.versions
    earned: dict[str, int] = defaultdict(int)
    answers: dict[str, tuple[str, int, Decimal, int]] = {}
    for one in purchases_in(oracle, campaign, period):
        steps = met(one.user_id)
        rate = Decimal(version.base_percent)
        for step in version.steps:
            applies = not step.limited or (reward.on or {})[step.name](one.values) is True
            if steps[step.name] and applies:
                rate += Decimal(step.add_percent)
        exact = EXACT.divide(EXACT.multiply(Decimal(one.values["amount"]), rate), Decimal(100))
        granted = int(exact.quantize(Decimal(1), ROUNDINGS[reward.rounding], EXACT))
        if reward.per_transaction is not None:
            granted = min(granted, reward.per_transaction)
        if reward.per_period is not None:
            granted = min(granted, reward.per_period - earned[one.user_id])
        earned[one.user_id] += granted
        answers[one.transaction_id] = one.user_id, one.values["amount"], rate, granted
    return answers


def standings(oracle: Oracle, campaign: OracleCampaign, period: str) -> Callable[[str], dict[str, Any]]:
    """Return what tells a user's standing in a period, as all is now."""
    figures: Mapping[FigureKey, int] = oracle.figures()

    def standing(user_id: str) -> dict[str, Any]:
        found: Any = oracle.standing(user_id, campaign, period, figures)
        return found

    return standing


def period_after(campaign: OracleCampaign, period: str) -> str:
    """Return the period that follows another one, found day by day."""
    day = date(2011, 1, 1).toordinal()
    while campaign.period_of(date.fromordinal(day)) != period:
        day += 1
    while campaign.period_of(date.fromordinal(day)) == period:
        day += 1
    return campaign.period_of(date.fromordinal(day))
