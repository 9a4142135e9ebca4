"""What is wrong with a command line, in one line that says what was meant and where to read on."""

from __future__ import annotations

from difflib import get_close_matches

import typer


def usage_text(error: typer.TyperException) -> str:
    """Return what is wrong, what was probably meant, and which help tells more."""
    ctx: typer.Context | None = getattr(error, "ctx", None)
    option: str | None = getattr(error, "option_name", None)
    unknown = option is not None and error.message.startswith("No such option")
    # A library's prefix, which tells nothing.
    text = " ".join((error.message if unknown else error.format_message()).split())
    text = text.replace("Value error, ", "").rstrip(".")
    meant = _meant(option, ctx) if option is not None and unknown and ctx is not None else []
    if meant:
        text = f"{text}. Did you mean {' or '.join(meant)}?"
    path = "rung" if ctx is None else ctx.command_path
    return f"{text} See {path} --help" if text.endswith("?") else f"{text}; see {path} --help"


def _meant(option: str, ctx: typer.Context) -> list[str]:
    """Return the options that begin like an unknown one, else those that are nearly it."""
    known = {
        name.lstrip("-"): name for one in ctx.command.get_params(ctx) for name in one.opts if name[0] == "-"
    }
    word = option.lstrip("-")
    return [known[name] for name in known if name.startswith(word)] or [
        known[name] for name in get_close_matches(word, known)
    ]
