"""The answer to --help: a command's help, with its examples.

It is given without reading any argument: what checks the values of arguments takes longer to load than
all the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from rung.cli.examples import EXAMPLES

_WITH_VALUE: Final = "--home"


def help_asked(app: typer.Typer, arguments: Sequence[str]) -> str | None:
    """Return the help that is asked for; None if none is, or if what it is asked of does not exist."""
    before = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    if "--help" not in before:
        return None
    command = get_command(app)
    context = typer.Context(command, info_name="rung")
    path: list[str] = []
    words = iter(before)
    for word in words:
        if not isinstance(command, TyperGroup) or word == "--help":
            break
        if word == _WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            found = command.get_command(context, word)
            if found is None:
                return None
            command, context = found, typer.Context(found, info_name=word, parent=context)
            path.append(word)
    text = command.get_help(context)
    lines = EXAMPLES.get(" ".join(path), ())
    return "\n".join([text, "", "Examples:", *(f"  {line}" for line in lines)]) if lines else text
