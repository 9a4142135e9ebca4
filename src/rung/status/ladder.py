"""A version's reward steps, compiled: from measures and user attributes to conditions, steps and rate."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from functools import lru_cache
from typing import Final

from msgspec import UNSET, UnsetType

from rung.campaign import expression
from rung.campaign.counted import CountedVersion
from rung.campaign.expression import Expression, Value
from rung.campaign.model import AttributeType, Reward, Step
from rung.status.view import AllOf, AnyOf, Check, Comparison, Condition, StepStatus
from rung.transaction.attributes import INTEGER_MAX

_Values = Mapping[str, Value]
_Judge = Callable[[_Values], Condition]

_COMPARE: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# What has to be reached for `left > target` and `left >= target`, above the target.
_ABOVE_TARGET: Final[Mapping[str, int]] = {">=": 0, ">": 1}
_TYPES: Final[Mapping[AttributeType, type]] = {
    AttributeType.STRING: str,
    AttributeType.INTEGER: int,
    AttributeType.BOOLEAN: bool,
}
_USER: Final = "user."
_MET: Final = operator.attrgetter("met")
COMBINATIONS_MAX: Final = 1_024
"""How many combinations of met steps of one version are remembered."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The percentage for every purchase, and the met steps (with `on`: for those purchases) that made it."""

    percent: Decimal
    met: tuple[Step, ...]


class Ladder:
    """The steps of one version. Pure, and safe to share between threads."""

    def __init__(self, reward: Reward, user_attributes: Mapping[str, AttributeType]) -> None:
        """Compile the steps; `user_attributes` are those that the campaign declares."""
        self._base_percent = reward.base_percent
        self._steps = reward.steps
        self._statuses = tuple(map(_compile_step, reward.steps))
        # Which steps are met decides the rate; the few combinations that occur are added up once.
        self._percent = lru_cache(maxsize=COMBINATIONS_MAX)(self._percent_of)
        used = {name for step in reward.steps if step.when is not None for name in step.when.names}
        self._attributes = tuple(
            (name, _USER + name, _TYPES[kind])
            for name, kind in user_attributes.items()
            if _USER + name in used
        )

    def values(
        self, measures: Mapping[str, int], user_attributes: Mapping[str, object]
    ) -> Mapping[str, Value]:
        """Return what conditions are evaluated on: the measures and `user.` attributes.

        An attribute that is not of its declared type (it was told before the campaign declared
        it) is unknown, as an absent one is; so is an integer beyond 2^53.
        """
        if not self._attributes or not user_attributes:
            return measures
        values: dict[str, Value] = dict(measures)
        for name, full_name, kind in self._attributes:
            value = user_attributes.get(name)
            # Not isinstance: a boolean is no integer here.
            if type(value) is kind and not (type(value) is int and abs(value) > INTEGER_MAX):
                values[full_name] = value  # pyright: ignore[reportArgumentType]
        return values

    def statuses(self, values: Mapping[str, Value]) -> tuple[StepStatus, ...]:
        """Return the status of every step; a condition that is NULL is not met."""
        return tuple([status(values) for status in self._statuses])

    def closed(self, met: Sequence[bool]) -> tuple[StepStatus, ...]:
        """Return the status of every step in a closed period, of which it is known which steps were met."""
        return tuple(
            StepStatus(step.name, is_met, percent_text(step.add_percent), (), _on_text(step))
            for step, is_met in zip(self._steps, met, strict=True)
        )

    def percent(self, statuses: tuple[StepStatus, ...]) -> str:
        """Return the rate of all purchases: the base and every met step without `on`, exact."""
        return self._percent(tuple(map(_MET, statuses)))

    def rate(self, measures: Mapping[str, int], user_attributes: Mapping[str, object]) -> Rate:
        """Return the rate that measures and attributes earn."""
        met = tuple(map(_MET, self.statuses(self.values(measures, user_attributes))))
        return Rate(
            self._sum(met), tuple(step for step, is_met in zip(self._steps, met, strict=True) if is_met)
        )

    def _percent_of(self, met: tuple[bool, ...]) -> str:
        return percent_text(self._sum(met))

    def _sum(self, met: tuple[bool, ...]) -> Decimal:
        percent = self._base_percent
        for step, is_met in zip(self._steps, met, strict=True):
            if is_met and step.on is None:
                percent = _EXACT.add(percent, step.add_percent)
        return percent


