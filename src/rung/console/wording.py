"""Rules, verdicts and causes in sentences, as the pages say them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rung.campaign import expression
from rung.campaign.expression import Expression
from rung.campaign.model import Campaign, Measure, MeasureKind, Step, Version
from rung.console.words import money_text
from rung.status.explanation import Verdict

_AMOUNTS: Final = frozenset({"amount", "gross_amount", "refunded_amount"})
_AT: Final[Mapping[str, str]] = {
    ">=": "at least",
    ">": "more than",
    "<=": "at most",
    "<": "less than",
    "=": "exactly",
    "<>": "other than",
}
VERDICTS: Final[Mapping[Verdict, str]] = {
    Verdict.COUNTED: "Counted",
    Verdict.BELOW_CONDITION: "Meets no measure's condition",
    Verdict.NOT_COMPLETED: "Not completed yet",
    Verdict.CANCELED: "Canceled",
    Verdict.FAILED: "Failed",
    Verdict.EXPIRED: "Expired",
    Verdict.REFUNDED_IN_FULL: "Refunded in full",
    Verdict.OTHER_PERIOD: "Counts in another period",
    Verdict.BEFORE_VERSION: "Came before the version was applied",
    Verdict.CONFLICT: "Contradicts what came before it",
}


@dataclass(frozen=True, slots=True)
class Rung:
    """A step of the ladder in words: its name, what it adds and takes, and on which purchases it is paid."""

    name: str
    adds: str
    takes: str
    on: str


def ladder_of(campaign: Campaign, version: Version) -> list[Rung]:
    """Return the steps of a version in words, in their order."""
    money = money_measures(version)
    return [
        Rung(
            step.name,
            f"+{step.add_percent} %",
            _takes(step, money, campaign.currency),
            "" if step.on is None else step.on.text,
        )
        for step in version.reward.steps
    ]


def money_measures(version: Version) -> frozenset[str]:
    """Return the measures that are amounts of money."""
    return frozenset(
        measure.name
        for measure in version.measures
        if measure.kind is MeasureKind.SUM and measure.expression.text in _AMOUNTS
    )


def measure_text(measure: Measure) -> str:
    """Return what a measure counts, in words."""
    where = "" if measure.where is None else f" of purchases where {measure.where.text}"
    match measure.kind:
        case MeasureKind.COUNT:
            return f"how many purchases have {measure.expression.text}{where}"
        case MeasureKind.SUM:
            return f"the sum of {measure.expression.text}{where}"
        case MeasureKind.DISTINCT:
            what = "days" if measure.expression.text == "day" else f"values of {measure.expression.text}"
            return f"how many different {what}{where}"


def _takes(step: Step, money: frozenset[str], currency: str) -> str:
    if step.when is None:
        return "everybody"
    return ", and ".join(_condition(one, money, currency) for one in expression.conjuncts(step.when))


def _condition(condition: Expression, money: frozenset[str], currency: str) -> str:
    alternatives = expression.alternatives(condition)
    if len(alternatives) > 1:
        return f"({' or '.join(_condition(one, money, currency) for one in alternatives)})"
    compared = expression.comparison(condition)
    if compared is None:
        text = condition.text
        return text.removeprefix("user.") if text.isidentifier() or text.startswith("user.") else text
    target = money_text(compared.target, currency) if compared.left.text in money else f"{compared.target:,}"
    return f"{compared.left.text} {_AT[compared.operator]} {target}"
