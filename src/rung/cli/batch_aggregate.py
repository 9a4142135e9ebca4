"""`rung batch aggregate`: every user's figures from the lake, as of exact positions."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption


def aggregate(
    home: HomeOption = DEFAULT_HOME,
    full: Annotated[
        bool, typer.Option("--full", help="Begin with the first event, not with the last snapshot.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Aggregate all events that the log has now, and keep a snapshot for the next run."""
    from rung import bootstrap
    from rung.cli.output import count_of, print_json, say

    started = time.monotonic()
    with bootstrap.opened_workshop(bootstrap.open_home(home), "aggregate") as workshop:
        done = workshop.aggregate_to(dict(workshop.log.ends()), full=full)
    seconds = time.monotonic() - started
    if as_json:
        print_json(
            {
                "snapshot": done.snapshot.number,
                "events": done.events,
                "transactions": done.transactions,
                "positions": {str(key): value for key, value in done.snapshot.positions.items()},
                "seconds": round(seconds, 3),
            }
        )
        return
    say(
        f"Snapshot {done.snapshot.number}: {count_of(done.events, 'event')} since the one before, "
        f"{count_of(done.transactions, 'transaction')} grew ({seconds:.1f} s)"
    )
