"""The command line: every command with its arguments and options, as its help has them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from typer._click.core import Context
from typer.main import get_command

from docs.generator.markdown import block, code, page, table
from rung.cli.examples import EXAMPLES
from rung.cli.main import COMMANDS, application

_SHARED = {"--home", "--json", "--yes"}


def command_line_page() -> str:
    """Return the page."""
    root: Any = get_command(application(list(COMMANDS)))
    with Context(root, info_name="rung") as context:
        shared = [*_options(root, context), *_shared_options(root, context)]
        parts = [part for name, command in _visible(root) for part in _command(name, command, context)]
    return page(
        "Command line",
        "For everybody who types `rung`: each command with what it takes. `rung COMMAND --help` says the "
        "same.",
        "Most commands take these:",
        table(("option", "meaning"), dict(shared).items()),
        *parts,
    )


def _visible(group: Any) -> list[tuple[str, Any]]:
    return [(name, command) for name, command in group.commands.items() if not command.hidden]


def _command(name: str, command: Any, parent: Context) -> Iterator[str]:
    """Yield the parts about one command, or about each command of a group."""
    with Context(command, info_name=name, parent=parent) as context:
        if hasattr(command, "commands"):
            yield f"## {context.command_path}"
            yield _words(command)
            for inner, member in _visible(command):
                yield from _command(inner, member, context)
            return
        level = "##" if parent.parent is None else "###"
        yield f"{level} {context.command_path}"
        yield block("text", " ".join((context.command_path, *command.collect_usage_pieces(context))))
        yield _words(command)
        yield block("sh", "\n".join(EXAMPLES[context.command_path.removeprefix("rung ")]))
        own = [(left, right) for left, right in _options(command, context) if left.split()[0] not in _SHARED]
        if own:
            yield table(("argument or option", "meaning"), ((code(left), right) for left, right in own))


def _options(command: Any, context: Context) -> Iterator[tuple[str, str]]:
    for parameter in command.params:
        record: tuple[str, str] | None = parameter.get_help_record(context)
        if record is not None:
            # The type that stands behind an argument's name is Python's.
            yield re.sub(r" <.*>$", "", record[0]), record[1]


def _shared_options(root: Any, context: Context) -> Iterator[tuple[str, str]]:
    """Yield what several commands take."""
    for _, command in _visible(root):
        members = _visible(command) if hasattr(command, "commands") else [("", command)]
        for _, member in members:
            for left, right in _options(member, context):
                if left.split()[0] in _SHARED:
                    yield left, right


def _words(command: Any) -> str:
    return inspect.cleandoc(command.help or "")
