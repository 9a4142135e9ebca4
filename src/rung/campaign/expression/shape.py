"""The outer shape of a condition: what a reader can be shown as separate requirements."""

from __future__ import annotations

from dataclasses import dataclass

from rung.campaign.expression.node import (
    And,
    Arithmetic,
    Compare,
    Expression,
    Literal,
    Negate,
    Node,
    Or,
    ValueType,
    expression_of,
    names_in,
    type_of,
)

_MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Comparison:
    """An integer compared with a constant; `operator` is one of `= <> < <= > >=`."""

    left: Expression
    operator: str
    target: int


def conjuncts(expression: Expression) -> tuple[Expression, ...]:
    """Return the conditions that must all hold; the expression itself if it is not an AND."""
    node = expression.node
    return tuple(map(expression_of, node.operands)) if isinstance(node, And) else (expression,)


def alternatives(expression: Expression) -> tuple[Expression, ...]:
    """Return the conditions of which one is enough; the expression itself if it is not an OR."""
    node = expression.node
    return tuple(map(expression_of, node.operands)) if isinstance(node, Or) else (expression,)


def comparison(expression: Expression) -> Comparison | None:
    """Return an integer's comparison with a constant, the constant on the right; None for others."""
    node = expression.node
    if not isinstance(node, Compare) or type_of(node.left) is not ValueType.INTEGER:
        return None
    left, right = _constant(node.left), _constant(node.right)
    if right is not None:
        return Comparison(expression_of(node.left), node.operator, right)
    if left is not None:
        return Comparison(expression_of(node.right), _MIRRORED[node.operator], left)
    return None


def _constant(node: Node) -> int | None:
    """Return the value of an integer node without names."""
    if next(names_in(node), None) is not None:
        return None
    match node:
        case Literal(value):
            return int(value)
        case Negate(operand):
            negated = _constant(operand)
            return None if negated is None else -negated
        case Arithmetic(operator, left, right):
            first, second = _constant(left), _constant(right)
            if first is None or second is None:
                return None
            if operator == "+":
                return first + second
            return first - second if operator == "-" else first * second
        case _:
            return None
