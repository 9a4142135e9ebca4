"""`rung lag`: how far each partition is applied, and which cannot go on."""

from __future__ import annotations

from rung.cli.errors import ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption


def lag(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> ExitCode:
    """Show the log's start and end, the last offset applied and what waits; exits with 1 if one is stuck."""
    from rung import bootstrap
    from rung.cli.output import count_of, print_json, print_table, say
    from rung.cli.stuck import stuck_text
    from rung.status.lag import measure_lag

    opened = bootstrap.open_home(home)
    with (
        bootstrap.opened_log(opened, read_only=True) as log,
        bootstrap.opened_store(opened, read_only=True) as store,
    ):
        found = measure_lag(store, log, bootstrap.clock)
    events = sum(found.events.values())
    if as_json:
        partitions = [
            {
                "partition": partition,
                "start": found.starts[partition],
                "end": end,
                "applied": found.applied[partition],
                "lag_events": found.events[partition],
                "state": found.stuck[partition].value if partition in found.stuck else "ok",
            }
            for partition, end in found.ends.items()
        ]
        print_json(
            {
                "ok": not found.stuck,
                "lag_events": events,
                "lag_seconds": round(found.seconds, 3),
                "partitions": partitions,
            }
        )
    else:
        columns = ("partition", "start", "end", "applied", "lag", "state")
        rows = [
            (
                str(partition),
                f"{found.starts[partition]:,}",
                f"{end:,}",
                f"{found.applied[partition]:,}",
                f"{found.events[partition]:,}",
                found.stuck[partition].text if partition in found.stuck else "ok",
            )
            for partition, end in found.ends.items()
        ]
        print_table(columns, rows, columns[:-1])
        if found.stuck:
            say(f"error: {stuck_text(found.stuck)}")
        else:
            say(f"{count_of(events, 'event')} to apply; the oldest has waited {found.seconds:,.1f} s")
    return ExitCode.PROBLEMS if found.stuck else ExitCode.OK
