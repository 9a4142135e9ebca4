"""Attributes of transactions and users: canonical form, digest and declared types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import xxhash

from rung.campaign.model import AttributeType

INTEGER_MAX: Final = 2**53
"""The largest magnitude of an integer attribute: every JSON reader keeps it exact (RFC 8259, 6)."""

_NAMES: Final[Mapping[type[object], str]] = {
    bool: "a boolean",
    int: "an integer",
    str: "a string",
    float: "a decimal number",
}


class BadAttributes(ValueError):
    """Attributes that cannot be read as declared; the text names the attribute and what is due."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """One set of attributes: its declared values (None where absent), all of it as text, and its digest."""

    values: Mapping[str, bool | int | str | None]
    text: bytes
    digest: int


def read_attributes(text: bytes, declared: Mapping[str, AttributeType], place: str) -> Attributes:
    """Read a JSON object of attributes.

    Its text has sorted names and no nulls, undeclared attributes included, and the digest is XXH3-64 over
    that: equal sets have equal digests however they are written.

    Raises:
        BadAttributes: not an object, or a declared attribute has a value of another type.
    """
    found = read_object(text, place)
    values = {
        name: declared_value(found.get(name), kind, f"{place}.{name}") for name, kind in declared.items()
    }
    text = canonical_text(found)
    return Attributes(values, text, attributes_digest(text))


def known_attributes(text: bytes, declared: Mapping[str, AttributeType]) -> Attributes:
    """Read a `canonical_text` of attributes that were told before they were declared.

    A value that is not of its declared type is unknown, as an absent one is.
    """
    found = read_object(text, "attributes")
    values = {name: known_value(found.get(name), kind) for name, kind in declared.items()}
    return Attributes(values, text, attributes_digest(text))


def known_value(value: object, kind: AttributeType) -> bool | int | str | None:
    """Return a value that is of its declared type, or None."""
    try:
        return declared_value(value, kind, "")
    except BadAttributes:
        return None


def canonical_text(values: Mapping[str, object]) -> bytes:
    """Return attributes as JSON that is the same for equal attributes: names sorted, no blanks."""
    return msgspec.json.encode(values, order="deterministic")


def attributes_digest(text: bytes) -> int:
    """Return the 64-bit digest of a `canonical_text`."""
    return xxhash.xxh3_64_intdigest(text)


def read_object(text: bytes, place: str) -> dict[str, object]:
    """Read a JSON object without its nulls; no text, or null, is the empty object.

    Raises:
        BadAttributes: the text is not an object.
    """
    found: object = msgspec.json.decode(text) if text else None
    if found is None:
        return {}
    if not isinstance(found, dict):
        message = f"{place}: expected an object"
        raise BadAttributes(message)
    return {name: value for name, value in found.items() if value is not None}  # pyright: ignore[reportUnknownVariableType]


def declared_value(value: object, kind: AttributeType, place: str) -> bool | int | str | None:
    """Return a value that is of its declared type, or None where there is none.

    Raises:
        BadAttributes: the value has another type, or is an integer beyond 2^53.
    """
    match value, kind:
        case None, _:
            return None
        case bool(), AttributeType.BOOLEAN:
            return value
        case str(), AttributeType.STRING:
            return value
        case int(), AttributeType.INTEGER if not isinstance(value, bool):
            if abs(value) <= INTEGER_MAX:
                return value
            message = f"{place}: expected an integer within ±2^53, got {value}"
        case _:
            got = _NAMES.get(type(value), "an array or object")
            article = "an" if kind is AttributeType.INTEGER else "a"
            message = f"{place}: expected {article} {kind.value} as declared, got {got}"
    raise BadAttributes(message)
