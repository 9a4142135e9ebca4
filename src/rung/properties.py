"""Properties that are passed on to a library as texts, some of them secret."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias, cast

_SECRET_NAME: Final = re.compile(r"password|secret|key|token|jaas|oauthbearer\.config|assertion")
_SOURCES: Final = frozenset({"file", "env"})


class Secret:
    """A text that is never shown: only `reveal` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text, for whoever has to send it."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


Property: TypeAlias = str | Secret


def revealed(properties: Mapping[str, Property]) -> dict[str, str]:
    """Return properties as the library takes them, secrets among them."""
    return {name: one.reveal() if isinstance(one, Secret) else one for name, one in properties.items()}


def read_properties(
    table: Mapping[str, object], place: str, home: Path, environment: Mapping[str, str], errors: list[str]
) -> dict[str, Property]:
    """Return the properties of a table: texts, and numbers and booleans as texts.

    A name with dots may be written as tables within tables. `{file = "PATH"}`, from `home` on, and
    `{env = "NAME"}` say where a value stands; it is secret then, as it is when the name says so.

    `errors` gets a line for each property without a value; it starts with `place` and shows nothing
    of what was given.
    """
    properties: dict[str, Property] = {}
    for name, given in _flat(table):
        try:
            text = _text(given, home, environment)
        except ValueError as error:
            errors.append(f"{place}.{name}: {error}")
        else:
            is_secret = isinstance(given, dict) or _SECRET_NAME.search(name)
            properties[name] = Secret(text) if is_secret else text
    return properties


def _flat(table: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, dict) and not value.keys() & _SOURCES:
            yield from _flat(cast("dict[str, object]", value), f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _text(value: object, home: Path, environment: Mapping[str, str]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and math.isfinite(value):
        return str(value)
    given = type(value).__name__
    source = cast("dict[str, object]", value if isinstance(value, dict) else {})
    match list(source.items()):
        case [("env", str(name))]:
            if name not in environment:
                raise ValueError(f"the variable {name} is not set")
            return environment[name]
        case [("file", str(name))]:
            try:
                return (home / name).read_text(encoding="utf-8").rstrip("\r\n")
            except OSError as error:
                raise ValueError(f"{home / name}: {error.strerror}") from None
            except UnicodeDecodeError:
                raise ValueError(f"{home / name}: it is not UTF-8") from None
        case _:
            raise ValueError(
                'expected a text, a number, true or false, {file = "PATH"} or {env = "NAME"}, '
                f"got `{given}`"
            )