# Inexact is trapped: a sum that 60 digits cannot hold is an error, not a rounded rate.
_EXACT: Final = Context(prec=60, traps=[Inexact])


def percent_text(percent: Decimal) -> str:
    """Return a percentage as exact text, without exponent and with at least one decimal: "1.0", "0.25"."""
    text = format(percent.normalize(_EXACT), "f")
    return text if "." in text else f"{text}.0"


def of_nobody(counted: CountedVersion) -> tuple[StepStatus, ...]:
    """Return the steps of a user of whom nothing is known: nothing is counted, and no attribute was told."""
    ladder = Ladder(counted.version.reward, counted.campaign.user_attributes)
    return ladder.statuses(dict.fromkeys((measure.name for measure in counted.version.measures), 0))


def _on_text(step: Step) -> str | UnsetType:
    return UNSET if step.on is None else step.on.text


def _compile_step(step: Step) -> Callable[[_Values], StepStatus]:
    name, add_percent = step.name, percent_text(step.add_percent)
    on = _on_text(step)
    judges = () if step.when is None else tuple(map(_judge_of, expression.conjuncts(step.when)))
    if len(judges) == 1:
        # By far the most frequent step, worth a shorter way.
        judge = judges[0]

        def status_of_one(values: _Values) -> StepStatus:
            condition = judge(values)
            return StepStatus(name, condition.met, add_percent, (condition,), on)

        return status_of_one

    def status(values: _Values) -> StepStatus:
        conditions = tuple([judge(values) for judge in judges])
        return StepStatus(name, all(condition.met for condition in conditions), add_percent, conditions, on)

    return status


def _judge_of(condition: Expression) -> _Judge:
    """Compile a condition that is no AND."""
    compared = expression.comparison(condition)
    if compared is not None:
        return _judge_of_comparison(condition.text, compared)
    alternatives = expression.alternatives(condition)
    if len(alternatives) > 1:
        return _judge_of_any(condition.text, tuple(map(_judge_of_alternative, alternatives)))
    return _judge_of_check(condition)


def _judge_of_alternative(condition: Expression) -> _Judge:
    conjuncts = expression.conjuncts(condition)
    if len(conjuncts) == 1:
        return _judge_of(condition)
    text, judges = condition.text, tuple(map(_judge_of, conjuncts))

    def judge(values: _Values) -> Condition:
        conditions = tuple([each(values) for each in judges])
        return AllOf(text, all(each.met for each in conditions), conditions)

    return judge


def _judge_of_any(text: str, judges: tuple[_Judge, ...]) -> _Judge:
    def judge(values: _Values) -> Condition:
        conditions = tuple([each(values) for each in judges])
        return AnyOf(text, any(each.met for each in conditions), conditions)

    return judge


def _judge_of_check(condition: Expression) -> _Judge:
    text, evaluate = condition.text, expression.to_python(condition)

    def judge(values: _Values) -> Condition:
        return Check(text, evaluate(values) is True)

    return judge


def _judge_of_comparison(text: str, compared: expression.Comparison) -> _Judge:
    evaluate, compare, target = _integer(compared.left), _COMPARE[compared.operator], compared.target
    above = _ABOVE_TARGET.get(compared.operator)

    if above is None:

        def judge_other(values: _Values) -> Condition:
            value = evaluate(values)
            return Comparison(text, value is not None and compare(value, target), value, target)

        return judge_other

    reached = target + above

    def judge(values: _Values) -> Condition:
        value = evaluate(values)
        if value is None:
            return Comparison(text, False, None, target)
        remaining = reached - value
        if remaining > 0:
            return Comparison(text, False, value, target, remaining)
        return Comparison(text, True, value, target, 0)

    return judge


def _integer(evaluated: Expression) -> Callable[[_Values], int | None]:
    """Compile an integer expression; a measure alone, the usual case, is only looked up."""
    if evaluated.text in evaluated.names and not evaluated.text.startswith(_USER):
        return operator.itemgetter(evaluated.text)
    return expression.to_python(evaluated)  # pyright: ignore[reportReturnType]
