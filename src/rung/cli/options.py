"""The options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def _chosen_home(ctx: typer.Context, param: typer.CallbackParam, value: Path) -> Path:
    """Return the home: the command's --home, else the one before the command, else RUNG_HOME."""
    source = ctx.get_parameter_source(param.name or "home")
    if source is not None and source.name == "COMMANDLINE":
        return value
    if isinstance(ctx.obj, Path):
        return ctx.obj
    return Path(os.environ.get("RUNG_HOME") or value)


DEFAULT_HOME = Path(".rung")

HomeOption = Annotated[
    Path,
    typer.Option(
        "--home",
        metavar="DIR",
        help="The data directory (RUNG_HOME names it, too).",
        callback=_chosen_home,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
