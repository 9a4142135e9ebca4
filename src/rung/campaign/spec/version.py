"""Reads one version: measures, refunds and reward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from rung.campaign.calendar import Calendar, Period
from rung.campaign.expression import Expression, ValueType
from rung.campaign.expression.magnitude import AMOUNT_MAX
from rung.campaign.expression.node import Name, expression_of
from rung.campaign.model import AttributeType, Cap, Measure, MeasureKind, PostTo, Reward, Rounding, Step
from rung.campaign.spec.document import Node, Table
from rung.campaign.spec.reader import Reader, did_you_mean

MEASURES_MAX = 32
"""The most measures of one version."""

STEPS_MAX = 64
"""The most steps of one version."""

VERSION_NUMBER_MAX = 9999
"""The greatest number of a version."""

_AMOUNT_NAMES = ("amount", "gross_amount", "refunded_amount")
_DAY = "day"
_KINDS = [kind.value for kind in MeasureKind]
_NOT_INVERTIBLE = frozenset(
    {"max", "min", "avg", "average", "mean", "median", "first", "last", "any", "stddev"}
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a version says, before it has its identity; the nodes serve the checks across versions.

    What has an error is None or left out.
    """

    number: int
    number_node: Node
    counts_from: Period | None
    counts_from_node: Node | None
    measures: tuple[Measure, ...]
    post_to: PostTo | None
    reward: Reward | None


