"""Splits an expression's text into words.

sqlglot does the splitting. Quotes and comments, which its dialects read in many ways, are refused
here first.
"""

from __future__ import annotations

from sqlglot.tokens import Tokenizer

from rung.campaign.expression.grammar import check
from rung.campaign.expression.node import ExpressionError
from rung.campaign.expression.words import Words

LENGTH_MAX = 8_192
"""The longest expression, in characters."""


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
    tokens = Tokenizer().tokenize(text)
    if not tokens:
        raise ExpressionError("the expression is empty", 0, 0)
    return check(text, tokens)


def _refuse_quotes_and_comments(text: str) -> None:
    index = 0
    while index < len(text):
        if text[index] == "'":
            closing = _closing_quote(text, index)
            for place in range(index, closing):
                if not (text[place].isprintable() or text[place] in "\u00a0\u3000"):
                    raise ExpressionError("a string cannot hold a control character", place, 1)
            index = closing
        elif text[index] in '"`':
            quote = text[index]
            closing = text.find(quote, index + 1)
            inner = text[index + 1 : closing] if closing > 0 else ""
            raise ExpressionError(
                "a string is written in single quotes, a name without quotes",
                index,
                max(1, closing - index + 1),
                f"write '{inner}' for a string" if inner else None,
            )
        elif text.startswith(("--", "/*", "{#"), index):
            raise ExpressionError(
                "comments are not available in an expression",
                index,
                2,
                "for two minus signs: a - -b"
                if text[index] == "-"
                else "a comment belongs in the YAML, after #",
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
