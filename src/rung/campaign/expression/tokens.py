"""The words of an expression, each with its place, and the order in which they may stand.

sqlglot splits the text and builds the tree. What it would read more freely than the grammar (another
quote, a comment, an alias, a chained comparison) is refused here first, where its place is known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NoReturn

from sqlglot.errors import TokenError
from sqlglot.tokens import Token, Tokenizer, TokenType

from rung.campaign.expression.node import ExpressionError

LENGTH_MAX = 8_192
"""The longest expression, in characters."""

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
_ARITHMETIC = {TokenType.PLUS, TokenType.DASH, TokenType.STAR}
_VALUES = {TokenType.NUMBER, TokenType.STRING, TokenType.TRUE, TokenType.FALSE}

_DIVISION = "division is not available, since its rounding would be a guess"
_DIVISION_FIX = "multiply the other side instead: a >= b * 2 for a / 2 >= b"
_REFUSED_TEXTS = {
    "/": (_DIVISION, _DIVISION_FIX),
    "%": ("remainder (%) is not available", "the operators are + - * = <> < <= > >="),
    "==": ("`==` is not an SQL operator", "write = to compare"),
    "&&": ("`&&` is not an SQL operator", "write AND"),
    "||": ("`||` is not available", "write OR to join conditions"),
    "&": ("`&` is not available", "write AND to join conditions"),
    "|": ("`|` is not available", "write OR to join conditions"),
    "!": ("`!` is not an SQL operator", "write NOT"),
    ";": ("`;` ends the expression: one expression is due", "join conditions with AND or OR"),
}
_REFUSED_WORDS = {
    "DIV": (_DIVISION, _DIVISION_FIX),
    "LIKE": ("LIKE is not available", "list the values: name IN ('a', 'b')"),
    "ILIKE": ("ILIKE is not available", "list the values: name IN ('a', 'b')"),
    "CASE": ("CASE is not available", "join conditions with AND and OR"),
    "SELECT": ("queries are not available in an expression", None),
}


class Kind(Enum):
    """What a word is to the grammar."""

    NAME = auto()
    NUMBER = auto()
    STRING = auto()
    BOOLEAN = auto()


@dataclass(frozen=True, slots=True)
class Leaf:
    """A name or a constant, with its place in the text; `text` is a string's content."""

    kind: Kind
    text: str
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class Words:
    """An expression that follows the grammar: its leaves in order, and what sqlglot is to parse."""

    leaves: tuple[Leaf, ...]
    tokens: list[Token]


def split(text: str) -> Words:
    """Split an expression and check the order of its words.

    Raises:
        ExpressionError: the text is outside the grammar.
    """
    if len(text) > LENGTH_MAX:
        raise ExpressionError(
            f"an expression has at most {LENGTH_MAX} characters, this one has {len(text)}", LENGTH_MAX, 1
        )
    _refuse_quotes_and_comments(text)
    try:
        tokens = Tokenizer().tokenize(text)
    except TokenError as error:  # Quotes are balanced, so this is a form that the grammar lacks.
        raise ExpressionError("this is not an SQL expression", 0, len(text)) from error
    if not tokens:
        raise ExpressionError("the expression is empty", 0, 0)
    return _Grammar(text, tokens).check()


def _refuse_quotes_and_comments(text: str) -> None:
    index = 0
    while index < len(text):
        if text[index] == "'":
            closing = _closing_quote(text, index)
            for place in range(index, closing):
                if not (text[place].isprintable() or text[place] in "\u00a0\u3000"):
                    raise ExpressionError("a string cannot hold a control character", place, 1)
            index = closing
        elif text[index] in "\"`":
            quote = text[index]
            closing = text.find(quote, index + 1)
            inner = text[index + 1 : closing] if closing > 0 else ""
            raise ExpressionError(
                "a string is written in single quotes, a name without quotes",
                index,
                max(1, closing - index + 1),
                f"write '{inner}' for a string" if inner else None,
            )
        elif text.startswith(("--", "/*"), index):
            raise ExpressionError(
                "comments are not available in an expression",
                index,
                2,
                "a comment belongs in the YAML, after #" if text[index] == "/" else "for two minus signs: a - -b",
            )
        index += 1


def _closing_quote(text: str, opening: int) -> int:
    index = opening + 1
    while True:
        closing = text.find("'", index)
        if closing < 0:
            raise ExpressionError(
                "this string has no closing quote",
                opening,
                len(text) - opening,
                "a quote inside a string is written twice: 'it''s'",
            )
        if not text.startswith("''", closing):
            return closing
        index = closing + 2


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
        if kind in _COMPARISONS and self.text[token.start : token.end + 1] not in _REFUSED_TEXTS:
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
        if not self._is_word(token) or token.text.upper() in _REFUSED_WORDS:
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
        written = self.text[token.start : token.end + 1]
        is_name = re.fullmatch(r"[^\W\d]\w*", written) is not None and token.text == written
        return is_name and token.token_type not in _KEYWORDS

    def _refuse(self, token: Token, due: str) -> NoReturn:
        written = self.text[token.start : token.end + 1]
        refused = _REFUSED_TEXTS.get(written) or _REFUSED_WORDS.get(written.upper())
        if refused is not None:
            raise _error(refused[0], token, refused[1])
        raise _error(f"{written} is unexpected: {due} is due", token)


def _identifier(token: Token) -> Token:
    """Return a name as sqlglot reads a quoted one: never as a keyword of some dialect."""
    return Token(TokenType.IDENTIFIER, token.text, token.line, token.col, token.start, token.end)


def _error(message: str, token: Token, suggestion: str | None = None) -> ExpressionError:
    return ExpressionError(message, token.start, token.end + 1 - token.start, suggestion)
