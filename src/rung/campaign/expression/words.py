"""The words of an expression, each with its place in the text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from sqlglot.tokenizer_core import Token


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
