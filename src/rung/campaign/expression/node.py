"""The syntax tree of an expression: small, frozen and hashable, with its canonical text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

Value: TypeAlias = bool | int | str | None
"""What a name or an expression can have as its value; None is NULL."""


class ValueType(StrEnum):
    """The type of a name or an expression."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    STRING = "string"


class ExpressionError(ValueError):
    """An expression is outside the grammar or does not fit the declared names.

    `offset` and `length` are the place in the expression's text, in characters; `suggestion` is
    what to write instead, if that can be told.
    """

    def __init__(self, message: str, offset: int, length: int, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.length = length
        self.suggestion = suggestion


class UnknownName(ExpressionError):
    """A name is not declared."""

    def __init__(self, name: str, offset: int, suggestion: str) -> None:
        super().__init__(f"unknown name {name}", offset, len(name), suggestion)
        self.name = name


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant."""

    value: bool | int | str


@dataclass(frozen=True, slots=True)
class Name:
    """A declared name, `user.` included."""

    name: str
    type: ValueType


@dataclass(frozen=True, slots=True)
class Negate:
    """Minus an integer."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two integers joined by `+`, `-` or `*`."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Compare:
    """Two values of one type joined by `=`, `<>`, `<`, `<=`, `>` or `>=`."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class In:
    """A value is one of some constants of its type."""

    operand: Node
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """A value lies between two others, both included."""

    operand: Node
    low: Node
    high: Node


@dataclass(frozen=True, slots=True)
class IsNull:
    """A name has no value."""

    operand: Name


@dataclass(frozen=True, slots=True)
class Not:
    """A condition's opposite."""

    operand: Node


@dataclass(frozen=True, slots=True)
class And:
    """Two or more conditions, none of which is an And."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Two or more conditions, none of which is an Or."""

    operands: tuple[Node, ...]


Node: TypeAlias = Literal | Name | Negate | Arithmetic | Compare | In | Between | IsNull | Not | And | Or


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression.

    `text` is canonical: equal for two spellings that differ only in white space, in the case of
    keywords, in needless parentheses or in `!=` for `<>`.
    """

    text: str
    type: ValueType
    names: frozenset[str]
    node: Node


def expression_of(node: Node) -> Expression:
    """Return a node as an expression of its own."""
    return Expression(text_of(node), type_of(node), frozenset(name.name for name in names_in(node)), node)


def type_of(node: Node) -> ValueType:
    """Return the type of a node's value."""
    match node:
        case Literal(value):
            if isinstance(value, bool):
                return ValueType.BOOLEAN
            return ValueType.INTEGER if isinstance(value, int) else ValueType.STRING
        case Name():
            return node.type
        case Negate() | Arithmetic():
            return ValueType.INTEGER
        case _:
            return ValueType.BOOLEAN


def names_in(node: Node) -> Iterator[Name]:
    """Yield the names in a node in the order of the text, repeated ones each time."""
    match node:
        case Literal():
            return
        case Name():
            yield node
        case Negate(operand) | Not(operand) | In(operand, _) | IsNull(operand):
            yield from names_in(operand)
        case Arithmetic(_, left, right) | Compare(_, left, right):
            yield from names_in(left)
            yield from names_in(right)
        case Between(operand, low, high):
            yield from names_in(operand)
            yield from names_in(low)
            yield from names_in(high)
        case And(operands) | Or(operands):
            for operand in operands:
                yield from names_in(operand)


def text_of(node: Node) -> str:
    """Return a node's canonical text, with only the parentheses that it needs."""
    match node:
        case Literal(value):
            return literal_text(value)
        case Name(name):
            return name
        case Negate(operand):
            return f"-{_text_within(operand, 8)}"
        case Arithmetic("*", left, right):
            return f"{_text_within(left, 6)} * {_text_within(right, 7)}"
        case Arithmetic(operator, left, right):
            return f"{_text_within(left, 5)} {operator} {_text_within(right, 6)}"
        case Compare(operator, left, right):
            return f"{_text_within(left, 5)} {operator} {_text_within(right, 5)}"
        case In() | Between() | IsNull():
            return _predicate_text(node, "")
        case Not(In() | Between() | IsNull() as operand):
            return _predicate_text(operand, "NOT ")
        case Not(operand):
            return f"NOT {_text_within(operand, 3)}"
        case And(operands):
            return " AND ".join(_text_within(operand, 3) for operand in operands)
        case Or(operands):
            return " OR ".join(_text_within(operand, 2) for operand in operands)


def literal_text(value: bool | int | str) -> str:
    """Return a constant as SQL writes it."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    return "'" + value.replace("'", "''") + "'"


def _predicate_text(node: In | Between | IsNull, negation: str) -> str:
    match node:
        case In(operand, values):
            listed = ", ".join(text_of(value) for value in values)
            return f"{_text_within(operand, 5)} {negation}IN ({listed})"
        case Between(operand, low, high):
            return (
                f"{_text_within(operand, 5)} {negation}BETWEEN "
                f"{_text_within(low, 5)} AND {_text_within(high, 5)}"
            )
        case IsNull(operand):
            return f"{operand.name} IS {negation}NULL"


def _text_within(node: Node, binding_min: int) -> str:
    """Return a node's text, in parentheses if it binds more loosely than its surroundings need."""
    text = text_of(node)
    return text if _binding(node) >= binding_min else f"({text})"


def _binding(node: Node) -> int:
    """Return how tightly a node's outermost operator binds; a greater number is tighter."""
    match node:
        case Or():
            return 1
        case And():
            return 2
        case Not() | Compare() | In() | Between() | IsNull():
            return 3
        case Arithmetic("*", _, _):
            return 6
        case Arithmetic():
            return 5
        case Negate():
            return 7
        case Literal(value):
            # A negative constant is written with a minus, which cannot follow another minus.
            return 7 if isinstance(value, int) and value < 0 else 8
        case Name():
            return 8
