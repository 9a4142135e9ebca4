"""`rung batch monitor` and `rung batch late`: the lake against the payment system; how late events came."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from rung.cli.author import ByOption, author_of
from rung.cli.errors import CommandError, ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption, YesOption

if TYPE_CHECKING:
    from rung.batch.monitoring.late import LateEvents
    from rung.batch.monitoring.monitor import ChosenDay, Compared

_EXAMPLES: Final = 10


def monitor(
    against: Annotated[
        str,
        typer.Option("--against", metavar="FILE_OR_DSN", help="Parquet, CSV, or postgresql://USER@HOST/DB."),
    ],
    day: Annotated[str, typer.Option("--day", metavar="DATE", help="The day of the purchases.")],
    zone: Annotated[
        str, typer.Option("--campaign-zone", metavar="ZONE", help="In whose time the day is.")
    ] = "UTC",
    query: Annotated[
        str | None, typer.Option("--query", metavar="SQL", help="A table of the server, or a query.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="NAME=THEIRS", help="What a column is called in the list."),
    ] = None,
    fill: Annotated[
        bool, typer.Option("--fill", help="Send what is missing or behind as events; shown without --yes.")
    ] = False,
    yes: YesOption = False,
    by: ByOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> ExitCode:
    """Compare a day with the payment system's own list.

    Exits with 1 if anything differs. The list's columns are transaction_id, user_id, and history (all
    steps, JSON as in events; attributes may stand beside it) or status, at and amount of the latest step.
    """
    import msgspec

    from rung import bootstrap
    from rung.batch.monitoring.monitor import compare, events_to_fill, write_report
    from rung.batch.monitoring.monitor import fill as fill_log
    from rung.batch.monitoring.payment_list import read_list
    from rung.cli.output import count_of, print_json, say

    chosen = _day_in(day, zone)
    names = _names(column or [])
    if yes and not fill:
        raise CommandError("--yes belongs to --fill: without it nothing is sent anyway")
    with bootstrap.opened_workshop(bootstrap.open_home(home), "monitor") as workshop:
        listed = read_list(workshop.engine, workshop.catalog(), against, query, names, workshop.folder)
        compared = compare(workshop, listed, _without_secrets(against), chosen)
        path = write_report(workshop.folder, compared)
        events = events_to_fill(listed, compared) if fill else []
        if events and yes:
            fill_log(workshop, compared, events, author_of(by, None).who)
    report = compared.report
    if as_json:
        print_json(
            {
                "clean": report.is_clean,
                "report": str(path),
                **msgspec.to_builtins(report),
                "filled": len(events) if yes else 0,
            }
        )
    else:
        _print(compared)
        say(f"Report: {path}")
        if events and yes:
            say(f"Sent {count_of(len(events), 'event')}; compare again when they are applied")
        elif events:
            say(f"Would send {count_of(len(events), 'event')}; to do it, add --yes")
        elif fill:
            say("There is nothing to send")
    return ExitCode.OK if report.is_clean else ExitCode.PROBLEMS


def late(
    day: Annotated[
        str | None,
        typer.Option("--day", metavar="DATE", help="When they were appended, in UTC; else yesterday."),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Tell how late the events of a day came.

    That is how long after their latest step, and what they still changed.
    """
    import msgspec

    from rung import bootstrap
    from rung.batch.monitoring.late import late_events
    from rung.cli.output import print_json

    with bootstrap.opened_workshop(bootstrap.open_home(home), "late") as workshop:
        yesterday = datetime.fromtimestamp(workshop.clock() / 1e6, UTC).date() - timedelta(days=1)
        found = late_events(workshop, yesterday if day is None else _day(day))
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        _print_late(found)


def _day_in(text: str, zone: str) -> ChosenDay:
    from rung.batch.monitoring.monitor import ChosenDay

    try:
        return ChosenDay.of(text, zone)
    except ValueError as error:
        raise CommandError(f"--day {text} --campaign-zone {zone}: {error}") from error


def _day(text: str) -> date:
    from rung.campaign.calendar import Period, PeriodKind

    try:
        return date.fromisoformat(str(Period.parse(text, PeriodKind.DAY)))
    except ValueError as error:
        raise CommandError(f"--day: {error}") from error


def _names(pairs: list[str]) -> dict[str, str]:
    from rung.batch.monitoring.payment_list import COLUMNS

    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, theirs = pair.partition("=")
        if not equals or not theirs or name not in COLUMNS:
            raise CommandError(f"--column {pair}: expected NAME=THEIRS; the names are {', '.join(COLUMNS)}")
        found[name] = theirs
    return found


def _without_secrets(against: str) -> str:
    """Return what a list was read from without user, password and options."""
    from rung.batch.monitoring.payment_list import POSTGRES

    if not against.startswith(POSTGRES):
        return str(Path(against))
    parts = urlsplit(against)
    place = parts.hostname or ""
    return f"{parts.scheme}://{place}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _print(compared: Compared) -> None:
    from rung.batch.monitoring.monitor import Difference
    from rung.cli.output import count_of, print_table, say

    report = compared.report
    say(f"{count_of(report.equal, 'transaction')} of {report.day} ({report.zone}) equal in list and lake")
    if report.differences:
        print_table(
            ("difference", "transactions", "what it means"),
            [(kind, f"{count:,}", Difference(kind).sentence) for kind, count in report.differences.items()],
            numbers=("transactions",),
        )
        rows = compared.rows.slice(0, _EXAMPLES).to_pylist()
        print_table(
            ("difference", "transaction", "user", "user in the lake", "detail"),
            [
                tuple(
                    row[name] or ""
                    for name in ("difference", "transaction_id", "user_id", "lake_user_id", "detail")
                )
                for row in rows
            ],
        )
        if compared.rows.num_rows > _EXAMPLES:
            say(f"... and {count_of(compared.rows.num_rows - _EXAMPLES, 'other transaction')}")


def _print_late(found: LateEvents) -> None:
    from rung.cli.output import count_of, print_table, say

    say(f"{count_of(found.events, 'event')} appended on {found.day} (UTC)")
    print_table(
        ("after its latest step", "events"),
        [(name, f"{count:,}") for name, count in found.delays.items()],
        numbers=("events",),
    )
    if found.changed_ended:
        print_table(
            ("campaign", "events that changed a period that had ended"),
            [(name, f"{count:,}") for name, count in found.changed_ended.items()],
            numbers=("events that changed a period that had ended",),
        )
