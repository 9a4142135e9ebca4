"""YAML text as a tree in which everything is text and has its place.

Nothing is guessed: `on`, `no`, `0.5` and `2020-04` are the text that was written. One document of
mappings, lists and texts is all there is; anchors, aliases, tags and merges are refused, so that
what is read is what stands on the page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, cast

import yaml

BYTES_MAX = 256 * 1024
"""The largest spec, in bytes of UTF-8."""

DEPTH_MAX = 16
"""The most mappings and lists within one another."""


class DocumentError(ValueError):
    """The text is not one plain YAML document; `line` and `column` start at 1."""

    def __init__(self, message: str, line: int, column: int, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.suggestion = suggestion


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar. `written` is how it stands on the page, quotes included."""

    value: str
    line: int
    column: int
    written: str

    @property
    def is_plain(self) -> bool:
        """Whether it was written without quotes."""
        return self.written == self.value

    def place(self, offset: int) -> tuple[int, int]:
        """Return the line and column of one character of the value (or of its end)."""
        index = _index_written(self.value, self.written, offset)
        lines = self.written[:index].split("\n")
        return self.line + len(lines) - 1, len(lines[-1]) + (self.column if len(lines) == 1 else 1)


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping; its keys may still repeat."""

    entries: tuple[tuple[Text, Node], ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Listing:
    """A list."""

    items: tuple[Node, ...]
    line: int
    column: int


Node: TypeAlias = Text | Table | Listing


def read(text: str) -> Node:
    """Read a YAML document.

    Raises:
        DocumentError: the text is too large, is not YAML, or is more than one plain document.
    """
    size_bytes = len(text.encode("utf-8", "surrogatepass"))
    if size_bytes > BYTES_MAX:
        raise DocumentError(f"a spec has at most {BYTES_MAX} bytes, this one has {size_bytes}", 1, 1)
    try:
        events: list[yaml.Event] = list(_plain_events(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        raise DocumentError(f"this is not YAML: {error.problem}", line, column) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position].split("\n")
        raise DocumentError(
            f"the character U+{ord(text[error.position]):04X} is not available in YAML",
            len(before),
            len(before[-1]) + 1,
        ) from error
    if not events:
        raise DocumentError("the spec is empty", 1, 1, "start with campaign: NAME")
    return _node(iter(events), text)


def _plain_events(text: str) -> Iterator[yaml.Event]:
    """Yield the events of the one document's nodes and refuse what is not plain."""
    depth = 0
    documents = 0
    parse = cast("Callable[..., Iterator[yaml.Event]]", yaml.parse)  # pyright: ignore[reportUnknownMemberType]
    for event in parse(text, Loader=yaml.SafeLoader):
        refusal = None
        match event:
            case yaml.DocumentStartEvent():
                documents += 1
                if documents > 1:
                    refusal = ("a spec is one document, and another one starts here", "remove the ---")
            case yaml.AliasEvent():
                refusal = ("aliases (*) are not available in a spec", "write the value out")
            case yaml.NodeEvent() if event.anchor is not None:
                refusal = ("anchors (&) are not available in a spec", "write the value where it is used")
            case yaml.ScalarEvent() | yaml.CollectionStartEvent() if event.tag is not None:
                refusal = ("tags (!) are not available in a spec", "remove the tag")
            case _:
                pass
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX:
            refusal = (f"a spec is nested at most {DEPTH_MAX} deep", None)
        if refusal is not None:
            line, column, _, _ = _span(event)
            raise DocumentError(refusal[0], line, column, refusal[1])
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            yield event


def _node(events: Iterator[yaml.Event], text: str) -> Node:
    return _node_of(next(events), events, text)


def _node_of(event: yaml.Event, events: Iterator[yaml.Event], text: str) -> Node:
    line, column, start, end = _span(event)
    match event:
        case yaml.ScalarEvent():
            return Text(event.value, line, column, text[start:end])
        case yaml.SequenceStartEvent():
            items: list[Node] = []
            while not isinstance(event := next(events), yaml.SequenceEndEvent):
                items.append(_node_of(event, events, text))
            return Listing(tuple(items), line, column)
        case _:
            entries: list[tuple[Text, Node]] = []
            while not isinstance(event := next(events), yaml.MappingEndEvent):
                key = _node_of(event, events, text)
                if not isinstance(key, Text):
                    raise DocumentError("a key is a text", key.line, key.column)
                entries.append((key, _node(events, text)))
            return Table(tuple(entries), line, column)


def _span(event: yaml.Event) -> tuple[int, int, int, int]:
    """Return the line and column (from 1) where an event starts, and the indexes of its two ends."""
    start, end = event.start_mark, event.end_mark
    assert start is not None, "an event that is read from a text has its place"
    assert end is not None
    return start.line + 1, start.column + 1, start.index, end.index


_ESCAPE_LENGTHS = {"x": 4, "u": 6, "U": 10}


def _index_written(value: str, written: str, offset: int) -> int:
    """Return where one character of a scalar's value stands in what was written.

    White space may have been folded, so only the other characters are matched, one by one.
    """
    quote = written[:1] if written[:1] in ("'", '"') else ""
    index = len(quote)
    if written[:1] in ("|", ">"):
        index = written.find("\n") + 1
    for position, character in enumerate(value):
        if not character.isspace():
            while written[index : index + 1].isspace() or written[index : index + 2] == "\\\n":
                index += 1
        if position == offset:
            return index
        if quote == '"' and written[index : index + 1] == "\\":
            index += _ESCAPE_LENGTHS.get(written[index + 1 : index + 2], 2)
        elif quote == "'" and character == "'":
            index += 2
        else:
            # A blank in the value may be a fold on the page, whose rest is passed over above.
            index += 1
    return min(index, len(written))
