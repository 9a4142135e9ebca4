"""What a version makes of a period, user by user, in plain Python on top of the oracle: no code of Rung."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal
from functools import cache
from typing import Any

from oracle import ENDS, FigureKey, Oracle, OracleCampaign, OracleVersion, Purchase, Scalar

EXACT = Context(prec=60)
ROUNDINGS = {"down": ROUND_DOWN, "half_even": ROUND_HALF_EVEN}


@dataclass(frozen=True)
class Terms:
    """What the oracle's version does not say: to which purchases a step's rate is added, caps and rounding."""

    on: Mapping[str, Callable[[Purchase], bool]] = field(
        default_factory=dict[str, Callable[[Purchase], bool]]
    )
    per_transaction: int | None = None
    per_period: int | None = None
    rounding: str = "down"


@dataclass(frozen=True)
class Result:
    """One user under one version."""

    measures: Mapping[str, int]
    met: frozenset[str]
    rate: Decimal
    cash_back: int


@dataclass(frozen=True)
class Bought:
    """A purchase as it is now."""

    user_id: str
    at: datetime
    transaction_id: str
    values: Mapping[str, Any]


@cache
def counters_of(oracle: Oracle) -> Mapping[FigureKey, Mapping[Scalar, int]]:
    """Return all counters of an oracle that has had all its events."""
    return oracle.counters()


@cache
def figures_of(oracle: Oracle) -> Mapping[FigureKey, int]:
    """Return all figures of an oracle that has had all its events."""
    return oracle.figures()


def bought_in(oracle: Oracle, campaign: OracleCampaign, period: str) -> list[Bought]:
    """Return the purchases of a period that were not taken back, in the order in which they earn."""
    found: list[Bought] = []
    for one in oracle.transactions.values():
        completed = [(at, amount) for status, at, amount in one.history if status == "COMPLETED"]
        if not completed or any(status in ENDS for status, _, _ in one.history):
            continue
        at, gross = completed[0]
        refunded = sum(amount for status, _, amount in one.history if status == "REFUNDED")
        if campaign.period_of(campaign.local_day(at)) != period or (refunded == gross and refunded > 0):
            continue
        values = {name: one.attributes.get(name) for name in campaign.attributes}
        amounts = {"amount": gross - refunded, "gross_amount": gross, "refunded_amount": refunded}
        found.append(Bought(one.user_id, at, one.transaction_id, {**values, **amounts}))
    return sorted(found, key=lambda one: (one.at, one.transaction_id))


def active(
    oracle: Oracle, campaign: OracleCampaign, number: int, period: str, bought: list[Bought]
) -> set[str]:
    """Return the users with anything counted in a period, or with a purchase that earns."""
    counted = {
        user
        for (name, version, user, _, of), counter in counters_of(oracle).items()
        if (name, version, of) == (campaign.name, number, period) and any(counter.values())
    }
    return counted | {one.user_id for one in bought}


def results(
    oracle: Oracle,
    campaign: OracleCampaign,
    version: OracleVersion,
    period: str,
    bought: list[Bought],
    users: set[str],
    terms: Terms,
) -> dict[str, Result]:
    """Return the result of each user."""
    figures = figures_of(oracle)
    found: dict[str, Result] = {}
    for user_id in users:
        measures = {
            name: figures.get((campaign.name, version.number, user_id, name, period), 0)
            for name in version.measures
        }
        known = oracle.user_attributes.get(user_id)
        told = {name: known.values.get(name) if known else None for name in campaign.user_attributes}
        met = [step for step in version.steps if step.when(measures, told)]
        rate = Decimal(version.base_percent) + sum(
            Decimal(step.add_percent) for step in met if not step.limited
        )
        earned = 0
        for purchase in bought:
            if purchase.user_id != user_id:
                continue
            own = rate + sum(
                Decimal(step.add_percent)
                for step in met
                if step.limited and terms.on[step.name](purchase.values)
            )
            exact = EXACT.divide(EXACT.multiply(Decimal(purchase.values["amount"]), own), Decimal(100))
            granted = int(exact.quantize(Decimal(1), ROUNDINGS[terms.rounding], EXACT))
            if terms.per_transaction is not None:
                granted = min(granted, terms.per_transaction)
            if terms.per_period is not None:
                granted = min(granted, terms.per_period - earned)
            earned += granted
        found[user_id] = Result(measures, frozenset(step.name for step in met), rate, earned)
    return found
