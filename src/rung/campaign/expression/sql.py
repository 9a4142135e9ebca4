"""An expression as DuckDB SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

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
    literal_text,
)


def to_sql(expression: Expression, column: Callable[[str], str]) -> str:
    """Return an expression as DuckDB SQL.

    Args:
        expression: the expression.
        column: gives the SQL (a quoted identifier) for each name.

    Arithmetic is done on BIGINT, whatever the columns' integer types are, and stays within it.
    """

    def whole(node: Node) -> str:
        match node:
            case Literal(value):
                return literal_text(value)
            case Name(name):
                return column(name)
            case Negate(operand):
                return f"(-{number(operand)})"
            case Arithmetic(operator, left, right):
                return f"({number(left)} {operator} {number(right)})"
            case Compare(operator, left, right):
                return f"({whole(left)} {operator} {whole(right)})"
            case In(operand, values):
                return f"({whole(operand)} IN ({', '.join(whole(value) for value in values)}))"
            case Between(operand, low, high):
                return f"({whole(operand)} BETWEEN {whole(low)} AND {whole(high)})"
            case IsNull(operand):
                return f"({whole(operand)} IS NULL)"
            case Not(operand):
                return f"(NOT {whole(operand)})"
            case And(operands):
                return f"({' AND '.join(whole(operand) for operand in operands)})"
            case Or(operands):
                return f"({' OR '.join(whole(operand) for operand in operands)})"
            case _:
                assert_never(node)

    def number(node: Node) -> str:
        # DuckDB gives a small constant a small type, in which a sum or product could overflow.
        return f"CAST({whole(node)} AS BIGINT)" if isinstance(node, Literal | Name) else whole(node)

    return whole(expression.node)
