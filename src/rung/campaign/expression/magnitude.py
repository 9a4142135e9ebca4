"""How large an integer can become, known before any value is."""

from __future__ import annotations

from rung.campaign.expression.node import Arithmetic, Literal, Name, Negate, Node

INTEGER_MAX = 2**63 - 1
"""The greatest magnitude that an integer may reach anywhere in an expression."""

AMOUNT_MAX = 10**12
"""The greatest amount of a transaction, in minor units."""

ATTRIBUTE_MAX = 2**53
"""The greatest magnitude of any other integer that has a name."""

_AMOUNTS = frozenset({"amount", "gross_amount", "refunded_amount"})


def magnitude(node: Node) -> int:
    """Return the greatest magnitude that an integer node can have."""
    match node:
        case Literal(value):
            return abs(int(value))
        case Name(name):
            return AMOUNT_MAX if name in _AMOUNTS else ATTRIBUTE_MAX
        case Negate(operand):
            return magnitude(operand)
        case Arithmetic("*", left, right):
            return magnitude(left) * magnitude(right)
        case Arithmetic(_, left, right):
            return magnitude(left) + magnitude(right)
        case _:
            raise AssertionError(f"{type(node).__name__} is not an integer")
