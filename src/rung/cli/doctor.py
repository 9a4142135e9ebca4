"""`rung doctor`: what is configured, reachable and writable; what is wrong, and what to do."""

from __future__ import annotations

from typing import Final

from rung.cli.errors import ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

_MARKS: Final = {"ok": "ok", "warning": "!", "problem": "PROBLEM"}


def doctor(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> ExitCode:
    """Look at everything that Rung needs here; exits with 1 if something is wrong."""
    from rung.cli.examine import examine
    from rung.cli.output import count_of, print_json, print_table, say

    findings = examine(home)
    problems = [finding for finding in findings if finding.state == "problem"]
    if as_json:
        print_json({"ok": not problems, "findings": findings})
        return ExitCode.PROBLEMS if problems else ExitCode.OK
    print_table(
        ("", "what", "found"), [(_MARKS[finding.state], finding.what, finding.found) for finding in findings]
    )
    for finding in findings:
        if finding.fix:
            say(f"{finding.what}: {finding.fix}")
    say("All is well" if not problems else f"error: {count_of(len(problems), 'problem')} found")
    return ExitCode.PROBLEMS if problems else ExitCode.OK