@dataclass(frozen=True, slots=True)
class VersionReader:
    """Reads versions of one campaign, whose calendar is None if it could not be read."""

    reader: Reader
    calendar: Calendar | None
    attributes: Mapping[str, AttributeType]
    user_attributes: Mapping[str, AttributeType]

    def read(self, node: Node) -> Rules | None:
        """Return a version's rules; None if not even its number can be read."""
        fields = self.reader.fields(
            node,
            "a version",
            {
                "version": "0",
                "measures": "{payments: {count: amount >= 100}}",
                "reward": '{base_percent: "0.5"}',
            },
            ("counts_from", "refunds"),
        )
        number_node = fields.get("version")
        number = None
        if number_node is not None:
            number = self.reader.integer(number_node, "version", 0, VERSION_NUMBER_MAX)
        counts_from_node = fields.get("counts_from")
        counts_from = None
        if counts_from_node is not None:
            counts_from = read_period(self.reader, counts_from_node, "counts_from", self.calendar)
        measure_names: tuple[str, ...] = ()
        measures: tuple[Measure, ...] = ()
        if "measures" in fields:
            measure_names, measures = self._measures(fields["measures"])
        post_to = self._post_to(fields["refunds"]) if "refunds" in fields else PostTo.PURCHASE
        reward = self._reward(fields["reward"], measure_names) if "reward" in fields else None
        if number_node is None or number is None:
            return None
        return Rules(number, number_node, counts_from, counts_from_node, measures, post_to, reward)

    def _measures(self, node: Node) -> tuple[tuple[str, ...], tuple[Measure, ...]]:
        """Return the names of all measures, and those that have no error."""
        entries = self.reader.entries(node, "measures")
        if isinstance(node, Table) and not entries:
            self.reader.error_at(node, "a version needs a measure", "add payments: {count: amount >= 100}")
        if len(entries) > MEASURES_MAX:
            self.reader.error_at(entries[MEASURES_MAX][0], f"a version has at most {MEASURES_MAX} measures")
        names = [key.value for key, _ in entries]
        measures: list[Measure] = []
        for key, value in entries[:MEASURES_MAX]:
            name = self.reader.identifier(key, "a measure's name")
            measure = self._measure(name or key.value, value)
            if measure is not None:
                measures.append(measure)
        return tuple(names), tuple(measures)

    def _measure(self, name: str, node: Node) -> Measure | None:
        entries = self.reader.entries(node, f"the measure {name}")
        kinds = [(key, value) for key, value in entries if key.value in _KINDS]
        where = None
        for key, value in entries:
            if key.value == "where":
                where = self.purchase_expression(value, "where")
            elif key.value in _NOT_INVERTIBLE:
                self.reader.error_at(
                    key,
                    f"{key.value} cannot be a measure: a refund must undo exactly what the purchase added",
                    "count, sum and distinct can",
                )
            elif key.value not in _KINDS:
                self.reader.error_at(
                    key, f"a measure has no key {key.value}", did_you_mean(key.value, [*_KINDS, "where"])
                )
        if len(kinds) != 1:
            if len(kinds) > 1:
                self.reader.error_at(
                    kinds[1][0], "a measure is one of count, sum and distinct", "make two measures"
                )
            elif isinstance(node, Table) and all(key.value == "where" for key, _ in entries):
                self.reader.error_at(node, f"the measure {name} lacks a kind", "add count, sum or distinct")
            return None
        ((kind_key, value),) = kinds
        kind = MeasureKind(kind_key.value)
        if kind is MeasureKind.COUNT:
            expression = self.purchase_expression(value, "count")
        elif kind is MeasureKind.SUM:
            expression = self.purchase_expression(value, "sum", ValueType.INTEGER)
        else:
            expression = self._distinct(value)
        return None if expression is None else Measure(name, kind, expression, where)

    def purchase_expression(
        self, node: Node, what: str, expected: ValueType = ValueType.BOOLEAN
    ) -> Expression | None:
        """Return an expression over the amounts and attributes of a purchase."""
        names = dict.fromkeys(_AMOUNT_NAMES, ValueType.INTEGER)
        names |= {name: ValueType(type_.value) for name, type_ in self.attributes.items()}
        return self.reader.expression(node, what, names, expected)

    def _distinct(self, node: Node) -> Expression | None:
        text = self.reader.text(node, "distinct")
        if text is None or text.value in self.reader.undeclared:
            return None
        if text.value == _DAY:
            return expression_of(Name(_DAY, ValueType.INTEGER))
        declared = self.attributes.get(text.value)
        if declared is None:
            if self.reader.declarations_unreadable:
                return None
            self.reader.error_at(
                text,
                f"distinct is an attribute or day, not {text.value}",
                did_you_mean(text.value, [*self.attributes, _DAY]),
            )
            return None
        return expression_of(Name(text.value, ValueType(declared.value)))

    def _post_to(self, node: Node) -> PostTo | None:
        fields = self.reader.fields(node, "refunds", {"post_to": "purchase"})
        return self.reader.choice(fields["post_to"], "post_to", PostTo) if "post_to" in fields else None

    def _reward(self, node: Node, measure_names: tuple[str, ...]) -> Reward | None:
        fields = self.reader.fields(node, "a reward", {"base_percent": '"0.5"'}, ("steps", "cap", "rounding"))
        base = (
            self.reader.percent(fields["base_percent"], "base_percent") if "base_percent" in fields else None
        )
        steps = self._steps(fields["steps"], measure_names) if "steps" in fields else ()
        cap = self._cap(fields["cap"]) if "cap" in fields else Cap(None, None)
        rounding: Rounding | None = Rounding.DOWN
        if "rounding" in fields:
            rounding = self.reader.choice(fields["rounding"], "rounding", Rounding)
        return None if base is None or rounding is None else Reward(base, steps, cap, rounding)

    def _steps(self, node: Node, measure_names: tuple[str, ...]) -> tuple[Step, ...]:
        names = dict.fromkeys(measure_names, ValueType.INTEGER)
        names |= {f"user.{name}": ValueType(type_.value) for name, type_ in self.user_attributes.items()}
        steps: list[Step] = []
        first_lines: dict[str, int] = {}
        for item in self.reader.items(node, "steps", STEPS_MAX):
            fields = self.reader.fields(
                item, "a step", {"name": "gold", "add_percent": '"0.5"'}, ("when", "on")
            )
            name = self.reader.label(fields["name"], "a step's name") if "name" in fields else None
            if name is not None:
                if name in first_lines:
                    line = first_lines[name]
                    self.reader.error_at(
                        fields["name"], f"the step {name} is there twice", f"the first one is on line {line}"
                    )
                first_lines.setdefault(name, item.line)
            add: Decimal | None = None
            if "add_percent" in fields:
                add = self.reader.percent(fields["add_percent"], "add_percent")
            when = on = None
            if "when" in fields:
                when = self.reader.expression(fields["when"], "when", names, ValueType.BOOLEAN)
            if "on" in fields:
                on = self.purchase_expression(fields["on"], "on")
            if name is not None and add is not None:
                steps.append(Step(name, when, add, on))
        return tuple(steps)

    def _cap(self, node: Node) -> Cap:
        fields = self.reader.fields(node, "a cap", {}, ("per_transaction", "per_period"))
        if isinstance(node, Table) and not node.entries:
            self.reader.error_at(node, "a cap needs per_transaction or per_period", "add per_period: 1000")
        limits = [
            self.reader.integer(fields[key], key, 1, AMOUNT_MAX) if key in fields else None
            for key in ("per_transaction", "per_period")
        ]
        per_transaction, per_period = limits
        if per_transaction is not None and per_period is not None and per_transaction > per_period:
            self.reader.error_at(
                fields["per_transaction"], f"per_transaction is above per_period, {per_period}", "lower it"
            )
        return Cap(per_transaction, per_period)


def read_period(reader: Reader, node: Node, what: str, calendar: Calendar | None) -> Period | None:
    """Return a counting period of a calendar; None after an error or without a calendar."""
    text = reader.text(node, what)
    if text is None or calendar is None:
        return None
    try:
        period = Period.parse(text.value, calendar.kind)
    except ValueError as error:
        reader.error_at(text, f"{what}: {error}")
        return None
    first, last = calendar.span()
    if not first <= period <= last:
        reader.error_at(text, f"{what}: {period} is not between {first} and {last}")
        return None
    return period
