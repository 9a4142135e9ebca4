"""Campaign files on the command line: read, and their errors shown by their places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rung.cli.errors import CommandError

if TYPE_CHECKING:
    from rung.campaign.model import Campaign
    from rung.campaign.spec import SpecError


def load_specs(specs: Sequence[Path]) -> tuple[list[Campaign], list[SpecError]]:
    """Return the campaigns of files, and every error of every file.

    Raises:
        CommandError: a file cannot be read.
    """
    from rung.campaign.spec import InvalidSpec, load

    campaigns: list[Campaign] = []
    errors: list[SpecError] = []
    for spec in specs:
        try:
            campaigns.append(load(spec.read_text(encoding="utf-8"), str(spec)))
        except InvalidSpec as invalid:
            errors.extend(invalid.errors)
        except UnicodeDecodeError as error:
            raise CommandError(f"{spec}: not a text file in UTF-8 (byte {error.start})") from error
        except OSError as error:
            raise CommandError(f"{spec}: cannot be read: {error.strerror}") from error
    return campaigns, errors


def print_errors(errors: Sequence[SpecError], *, as_json: bool) -> None:
    """Print every error with its place, for people or as JSON."""
    from rung.cli.output import count_of, print_json, say

    if as_json:
        print_json({"ok": False, "errors": [_as_mapping(error) for error in errors]})
        return
    for error in errors:
        meant = f"; {error.suggestion}" if error.suggestion else ""
        say(f"{error.file}:{error.line}:{error.column}: {error.message}{meant}")
    say(f"error: {count_of(len(errors), 'error')} in the campaign files; nothing was applied")


def _as_mapping(error: SpecError) -> dict[str, object]:
    return {
        "file": error.file,
        "line": error.line,
        "column": error.column,
        "message": error.message,
        "suggestion": error.suggestion,
    }
