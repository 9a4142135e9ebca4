"""Times as they are typed on a command line: what the API accepts, too."""

from __future__ import annotations

from rung.campaign.calendar import Period
from rung.cli.errors import CommandError
from rung.status.parameters import read_at
from rung.status.problem import Problem


def parse_at(text: str, option: str) -> int | Period:
    """Return microseconds since the epoch, or the day that a date names.

    Raises:
        CommandError: the text is neither; `option` is named.
    """
    try:
        return read_at(text)
    except Problem as problem:
        raise CommandError(f"{option}: {problem.detail.removeprefix('at: ').removesuffix('.')}") from problem
