"""`rung batch verify` and `rung batch repair`: prove the store equal to the lake, and heal what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.author import ByOption, author_of
from rung.cli.errors import ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption, YesOption

if TYPE_CHECKING:
    from rung.batch.proof.repair import Repaired
    from rung.batch.proof.report import Report

_EXAMPLES = 10
_BAR_CELLS = 40


def verify(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> ExitCode:
    """Compare every user with what all events give.

    Events may flow meanwhile. Exits with 1 if anything differs.
    """
    from rung import bootstrap
    from rung.cli.output import LiveLine
    from rung.operations.verifying import verify_and_report

    opened = bootstrap.open_home(home)
    line = LiveLine()
    with bootstrap.opened_workshop(opened, "verify") as workshop:
        report, folder = verify_and_report(workshop, line.show)
    line.close(f"Report: {folder / 'report.json'}")
    if as_json:
        _print_report_json(report, str(folder))
    else:
        _print_report(report)
    return ExitCode.OK if report.is_clean else ExitCode.PROBLEMS


def repair(
    report: Annotated[str, typer.Argument(metavar="REPORT", help="A report's id, or `last`.")],
    home: HomeOption = DEFAULT_HOME,
    yes: YesOption = False,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> ExitCode:
    """Put right what a verification found. Without --yes, only show what would be done."""
    from rung import bootstrap
    from rung.batch.proof.repair import plan_repair, suspects_of
    from rung.batch.proof.repair import repair as repair_store
    from rung.batch.proof.report import Reports
    from rung.cli.output import LiveLine, count_of, print_json, say

    opened = bootstrap.open_home(home)
    with bootstrap.opened_workshop(opened, "repair") as workshop:
        found = Reports(workshop.folder).read(report)
        if yes:
            line = LiveLine()
            who = author_of(by, None).who
            done = repair_store(
                workshop,
                suspects_of(found),
                who,
                lambda count: line.show(f"Healed {count_of(count, 'user')}"),
            )
        else:
            done = plan_repair(workshop, suspects_of(found))
    if as_json:
        print_json(
            {
                "report": found.id,
                "done": yes,
                "users": [one.user_id for one in done.healed],
                "clean_already": done.clean,
                "transactions_removed": list(done.strangers),
            }
        )
        return ExitCode.OK
    _print_repair(done, yes=yes)
    if not yes and (done.healed or done.strangers):
        say(f"Nothing was changed. To do it: rung --home {home} batch repair {found.id} --yes")
    elif yes:
        say(f"To prove it: rung --home {home} batch verify")
    return ExitCode.OK


def _print_report_json(report: Report, folder: str) -> None:
    import msgspec

    from rung.cli.output import print_json

    print_json({"clean": report.is_clean, "folder": folder, **msgspec.to_builtins(report)})


def _print_report(report: Report) -> None:
    from rung.batch.proof.examined import Cause
    from rung.cli.output import count_of, print_table, say

    say(
        f"Compared {count_of(report.users, 'user')}, {count_of(report.figures, 'figure')} and "
        f"{count_of(report.transactions, 'transaction')}"
    )
    for one in report.incomplete:
        say(f"Not compared: {one}, whose past is not added yet (rung batch backfill)")
    if report.is_clean:
        say("Everything is equal")
        return
    most = max(report.causes.values())
    print_table(
        ("cause", "users", "", "what it means"),
        [
            (
                cause,
                f"{count:,}",
                "█" * max(1, round(count * _BAR_CELLS / most)),
                Cause(cause).sentence,
            )
            for cause, count in sorted(report.causes.items(), key=lambda item: -item[1])
        ],
        numbers=("users",),
    )
    print_table(
        ("user", "partition", "causes", "figures", "transactions"),
        [
            (
                finding.user_id,
                str(finding.partition),
                ", ".join(finding.causes),
                "; ".join(
                    f"{one.campaign} v{one.version} {one.measure}: {one.found} for {one.expected}"
                    for one in finding.figures[:3]
                ),
                ", ".join(finding.transactions[:3]),
            )
            for finding in report.findings[:_EXAMPLES]
        ],
    )
    if len(report.findings) > _EXAMPLES:
        say(f"... and {count_of(len(report.findings) - _EXAMPLES, 'other user')}")
    say(f"To see what a repair would do: rung batch repair {report.id}")


def _print_repair(done: Repaired, *, yes: bool) -> None:
    from rung.cli.output import count_of, print_table, say

    verb = "Healed" if yes else "Would heal"
    if done.healed:
        print_table(
            ("user", "causes", "figures", "transactions"),
            [
                (
                    one.user_id,
                    ", ".join(one.causes),
                    ", ".join(f"{value:+}" for value in list(one.drift.values())[:6]),
                    ", ".join(one.transactions[:3]),
                )
                for one in done.healed[:_EXAMPLES]
            ],
        )
    say(f"{verb} {count_of(len(done.healed), 'user')}; {count_of(done.clean, 'user')} were fine already")
    if done.strangers:
        say(f"{'Removed' if yes else 'Would remove'} {count_of(len(done.strangers), 'record')} of no event")
