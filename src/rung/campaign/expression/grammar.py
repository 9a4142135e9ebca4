"""The order in which the words of an expression may stand.

What sqlglot would read more freely than the grammar (an alias, a chained comparison, a dialect's
keyword) is refused here, where its place is known; sqlglot then builds the tree of what is left.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import NoReturn

from sqlglot.tokenizer_core import Token, TokenType

from rung.campaign.expression.node import ExpressionError
from rung.campaign.expression.refusal import refusal
from rung.campaign.expression.words import Kind, Leaf, Words

DEPTH_MAX = 16
"""The most parentheses, NOTs and unary minuses that may be open at one place."""

ARITHMETIC_OPERATORS_MAX = 64
"""The most `+`, `-` and `*` of one expression."""

_KEYWORDS = {
    TokenType.AND,
    TokenType.OR,
    TokenType.NOT,
    TokenType.IN,
    TokenType.BETWEEN,
    TokenType.IS,
    TokenType.NULL,
    TokenType.TRUE,
    TokenType.FALSE,
}
_COMPARISONS = {
    TokenType.EQ,
    TokenType.NEQ,
    TokenType.LT,
    TokenType.LTE,
    TokenType.GT,
    TokenType.GTE,
}
# As many as the greatest integer has.
_DIGITS_MAX = 19
_ARITHMETIC = {TokenType.PLUS, TokenType.DASH, TokenType.STAR}
_VALUES = {TokenType.NUMBER, TokenType.STRING, TokenType.TRUE, TokenType.FALSE}


def check(text: str, tokens: list[Token]) -> Words:
    """Check the order of an expression's tokens, of which there is at least one.

    Raises:
        ExpressionError: a token is not what is due in its place.
    """
    return _Grammar(text, tokens).check()


class _Due(Enum):
    """What may follow; a NOT only where a condition starts."""

    CONDITION = "a condition"
    OPERAND = "a name, a value or ("
    OPERATOR = "an operator (= <> < <= > >= IN BETWEEN IS AND OR + - *)"


@dataclass(slots=True)
class _Level:
    """What is open within one pair of parentheses; `depth` is what was open around it."""

    opened: Token | None
    depth: int
    nots: int = 0
    minuses: int = 0
    compared: bool = False
    between: Token | None = None


@dataclass(slots=True)
class _Grammar:
    """Takes the tokens one by one and says what was due where one does not fit."""

    text: str
    given: list[Token]
    index: int = 0
    arithmetic: int = 0
    levels: list[_Level] = field(default_factory=lambda: [_Level(None, 0)])
    leaves: list[Leaf] = field(default_factory=list[Leaf])
    tokens: list[Token] = field(default_factory=list[Token])

    def check(self) -> Words:
        due = _Due.CONDITION
        while self.index < len(self.given):
            token = self._take(due)
            if refusal(self._written(token)) is not None:
                self._refuse(token, due.value)
            due = self._operator(token) if due is _Due.OPERATOR else self._operand(token, due)
        if due is not _Due.OPERATOR:
            self._take(due)
        level = self.levels[-1]
        if level.opened is not None:
            raise _error("this ( has no closing )", level.opened)
        self._finish_between(level)
        return Words(tuple(self.leaves), self.tokens)

    def _operand(self, token: Token, due: _Due) -> _Due:
        level = self.levels[-1]
        match token.token_type:
            case TokenType.L_PAREN:
                self.levels.append(_Level(token, level.depth + level.nots + level.minuses + 1))
                following = _Due.CONDITION
            case TokenType.NOT if due is _Due.CONDITION:
                level.nots += 1
                following = due
            case TokenType.NOT:
                raise _error("NOT belongs in front of a whole condition", token, "write <> for NOT =")
            case TokenType.DASH:
                level.minuses += 1
                following = _Due.OPERAND
            case TokenType.NULL:
                raise _error("NULL is only available as IS NULL and IS NOT NULL", token)
            case TokenType.NUMBER | TokenType.STRING | TokenType.TRUE | TokenType.FALSE:
                level.minuses = 0
                self._value(token)
                return _Due.OPERATOR
            case _:
                level.minuses = 0
                self._name(token, due)
                return _Due.OPERATOR
        level = self.levels[-1]
        if level.depth + level.nots + level.minuses > DEPTH_MAX:
            raise _error(f"the expression is nested more than {DEPTH_MAX} deep", token)
        self.tokens.append(token)
        return following

    def _operator(self, token: Token) -> _Due:
        level = self.levels[-1]
        kind = token.token_type
        if kind is TokenType.R_PAREN:
            self._close(token)
            return _Due.OPERATOR
        if kind in _ARITHMETIC:
            self.arithmetic += 1
            if self.arithmetic > ARITHMETIC_OPERATORS_MAX:
                raise _error(f"an expression has at most {ARITHMETIC_OPERATORS_MAX} of + - *", token)
            self.tokens.append(token)
            return _Due.OPERAND
        if kind is TokenType.AND and level.between is not None:
            level.between = None
            self.tokens.append(token)
            return _Due.OPERAND
        if kind in (TokenType.AND, TokenType.OR):
            self._finish_between(level)
            level.compared = False
            level.nots = 0
            self.tokens.append(token)
            return _Due.CONDITION
        if kind in _COMPARISONS:
            self._start_comparison(token, level)
            return _Due.OPERAND
        return self._predicate(token, level)

    def _predicate(self, token: Token, level: _Level) -> _Due:
        """Read [NOT] IN (...), [NOT] BETWEEN or IS [NOT] NULL."""
        kind = token.token_type
        if kind is TokenType.IS:
            self._start_comparison(token, level)
            self._null()
            return _Due.OPERATOR
        if kind is TokenType.NOT:
            self.tokens.append(token)
            token = self._take(_Due.OPERATOR)
            kind = token.token_type
            if kind not in (TokenType.IN, TokenType.BETWEEN):
                self._refuse(token, "IN or BETWEEN")
        if kind is TokenType.IN:
            self._start_comparison(token, level)
            self._list()
            return _Due.OPERATOR
        if kind is TokenType.BETWEEN:
            self._start_comparison(token, level)
            level.between = token
            return _Due.OPERAND
        self._refuse(token, _Due.OPERATOR.value)
        return None

    def _start_comparison(self, token: Token, level: _Level) -> None:
        self._finish_between(level)
        if level.compared:
            raise _error("comparisons cannot be chained", token, "write a < b AND b < c for a < b < c")
        level.compared = True
        self.tokens.append(token)

    def _finish_between(self, level: _Level) -> None:
        if level.between is not None:
            raise _error("BETWEEN needs two bounds", level.between, "write name BETWEEN low AND high")

    def _close(self, token: Token) -> None:
        level = self.levels.pop()
        if level.opened is None:
            raise _error("this ) has no opening (", token)
        self._finish_between(level)
        self.levels[-1].minuses = 0
        self.tokens.append(token)

    def _null(self) -> None:
        token = self._take(_Due.OPERAND, "NULL or NOT NULL")
        if token.token_type is TokenType.NOT:
            self.tokens.append(token)
            token = self._take(_Due.OPERAND, "NULL")
        if token.token_type is not TokenType.NULL:
            raise _error(
                "IS is only available as IS NULL and IS NOT NULL", token, "write = or <> to compare values"
            )
        self.tokens.append(token)

    def _list(self) -> None:
        opening = self._take(_Due.OPERAND, "( and a list of values")
        if opening.token_type is not TokenType.L_PAREN:
            self._refuse(opening, "( and a list of values")
        self.tokens.append(opening)
        while True:
            token = self._take(_Due.OPERAND, "a value")
            if token.token_type is TokenType.DASH:
                self.tokens.append(token)
                token = self._take(_Due.OPERAND, "a number")
                if token.token_type is not TokenType.NUMBER:
                    self._refuse(token, "a number")
            if token.token_type is TokenType.NULL:
                raise _error("NULL is never found in a list", token, "add OR name IS NULL")
            if token.token_type not in _VALUES:
                self._refuse(token, "a value (an integer, a 'string', TRUE or FALSE)")
            self._value(token)
            separator = self._take(_Due.OPERAND, ", or )")
            self.tokens.append(separator)
            if separator.token_type is TokenType.R_PAREN:
                return
            if separator.token_type is not TokenType.COMMA:
                self._refuse(separator, ", or )")

    def _value(self, token: Token) -> None:
        kind = Kind.BOOLEAN
        if token.token_type is TokenType.NUMBER:
            kind = Kind.NUMBER
            self._refuse_other_number(token.start, token.end + 1)
        elif token.token_type is TokenType.STRING:
            kind = Kind.STRING
        self.leaves.append(Leaf(kind, token.text, token.start, token.end + 1))
        self.tokens.append(token)

    def _refuse_other_number(self, start: int, end: int) -> None:
        while end < len(self.text) and (self.text[end].isalnum() or self.text[end] in "_."):
            end += 1
        written = self.text[start:end]
        if re.fullmatch(r"[0-9]+", written):
            if len(written) > _DIGITS_MAX:
                raise ExpressionError(f"an integer has at most {_DIGITS_MAX} digits", start, end - start)
            return
        if re.fullmatch(r"[0-9]*\.[0-9]*", written):
            raise ExpressionError(
                f"{written} is not an integer",
                start,
                end - start,
                "amounts are integers in minor units: 1000 pence, not 10.00",
            )
        raise ExpressionError(f"{written} is not an integer", start, end - start, "write digits only")

    def _name(self, token: Token, due: _Due) -> None:
        if token.token_type is TokenType.DOT and self._next_is(TokenType.NUMBER):
            self._refuse_other_number(token.start, token.end + 1)
        if not self._is_word(token):
            self._refuse(token, due.value)
        if self._next_is(TokenType.L_PAREN):
            raise _error(
                f"functions are not available: {token.text}(...)",
                token,
                "count, sum and distinct are kinds of measures",
            )
        name, end = token.text, token.end + 1
        self.tokens.append(_identifier(token))
        while self._next_is(TokenType.DOT):
            self.tokens.append(self._take(due))
            part = self._take(due, "a name")
            if not self._is_word(part):
                self._refuse(part, "a name")
            name, end = f"{name}.{part.text}", part.end + 1
            self.tokens.append(_identifier(part))
        self.leaves.append(Leaf(Kind.NAME, name, token.start, end))

    def _take(self, due: _Due, what: str | None = None) -> Token:
        if self.index == len(self.given):
            last = self.given[-1]
            raise ExpressionError(f"the text ends where {what or due.value} is due", last.end + 1, 1)
        self.index += 1
        return self.given[self.index - 1]

    def _next_is(self, kind: TokenType) -> bool:
        return self.index < len(self.given) and self.given[self.index].token_type is kind

    def _is_word(self, token: Token) -> bool:
        written = self._written(token)
        is_name = re.fullmatch(r"[^\W\d]\w*", written) is not None and token.text == written
        return is_name and token.token_type not in _KEYWORDS

    def _written(self, token: Token) -> str:
        return self.text[token.start : token.end + 1]

    def _refuse(self, token: Token, due: str) -> NoReturn:
        written = self._written(token)
        refused = refusal(written)
        if refused is not None:
            raise _error(refused[0], token, refused[1])
        raise _error(f"{written} is unexpected: {due} is due", token)


def _identifier(token: Token) -> Token:
    """Return a name as sqlglot reads a quoted one: never as a keyword of some dialect."""
    return Token(TokenType.IDENTIFIER, token.text, token.line, token.col, token.start, token.end)


def _error(message: str, token: Token, suggestion: str | None = None) -> ExpressionError:
    return ExpressionError(message, token.start, token.end + 1 - token.start, suggestion)
