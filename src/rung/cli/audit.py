"""`rung audit`: who changed what, when and why, and whether the list is as it was written."""

from __future__ import annotations

from typing import Annotated

import typer

from rung.cli.errors import ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption


def audit(
    home: HomeOption = DEFAULT_HOME,
    after: Annotated[
        int, typer.Option("--after", min=0, metavar="NUMBER", help="Show the entries behind this one.")
    ] = 0,
    as_json: JsonOption = False,
) -> ExitCode:
    """List what people changed; exits with 1 if the list is not as it was written."""
    from msgspec.structs import asdict

    from rung import bootstrap
    from rung.cli.output import print_json, print_table, say, time_text
    from rung.operations.audited import read_audit

    with bootstrap.opened_store(bootstrap.open_home(home), read_only=True) as store:
        found = read_audit(store)
    entries, broken, count = found.entries, found.broken, len(found.entries)
    shown = [entry for entry in entries if entry.number > after]
    if as_json:
        told = [{**asdict(entry), "at": time_text(entry.at)} for entry in shown]
        print_json({"ok": broken is None, "count": count, "broken": broken, "entries": told})
    elif shown:
        print_table(
            ("number", "at", "who", "action", "subject", "reason"),
            [
                (str(entry.number), time_text(entry.at), entry.who, entry.action, entry.subject, entry.reason)
                for entry in shown
            ],
            ("number",),
        )
    if broken is not None:
        say(f"error: the audit list is not as it was written: {broken}")
        return ExitCode.PROBLEMS
    if not as_json:
        say(f"{count:,} {'entry' if count == 1 else 'entries'}; each follows the one before")
    return ExitCode.OK
