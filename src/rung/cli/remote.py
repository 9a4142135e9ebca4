"""Asking a server instead of a home: its address, the key, and what the shell gets to see of an error."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rung.cli.errors import CommandError, ExitCode

if TYPE_CHECKING:
    from rung.client import Client

SERVER_VARIABLE: Final = "RUNG_SERVER"
KEY_VARIABLE: Final = "RUNG_KEY"

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server", metavar="URL", help=f"A server instead of a home ({SERVER_VARIABLE} names it, too)."
    ),
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file", metavar="FILE", help=f"The API key for --server ({KEY_VARIABLE} may hold it instead)."
    ),
]


def chosen_server(ctx: typer.Context, server: str | None) -> str | None:
    """Return the server to ask, None if it is the home: what the command line names goes before a variable.

    Raises:
        CommandError: the command line names both a server and a home.
    """
    sources = [one.get_parameter_source("home") for one in (ctx, ctx.parent) if one is not None]
    home_is_named = any(source is not None and source.name == "COMMANDLINE" for source in sources)
    if server is not None and home_is_named:
        raise CommandError("--server and --home: name one of them")
    return server or (None if home_is_named else os.environ.get(SERVER_VARIABLE) or None)


@contextmanager
def connected(server: str, key_file: Path | None) -> Generator[Client]:
    """Give a client of a server.

    Raises:
        CommandError: there is no key, or the server cannot be asked, or refuses.
    """
    from rung.client import Client, ClientError, Refused

    key = os.environ.get(KEY_VARIABLE, "") if key_file is None else key_in(key_file)
    if not key:
        raise CommandError(f"--server: it needs a key: --key-file FILE, or {KEY_VARIABLE}")
    try:
        with Client(server, key) as client:
            yield client
    except ClientError as error:
        meant = "" if error.suggestion is None else f"; did you mean {error.suggestion}?"
        code = ExitCode.BAD_INPUT if isinstance(error, Refused) else ExitCode.FAILED
        lines = (f"{error.detail.rstrip('.')}{meant}", *getattr(error, "__notes__", ()))
        raise CommandError("\n".join(lines), code) from error


def key_in(file: Path) -> str:
    """Return the API key that a file holds.

    Raises:
        CommandError: it cannot be read, or holds none.
    """
    try:
        key = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise CommandError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{file}: is no key: `rung keys create` prints one") from error
    if not key:
        raise CommandError(f"{file}: is empty: `rung keys create` prints a key")
    return key
