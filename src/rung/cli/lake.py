"""`rung lake`: what the archive of events holds, and its upkeep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.errors import ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

if TYPE_CHECKING:
    from rung.batch.holdings import Holding
    from rung.lake.port import Lake, LakeState

app = typer.Typer(help="Describe, check and compact the archive of events.", rich_markup_mode=None)


@app.command()
def status(
    home: HomeOption = DEFAULT_HOME,
    check: Annotated[
        bool, typer.Option("--check", help="Read every file, and compare it with its checksum.")
    ] = False,
    as_json: JsonOption = False,
) -> ExitCode:
    """Show how far each partition is archived. Exits with 1 if events are lost or a file is damaged."""
    from rung import bootstrap
    from rung.batch.holdings import holdings
    from rung.cli.output import print_json, say

    opened = bootstrap.open_home(home)
    with (
        bootstrap.opened_log(opened, read_only=True) as log,
        bootstrap.opened_lake(opened) as lake,
    ):
        state, found = holdings(log, lake)
        damaged = _damaged(lake, state) if check else []
    problems = [problem for one in found if (problem := one.problem)] + damaged
    if as_json:
        print_json(
            {
                "ok": not problems,
                "uri": opened.lake_uri,
                "version": state.version,
                "events": sum(one.events for one in found),
                "behind": sum(one.behind for one in found),
                "files": sum(one.files for one in found),
                "bytes": sum(one.bytes for one in found),
                "checked": check,
                "problems": problems,
                "partitions": [one.as_json() for one in found],
            }
        )
    else:
        _print(found)
        for problem in problems:
            say(f"error: {problem}")
        if check and not damaged:
            say("Every file is what was written.")
    return ExitCode.PROBLEMS if problems else ExitCode.OK


@app.command()
def compact(
    home: HomeOption = DEFAULT_HOME,
    keep_hours: Annotated[
        int,
        typer.Option(
            "--keep-hours",
            min=1,
            max=168,
            help="Delete what was replaced longer ago: longer than any batch job runs.",
        ),
    ] = 168,
    as_json: JsonOption = False,
) -> None:
    """Join the small files of each day.

    Files that were replaced long ago are deleted. Archivers and batch jobs may run meanwhile; a second
    compaction may not, and is told so.
    """
    from rung import bootstrap
    from rung.cli.output import count_of, print_json, say

    with bootstrap.opened_lake(bootstrap.open_home(home)) as lake:
        done = lake.compact(keep_hours)
    if as_json:
        print_json(done._asdict())
    else:
        say(
            f"{count_of(done.files_before, 'file')} before, {done.files_after:,} now; "
            f"deleted {done.deleted:,} of those replaced earlier"
        )


@app.command()
def upgrade(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Bring a lake of an earlier release to the present form.

    Only files with events that were rejected for the type of an attribute are written anew. Stop the
    archivers of the earlier release before that. It may be cut short and run again.
    """
    from rung import bootstrap
    from rung.cli.output import count_of, print_json, say

    files = bootstrap.upgrade_lake(bootstrap.open_home(home))
    if as_json:
        print_json({"upgraded": files is not None, "files": files or 0})
    elif files is None:
        say("The lake has the present form already.")
    else:
        say(f"The lake has the present form now; {count_of(files, 'file')} written anew")


def _damaged(lake: Lake, state: LakeState) -> list[str]:
    """Read every file, and return what is wrong with each that is damaged."""
    from rung.cli.output import LiveLine
    from rung.lake.port import LakeDamaged

    found: list[str] = []
    line = LiveLine()
    for number, file in enumerate(state.files, 1):
        try:
            lake.check(file)
        except LakeDamaged as error:
            found.append(str(error))
        line.show(f"{number:,} of {len(state.files):,} files read")
    line.close(f"{len(state.files):,} files read")
    return found


def _print(found: list[Holding]) -> None:
    from rung.cli.output import bytes_text, print_table

    columns = ("partition", "archived", "log start", "log end", "behind", "events", "files", "size", "days")
    rows = [
        (
            str(one.partition),
            f"{one.position:,}",
            f"{one.start:,}",
            f"{one.end:,}",
            f"{one.behind:,}",
            f"{one.events:,}",
            f"{one.files:,}",
            bytes_text(one.bytes),
            one.days_text,
        )
        for one in found
    ]
    total = (
        *("total", "", "", ""),
        f"{sum(one.behind for one in found):,}",
        f"{sum(one.events for one in found):,}",
        f"{sum(one.files for one in found):,}",
        bytes_text(sum(one.bytes for one in found)),
        "",
    )
    print_table(columns, [*rows, total], columns[:-1])
