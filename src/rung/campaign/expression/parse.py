"""Reads an expression's text into a checked tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from sqlglot import exp
from sqlglot.parser import Parser

from rung.campaign.expression.magnitude import INTEGER_MAX, magnitude
from rung.campaign.expression.node import (
    And,
    Arithmetic,
    Between,
    Compare,
    Expression,
    ExpressionError,
    In,
    IsNull,
    Literal,
    Name,
    Negate,
    Node,
    Not,
    Or,
    UnknownName,
    ValueType,
    expression_of,
    names_in,
    type_of,
)
from rung.campaign.expression.tokens import LENGTH_MAX, split
from rung.campaign.expression.words import Kind, Leaf

_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_ARITHMETIC: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}
_NAMES_SHOWN_MAX = 12


def parse(text: str, names: Mapping[str, ValueType], expected: ValueType | None) -> Expression:
    """Read an expression and check it against the names that it may use.

    Args:
        text: the expression.
        names: the type of each name; that of a user attribute is under `user.NAME`.
        expected: the type that the whole must have; None for any.

    Raises:
        ExpressionError: the text is outside the grammar, a name is unknown, types do not fit, a
            condition does not depend on any name, or an integer could exceed 64 bits.
    """
    words = split(text)
    # The words are in the grammar's order, so this is one expression that sqlglot can read.
    (tree,) = Parser().parse(words.tokens, text)
    assert tree is not None
    reader = _Reader(iter(words.leaves), names)
    whole = reader.read(tree)
    found = type_of(whole.node)
    if expected is not None and found is not expected:
        raise _wrong_type(whole, found, expected)
    reader.refuse_constant(whole)
    expression = expression_of(whole.node)
    if len(expression.text) > LENGTH_MAX:  # What is stored is the canonical text, which has to be read again.
        raise ExpressionError(
            f"an expression has at most {LENGTH_MAX} characters, this one needs {len(expression.text)}", 0, 1
        )
    return expression


@dataclass(frozen=True, slots=True)
class _Placed:
    """A node and its place in the text."""

    node: Node
    offset: int
    end: int

    def error(self, message: str, suggestion: str | None = None) -> ExpressionError:
        return ExpressionError(message, self.offset, self.end - self.offset, suggestion)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns sqlglot's tree into ours.

    sqlglot keeps no places, but its leaves are the text's names and constants in their order: each
    leaf that is read takes the next word's place.
    """

    leaves: Iterator[Leaf]
    names: Mapping[str, ValueType]

    def read(self, tree: exp.Expr) -> _Placed:
        match tree:
            case exp.Paren():
                return self.read(tree.this)
            case exp.Column() | exp.Literal() | exp.Boolean():
                return self._leaf(next(self.leaves))
            case exp.Dot():  # user.a.b and longer: one leaf, refused as an unknown name.
                return self._leaf(next(self.leaves))
            case exp.Neg():
                return self._negate(self._integer(self.read(tree.this)))
            case exp.Add() | exp.Sub() | exp.Mul():
                left = self._integer(self.read(tree.this))
                right = self._integer(self.read(tree.expression))
                return self._arithmetic(_ARITHMETIC[type(tree)], left, right)
            case exp.And() | exp.Or():
                return self._connected(tree)
            case exp.Not():
                operand = self._condition(self.read(tree.this))
                return _Placed(Not(operand.node), operand.offset, operand.end)
            case exp.Is():
                return self._is_null(self.read(tree.this))
            case exp.In():
                return self._in(self.read(tree.this), [self.read(value) for value in tree.expressions])
            case exp.Between():
                operand, low, high = (self.read(tree.args[part]) for part in ("this", "low", "high"))
                self._refuse_unlike(operand, low, orders=True)
                self._refuse_unlike(operand, high, orders=True)
                whole = _Placed(Between(operand.node, low.node, high.node), operand.offset, high.end)
                self.refuse_constant(whole)
                return whole
            case _:
                left, right = self.read(tree.this), self.read(tree.expression)
                operator = _COMPARISONS[type(tree)]
                self._refuse_unlike(left, right, orders=operator not in ("=", "<>"))
                whole = _Placed(Compare(operator, left.node, right.node), left.offset, right.end)
                self.refuse_constant(whole)
                return whole

    def refuse_constant(self, whole: _Placed) -> None:
        """Refuse what has the same value for everybody.

        Raises:
            ExpressionError: there is no name in it.
        """
        if next(names_in(whole.node), None) is not None:
            return
        if type_of(whole.node) is not ValueType.BOOLEAN:
            raise whole.error("this value does not depend on any name")
        raise whole.error(
            "this condition does not depend on any name",
            "amount >= 0 holds for every purchase"
            if "amount" in self.names
            else "leave it out if it always holds",
        )

    def _leaf(self, leaf: Leaf) -> _Placed:
        node: Node
        match leaf.kind:
            case Kind.NAME:
                if leaf.text not in self.names:
                    raise UnknownName(leaf.text, leaf.offset, self._known(leaf.text))
                node = Name(leaf.text, self.names[leaf.text])
            case Kind.NUMBER:
                node = Literal(int(leaf.text))
            case Kind.STRING:
                node = Literal(leaf.text)
            case Kind.BOOLEAN:
                node = Literal(leaf.text.upper() == "TRUE")
        placed = _Placed(node, leaf.offset, leaf.end)
        return self._within_bound(placed) if leaf.kind is Kind.NUMBER else placed

    def _known(self, unknown: str) -> str:
        folded = {name.casefold(): name for name in self.names}
        if f"user.{unknown}" in self.names:
            return f"did you mean user.{unknown}?"
        if unknown.startswith("user.") and not any(name.startswith("user.") for name in self.names):
            return "what is known of a user can only be used in when"
        close = get_close_matches(unknown.casefold(), folded, n=1)
        if close:
            return f"did you mean {folded[close[0]]}?"
        shown = sorted(self.names)[:_NAMES_SHOWN_MAX]
        rest = ", ..." if len(self.names) > len(shown) else ""
        return f"known here: {', '.join(shown)}{rest}" if shown else "no name is known here"

    def _negate(self, operand: _Placed) -> _Placed:
        match operand.node:
            case Literal(value):
                negated = Literal(-int(value))
            case Negate(inner):
                negated = inner
            case node:
                negated = Negate(node)
        return _Placed(negated, operand.offset, operand.end)

    def _arithmetic(self, operator: str, left: _Placed, right: _Placed) -> _Placed:
        node = Arithmetic(operator, left.node, right.node)
        return self._within_bound(_Placed(node, left.offset, right.end))

    def _within_bound(self, placed: _Placed) -> _Placed:
        if magnitude(placed.node) > INTEGER_MAX:
            raise placed.error(
                "this integer could exceed 64 bits",
                "amounts go up to 10**12, other names up to 2**53, results up to 2**63 - 1",
            )
        return placed

    def _connected(self, tree: exp.And | exp.Or) -> _Placed:
        # sqlglot nests a AND b AND c to the left; here they are one And.
        branches: list[exp.Expr] = []
        rest: exp.Expr = tree
        while type(rest) is type(tree):
            branches.append(rest.expression)
            rest = rest.this
        placed = [self._condition(self.read(branch)) for branch in (rest, *reversed(branches))]
        kind = And if isinstance(tree, exp.And) else Or
        operands: list[Node] = []
        for operand in placed:
            operands.extend(operand.node.operands if isinstance(operand.node, kind) else (operand.node,))
        return _Placed(kind(tuple(operands)), placed[0].offset, placed[-1].end)

    def _in(self, operand: _Placed, values: list[_Placed]) -> _Placed:
        literals: list[Literal] = []
        for value in values:
            self._refuse_unlike(operand, value, orders=False)
            assert isinstance(value.node, Literal)
            literals.append(value.node)
        whole = _Placed(In(operand.node, tuple(literals)), operand.offset, values[-1].end)
        self.refuse_constant(whole)
        return whole

    def _is_null(self, operand: _Placed) -> _Placed:
        if not isinstance(operand.node, Name):
            raise operand.error(
                "IS NULL is only available for a name", "write a IS NULL OR b IS NULL for (a + b) IS NULL"
            )
        return _Placed(IsNull(operand.node), operand.offset, operand.end)

    def _integer(self, placed: _Placed) -> _Placed:
        found = type_of(placed.node)
        if found is not ValueType.INTEGER:
            raise _wrong_type(placed, found, ValueType.INTEGER)
        return placed

    def _condition(self, placed: _Placed) -> _Placed:
        found = type_of(placed.node)
        if found is not ValueType.BOOLEAN:
            raise _wrong_type(placed, found, ValueType.BOOLEAN)
        self.refuse_constant(placed)
        return placed

    def _refuse_unlike(self, left: _Placed, right: _Placed, *, orders: bool) -> None:
        """Refuse a comparison of two types, an order of booleans, and booleans that are conditions."""
        types = type_of(left.node), type_of(right.node)
        if types[0] is not types[1]:
            raise ExpressionError(
                f"{_ARTICLES[types[0]]} cannot be compared with {_ARTICLES[types[1]]}",
                left.offset,
                right.end - left.offset,
                _comparison_fix(left.node, right.node) or _comparison_fix(right.node, left.node),
            )
        if types[0] is ValueType.BOOLEAN:
            if orders:
                raise left.error("booleans have no order", "use = or <>, or the name on its own")
            for side in (left, right):
                if not isinstance(side.node, Name | Literal):
                    raise side.error("a condition cannot be compared", "join conditions with AND, OR and NOT")


