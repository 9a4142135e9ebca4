"""`rung worker`: apply events."""

from __future__ import annotations

from typing import Annotated

import typer

from rung.cli.errors import ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption


def worker(
    home: HomeOption = DEFAULT_HOME,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="Stop when every event in the log is applied.")
    ] = False,
    as_json: JsonOption = False,
) -> ExitCode:
    """Apply the log's events to the store. SIGTERM or Ctrl-C stops it cleanly.

    An embedded log has one worker; with Kafka, the workers of a group share the partitions.
    """
    from rung import bootstrap
    from rung.cli.output import count_of, print_json, say
    from rung.cli.work import apply_events

    opened = bootstrap.open_home(home)
    with (
        bootstrap.stop_on_signals() as stop,
        bootstrap.only_worker(opened),
        bootstrap.opened_log(opened) as log,
        bootstrap.opened_store(opened) as store,
    ):
        work = apply_events(opened, log, store, stop, until_caught_up=until_caught_up, say_progress=True)
    if as_json:
        print_json(
            {
                "events": work.events,
                "duplicates": work.duplicates,
                "quarantined": work.quarantined,
                "seconds": round(work.seconds, 3),
                "events_per_second": work.events_per_second,
                "lag": work.lag,
            }
        )
    else:
        say(f"Applied {count_of(work.events, 'event')} ({work.events_per_second:,} events/s)")
        if work.quarantined:
            say(f"Quarantined {count_of(work.quarantined, 'event')}: rung --home {home} quarantine list")
    is_cut_short = until_caught_up and stop.is_set() and work.lag != 0
    return ExitCode.INTERRUPTED if is_cut_short else ExitCode.OK
