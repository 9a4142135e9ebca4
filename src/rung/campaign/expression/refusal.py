"""What people write out of habit, why it is not available, and what to write instead."""

from __future__ import annotations

_DIVISION = "division is not available, since its rounding would be a guess"
_DIVISION_FIX = "multiply the other side instead: a >= b * 2 for a / 2 >= b"
_OPERATORS = {
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
_WORDS: dict[str, tuple[str, str | None]] = {
    "DIV": (_DIVISION, _DIVISION_FIX),
    "LIKE": ("LIKE is not available", "list the values: name IN ('a', 'b')"),
    "ILIKE": ("ILIKE is not available", "list the values: name IN ('a', 'b')"),
    "CASE": ("CASE is not available", "join conditions with AND and OR"),
    "SELECT": ("queries are not available in an expression", None),
}


def refusal(written: str) -> tuple[str, str | None] | None:
    """Return the reason and the fix for an operator or a word that is known not to be available."""
    return _OPERATORS.get(written) or _WORDS.get(written.upper())