_ARTICLES = {
    ValueType.BOOLEAN: "a boolean",
    ValueType.INTEGER: "an integer",
    ValueType.STRING: "a string",
}


def _wrong_type(placed: _Placed, found: ValueType, expected: ValueType) -> ExpressionError:
    due = "a condition" if expected is ValueType.BOOLEAN else _ARTICLES[expected]
    fix = None
    if expected is ValueType.BOOLEAN and isinstance(placed.node, Name):
        value = ">= 1" if found is ValueType.INTEGER else "= 'value'"
        fix = f"compare it: {placed.node.name} {value}"
    return placed.error(f"{due} is due here, and this is {_ARTICLES[found]}", fix)


def _comparison_fix(named: Node, constant: Node) -> str | None:
    """Say how to write a constant so that it can be compared with a name of another type."""
    if not (isinstance(named, Name) and isinstance(constant, Literal)):
        return None
    value = constant.value
    match named.type:
        case ValueType.STRING:
            content = str(value).lower() if isinstance(value, bool) else value
            return f"{named.name} is a string: write '{content}'"
        case ValueType.INTEGER if isinstance(value, str) and value.isdecimal():
            return f"{named.name} is an integer: write {value} without quotes"
        case ValueType.BOOLEAN:
            return f"{named.name} is a boolean: write {named.name} or NOT {named.name}"
        case _:
            return None
