"""Reads the fields of a spec and collects every error on the way.

Each method returns None (or what could be read) after noting an error, so that reading goes on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from typing import TypeVar

from rung.campaign.expression import Expression, ExpressionError, UnknownName, ValueType, parse
from rung.campaign.spec.document import Listing, Node, Table, Text
from rung.campaign.spec.errors import SpecError
from rung.campaign.spec.reserved import OWN_NAMES, SQL_KEYWORDS, YAML_CONSTANTS

NAME_LENGTH_MAX = 64
"""The longest name, in characters."""

PERCENT_MAX = 1000
"""The greatest rate, in percent."""

_LABEL = re.compile(r"[a-z][a-z0-9-]*")
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
_NAMES_SHOWN_MAX = 12

Choice = TypeVar("Choice", bound=StrEnum)


class Reader:
    """The errors of one spec so far, and the means to read its fields."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[SpecError] = []
        self.undeclared: set[str] = set()
        """Names whose declaration has an error; that they are unknown is not a second error."""
        self.declarations_unreadable = False
        """Whether there are names that could not even be read."""

    def error(self, line: int, column: int, message: str, suggestion: str | None = None) -> None:
        """Note an error at a place."""
        self.errors.append(SpecError(self.file, line, column, message, suggestion))

    def error_at(self, node: Node, message: str, suggestion: str | None = None) -> None:
        """Note an error at a node."""
        self.error(node.line, node.column, message, suggestion)

    def fields(
        self, node: Node, what: str, required: Mapping[str, str], optional: Iterable[str] = ()
    ) -> Mapping[str, Node]:
        """Return a mapping's values by their keys, which must be the given ones.

        `required` gives an example of what to write for each key that must be there.
        """
        known = (*required, *optional)
        fields: dict[str, Node] = {}
        misspelt: set[str] = set()
        for key, value in self.entries(node, what):
            if key.value in known:
                fields[key.value] = value
            else:
                self.error_at(key, f"{what} has no key {key.value}", did_you_mean(key.value, known))
                misspelt.update(closest(key.value, known))
        if isinstance(node, Table):
            for key, example in required.items():
                if key not in fields and key not in misspelt:
                    self.error_at(node, f"{what} lacks {key}", f"add {key}: {example}")
        return fields

    def entries(self, node: Node, what: str) -> tuple[tuple[Text, Node], ...]:
        """Return a mapping's entries without repeated keys."""
        if not isinstance(node, Table):
            self.error_at(node, f"{what} is a mapping (key: value)")
            return ()
        first: dict[str, tuple[Text, Node]] = {}
        for key, value in node.entries:
            if key.value in first:
                line = first[key.value][0].line
                self.error_at(key, f"{key.value} is given twice", f"it is on line {line} already")
            else:
                first[key.value] = (key, value)
        return tuple(first.values())

    def items(self, node: Node, what: str, count_max: int) -> tuple[Node, ...]:
        """Return a list's items."""
        if not isinstance(node, Listing):
            self.error_at(node, f"{what} is a list (- item)")
            return ()
        if len(node.items) > count_max:
            self.error_at(node.items[count_max], f"{what} has at most {count_max} items")
        return node.items[:count_max]

    def text(self, node: Node, what: str) -> Text | None:
        """Return a text that is not empty."""
        if not isinstance(node, Text):
            self.error_at(
                node, f"{what} is a text, not a {'list' if isinstance(node, Listing) else 'mapping'}"
            )
            return None
        if not node.value:
            self.error_at(node, f"{what} is empty")
            return None
        return node

    def label(self, node: Node, what: str) -> str | None:
        """Return the name of a campaign or step."""
        text = self.text(node, what)
        if text is None or not self._is_text(text):
            return None
        return text.value if self._matches(text, what, _LABEL, "letters a-z, digits and hyphens") else None

    def identifier(self, key: Text, what: str) -> str | None:
        """Return the name of a measure or attribute."""
        if not self._matches(key, what, _IDENTIFIER, "letters a-z, digits and underscores"):
            return None
        if key.value in OWN_NAMES or key.value in SQL_KEYWORDS:
            meaning = "a name of its own" if key.value in OWN_NAMES else "an SQL keyword"
            self.error_at(key, f"{key.value} cannot be {what}: it is {meaning}", "choose another name")
            return None
        return key.value

    def choice(self, node: Node, what: str, choices: type[Choice]) -> Choice | None:
        """Return one of an enumeration's values."""
        text = self.text(node, what)
        if text is None:
            return None
        values = [choice.value for choice in choices]
        if text.value in values:
            return choices(text.value)
        self.error_at(text, f"{what} cannot be {text.value}", did_you_mean(text.value, values))
        return None

    def integer(self, node: Node, what: str, least: int, greatest: int) -> int | None:
        """Return an integer within bounds."""
        text = self.text(node, what)
        if text is None:
            return None
        if not re.fullmatch(r"0|[1-9][0-9]{0,17}", text.value) or not least <= int(text.value) <= greatest:
            self.error_at(text, f"{what} is an integer from {least} to {greatest}, not {text.value}")
            return None
        return int(text.value)

    def percent(self, node: Node, what: str) -> Decimal | None:
        """Return a rate: an exact decimal, without trailing zeros."""
        text = self.text(node, what)
        if text is None:
            return None
        if not re.fullmatch(r"(0|[1-9][0-9]{0,3})(\.[0-9]{1,4})?", text.value):
            fix = 'at most four decimals and no sign: "0.5"'
            self.error_at(text, f"{what} is a decimal number, not {text.value}", f"write {fix}")
            return None
        rate = Decimal(text.value)
        if rate > PERCENT_MAX:
            self.error_at(text, f"{what} is at most {PERCENT_MAX}, not {text.value}")
            return None
        return Decimal(f"{rate.normalize():f}")

    def expression(
        self, node: Node, what: str, names: Mapping[str, ValueType], expected: ValueType
    ) -> Expression | None:
        """Return an expression; its error stands at the place inside of the text."""
        text = self.text(node, what)
        if text is None:
            return None
        try:
            return parse(text.value, names, expected)
        except ExpressionError as error:
            if not isinstance(error, UnknownName) or self._should_be_known(error.name):
                line, column = text.place(error.offset)
                self.error(line, column, error.message, error.suggestion)
            return None

    def _should_be_known(self, name: str) -> bool:
        """Tell whether a name is unknown for no other error's sake."""
        return not self.declarations_unreadable and name not in self.undeclared

    def _matches(self, text: Text, what: str, pattern: re.Pattern[str], alphabet: str) -> bool:
        if pattern.fullmatch(text.value) is None:
            self.error_at(text, f"{text.value} cannot be {what}", f"{alphabet}, a letter first")
            return False
        if len(text.value) > NAME_LENGTH_MAX:
            self.error_at(text, f"{what} has at most {NAME_LENGTH_MAX} characters")
            return False
        return True

    def _is_text(self, text: Text) -> bool:
        if text.is_plain and text.value.lower() in YAML_CONSTANTS:
            self.error_at(
                text, f"{text.value} is not a text to every reader of YAML", f'write "{text.value}" in quotes'
            )
            return False
        return True


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """Return the known name that is closest to what was written, or the known names."""
    names = list(known)
    for name in closest(written, names):
        return f"did you mean {name}?"
    rest = ", ..." if len(names) > _NAMES_SHOWN_MAX else ""
    return f"known here: {', '.join(names[:_NAMES_SHOWN_MAX])}{rest}"


def closest(written: str, known: Iterable[str]) -> list[str]:
    """Return the known name that is most like what was written, if there is one."""
    folded = {name.casefold(): name for name in known}
    return [folded[name] for name in get_close_matches(written.casefold(), folded, n=1)]
