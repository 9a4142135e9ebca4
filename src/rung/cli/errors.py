"""How a command ends: exit codes, and expected errors as one clear line."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, Self


class ExitCode(IntEnum):
    """What the shell sees, with its meaning; the numbers are part of the interface."""

    meaning: str

    def __new__(cls, number: int, meaning: str) -> Self:
        """Make a member of a number, which says what it means."""
        member = int.__new__(cls, number)
        member._value_ = number
        member.meaning = meaning
        return member

    OK = 0, "done"
    PROBLEMS = 1, "the command worked, and what it looked at has problems"
    BAD_INPUT = 2, "an argument, file, spec or setting is wrong"
    NOT_INITIALISED = 3, "there is no home: `rung init` makes one"
    BUSY = 4, "another process holds what the command needs"
    FAILED = 5, "the log, the store or the machine refused; the text says what to do"
    INTERRUPTED = 130, "interrupted, or answered no"


class Place(NamedTuple):
    """One mistake in a file: where it is, and what was probably meant (None: nobody can tell)."""

    file: str
    line: int
    column: int
    message: str
    suggestion: str | None


class CommandError(Exception):
    """An expected error: one clear line with the fix, how to exit, and each mistake by its place."""

    def __init__(
        self, message: str, code: ExitCode = ExitCode.BAD_INPUT, places: Sequence[Place] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.places = tuple(places)


def print_error(error: CommandError, *, as_json: bool) -> ExitCode:
    """Print an error on standard error and, as JSON, on standard output; return how to exit.

    The JSON document is `{"error": {"code", "name", "message"}}`, with `places` where files have mistakes.
    """
    import sys

    for one in error.places:
        meant = f"; {one.suggestion}" if one.suggestion else ""
        sys.stderr.write(f"{one.file}:{one.line}:{one.column}: {one.message}{meant}\n")
    for line in str(error).splitlines():
        sys.stderr.write(f"error: {line}\n")
    if as_json:
        from rung.cli.output import print_json

        told: dict[str, object] = {
            "code": error.code.value,
            "name": error.code.name.lower(),
            "message": str(error),
        }
        if error.places:
            told["places"] = [place._asdict() for place in error.places]
        print_json({"error": told})
    return error.code


def explained(error: Exception) -> CommandError | None:
    """Return an expected error as a `CommandError`, or None for one that is a bug.

    The rooms' errors are looked up only once something has gone wrong, so that a command which
    needs no room loads none.
    """
    if isinstance(error, CommandError):
        return error

    from rung.bootstrap import NotInitialised, WorkerRuns
    from rung.console.accounts import AccountsRefused
    from rung.operations.expected import expected
    from rung.settings import SettingsError
    from rung.status.serve import ServeError

    found = expected(error)
    if found is not None:
        return CommandError(found.text, ExitCode[found.kind.name])
    codes: tuple[tuple[type[Exception], ExitCode], ...] = (
        (NotInitialised, ExitCode.NOT_INITIALISED),
        (WorkerRuns, ExitCode.BUSY),
        (SettingsError, ExitCode.BAD_INPUT),
        (AccountsRefused, ExitCode.BAD_INPUT),
        (ServeError, ExitCode.FAILED),
    )
    for kind, code in codes:
        if isinstance(error, kind):
            return CommandError(str(error), code)
    return None
