"""`rung campaign diff`: what a version changes for every user, compared with another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.comparing import (
    SnapshotOption,
    money_text,
    print_cash_back,
    print_rates,
    print_steps,
)
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

if TYPE_CHECKING:
    from rung.batch.forecast.comparing import Examples
    from rung.batch.forecast.diffs import DiffReport
    from rung.batch.forecast.numbers import Example


def diff(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's name.")],
    before: Annotated[int, typer.Argument(metavar="V1", help="The version to compare with.")],
    after: Annotated[int, typer.Argument(metavar="V2", help="The version that would take its place.")],
    period: Annotated[
        str, typer.Option("--period", metavar="PERIOD", help="The counting period to compare them in.")
    ],
    with_ids: Annotated[
        bool, typer.Option("--examples", help="Name the users whose rate changes most.")
    ] = False,
    as_of_snapshot: SnapshotOption = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions for every user, and write a report.

    `rung campaign activate` asks for it. The report is known by its hash. Users are named with --examples
    only, and never in the report.
    """
    import msgspec

    from rung import bootstrap
    from rung.cli.output import print_json, say
    from rung.operations.forecasting import compare_versions

    what = f"diff {campaign} {before} {after}"
    with bootstrap.opened_workshop(bootstrap.open_home(home), what) as workshop:
        found = compare_versions(workshop, campaign, before, after, period, newest=as_of_snapshot)
    report, examples = found.report, found.examples
    if as_json:
        shown = {"up": examples.up, "down": examples.down} if with_ids else None
        built = msgspec.to_builtins(report, str_keys=True)
        print_json(
            {
                "hash": found.digest,
                "file": str(found.file),
                "notes": found.notes,
                "report": built,
                "examples": shown,
            }
        )
        return
    for note in found.notes:
        say(f"Note: {note}")
    _print(report)
    _print_examples(examples, with_ids=with_ids)
    say(f"Report: {found.file}")
    say(f"Hash: {found.digest}")


def _print(report: DiffReport) -> None:
    from rung.cli.output import count_of, say

    found, moves = report.compared, report.compared.moves
    assert moves is not None
    say(
        f"{report.campaign} {found.period}, version {report.before.version} (before) and "
        f"{report.after.version} (after): {count_of(found.users, 'user')}, {moves.up:,} up, "
        f"{moves.down:,} down, {moves.same:,} the same"
    )
    say("Users by step:")
    print_steps([found])
    say("Users by rate:")
    print_rates(found)
    say(
        f"Cash back in minor units of {found.after.currency}, with 95 % intervals; "
        f"the difference is {money_text(moves.cash_back)}:"
    )
    print_cash_back([found])


def _print_examples(examples: Examples, *, with_ids: bool) -> None:
    from rung.cli.output import print_table, say

    for what, kept in (("up", examples.up), ("down", examples.down)):
        if not kept:
            continue
        say(f"Whose rate goes {what} most{'' if with_ids else ' (--examples names them)'}:")
        names = ("user",) if with_ids else ()
        columns = (*names, "rate before", "rate after", "steps before", "steps after", "measures after")
        print_table(
            columns, [_example(one, with_ids=with_ids) for one in kept], numbers=("rate before", "rate after")
        )


def _example(one: Example, *, with_ids: bool) -> tuple[str, ...]:
    before, after = one.before, one.after
    return (
        *((one.user_id,) if with_ids else ()),
        f"{before.percent}%",
        f"{after.percent}%",
        ", ".join(before.met) or "none",
        ", ".join(after.met) or "none",
        ", ".join(f"{name} {value:,}" for name, value in after.measures.items()),
    )
