"""Who changes something and why, for the audit list."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from rung.cli.errors import CommandError
from rung.operations.author import Author

ByOption = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who does it; else the system's user.")
]
_REASON = typer.Option("--reason", metavar="TEXT", help="Why, for those who read the audit list.")
ReasonOption = Annotated[str, _REASON]
OptionalReasonOption = Annotated[str | None, _REASON]


def author_of(by: str | None, reason: str | None) -> Author:
    """Return who changes something, and why; a reason that need not be given is None.

    Raises:
        CommandError: there is no name, or a reason without words.
    """
    if reason is not None and not reason.strip():
        raise CommandError("--reason is empty: say why, for those who read the audit list")
    who = _system_user() if by is None else by.strip()
    if not who:
        raise CommandError("--by is empty: say who does it")
    return Author(who, (reason or "").strip())


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError) as error:
        raise CommandError("the system's user has no name: say who does it with --by NAME") from error
