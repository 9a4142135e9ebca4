"""An expression as a Python function with SQL's three-valued logic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, assert_never

from rung.campaign.expression.node import (
    And,
    Arithmetic,
    Between,
    Compare,
    Expression,
    In,
    IsNull,
    Literal,
    Name,
    Negate,
    Node,
    Not,
    Or,
    Value,
    ValueType,
    names_in,
)

_OPERATORS = {"=": "==", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_OPPOSITES = {"=": "!=", "<>": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def to_python(expression: Expression) -> Callable[[Mapping[str, Value]], Value]:
    """Compile an expression to a function from the values of its names to its own value.

    A name that is missing is NULL, which is None. A call runs one generated function: two Python
    conditions, one that is true where the expression is true and one that is true where it is
    false; where neither is, the expression is NULL.
    """
    ordered = sorted(expression.names)
    variables = {name: f"value_{index}" for index, name in enumerate(ordered)}
    lines = ["def evaluate(values):", "    get = values.get"]
    lines += [f"    {variable} = get({name!r})" for name, variable in variables.items()]
    if expression.type is ValueType.BOOLEAN:
        lines.append(f"    if {_condition(expression.node, variables, holds=True)}: return True")
        lines.append(f"    if {_condition(expression.node, variables, holds=False)}: return False")
        lines.append("    return None")
    else:
        known = _all_known((expression.node,), variables)
        lines.append(f"    return {_value(expression.node, variables)} if {known} else None")
    namespace: dict[str, Any] = {}
    # The source holds nothing from the spec but integers and Python's own spelling of strings.
    exec(compile("\n".join(lines), f"<{expression.text}>", "exec"), namespace)  # noqa: S102
    return namespace["evaluate"]


def _condition(node: Node, variables: Mapping[str, str], *, holds: bool) -> str:
    """Return Python that is true exactly where a condition is true (or false, as `holds` says)."""
    match node:
        case Name(name):
            return f"{variables[name]} is {holds}"
        case Not(operand):
            return _condition(operand, variables, holds=not holds)
        case And(operands) | Or(operands):
            joint = " and " if isinstance(node, And) is holds else " or "
            return f"({joint.join(_condition(part, variables, holds=holds) for part in operands)})"
        case IsNull(operand):
            return f"{variables[operand.name]} is {'' if holds else 'not '}None"
        case Compare(operator, left, right):
            sign = _OPERATORS[operator] if holds else _OPPOSITES[operator]
            return _known_and(
                (left, right), f"{_value(left, variables)} {sign} {_value(right, variables)}", variables
            )
        case In(operand, values):
            listed = ", ".join(sorted({repr(value.value) for value in values}))
            test = f"{_value(operand, variables)} {'' if holds else 'not '}in {{{listed}}}"
            return _known_and((operand,), test, variables)
        case Between(operand, low, high):
            bounds = Compare(">=", operand, low), Compare("<=", operand, high)
            return _condition(And(bounds), variables, holds=holds)
        case Literal() | Negate() | Arithmetic():
            raise AssertionError(f"{type(node).__name__} is not a condition")
        case _:
            assert_never(node)


def _known_and(nodes: tuple[Node, ...], test: str, variables: Mapping[str, str]) -> str:
    return f"({_all_known(nodes, variables)} and {test})"


def _all_known(nodes: tuple[Node, ...], variables: Mapping[str, str]) -> str:
    used = sorted({variables[name.name] for node in nodes for name in names_in(node)})
    return " and ".join(f"{variable} is not None" for variable in used) or "True"


def _value(node: Node, variables: Mapping[str, str]) -> str:
    match node:
        case Literal(value):
            return f"({value!r})"
        case Name(name):
            return variables[name]
        case Negate(operand):
            return f"(-{_value(operand, variables)})"
        case Arithmetic(operator, left, right):
            return f"({_value(left, variables)} {operator} {_value(right, variables)})"
        case _:
            raise AssertionError(f"{type(node).__name__} is a condition")
