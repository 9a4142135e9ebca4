"""The settings: every section and key of rung.toml with its type, limits, default and variable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import dedent
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from docs.generator.markdown import block, code, page, table
from rung.sections import SECTIONS
from rung.settings import FILE_NAME, HOME_VARIABLE


def settings_page() -> str:
    """Return the page."""
    return page(
        "Settings",
        "For operators: everything that a home can be told, and what it does if it is told nothing.",
        f"Settings stand in `HOME/{FILE_NAME}`, which `rung init` writes with every setting explained. A "
        "variable overrides a line of the file. An unknown setting, or one out of its limits, is refused "
        f"with its place. `{HOME_VARIABLE}` names the home itself, as `--home` does.",
        *(part for name, struct in SECTIONS.items() for part in _section(name, struct)),
    )


def _section(name: str, struct: type[Struct]) -> Iterator[str]:
    yield f"## [{name}]"
    yield " ".join((struct.__doc__ or "").split())
    hints = get_type_hints(struct, include_extras=True)
    rows: list[tuple[str, ...]] = []
    tables: list[str] = []
    for field in msgspec.structs.fields(struct):
        kind, meta = _declared(hints[field.name])
        description = (meta.description or "").strip("\n")
        if get_origin(kind) is Mapping:
            first, _, example = description.partition("\n")
            tables += [f"### [{name}.{field.name}]", first, block("toml", dedent(example))]
            continue
        default = msgspec.json.encode(field.default).decode()
        variable = f"RUNG_{name}_{field.name}".upper().replace(".", "_")
        rows.append((code(field.name), description, _limits(kind, meta), code(default), code(variable)))
    if rows:
        yield table(("key", "meaning", "value", "default", "variable"), rows)
    yield from tables


def _declared(hint: Any) -> tuple[Any, Meta]:
    """Return the type of a setting and what is said of it."""
    kind, *said = get_args(hint)
    return kind, next(meta for meta in said if isinstance(meta, Meta))


def _limits(kind: Any, meta: Meta) -> str:
    if meta.pattern:
        return f"{_kind(kind)} like {code(meta.pattern)}"
    bounds = {"at least": meta.ge, "above": meta.gt, "at most": meta.le, "below": meta.lt}
    said = [f"{words} {bound:,}" for words, bound in bounds.items() if bound is not None]
    return ", ".join((_kind(kind), *said))


def _kind(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(code(f'"{word}"') for word in get_args(kind))
    if get_origin(kind) is tuple:
        return f"list of {_kind(get_args(kind)[0])}; in a variable, with commas between"
    return _KINDS[kind]


_KINDS: Mapping[Any, str] = {int: "whole number", float: "number", str: "text", bool: "true or false"}
