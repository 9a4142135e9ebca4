"""`rung quarantine`: look at the events that were not applied, and decide about them."""

from __future__ import annotations

import base64
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption, YesOption

if TYPE_CHECKING:
    from rung.operations.quarantined import Chosen
    from rung.store.port import Quarantined

app = typer.Typer(help="List, show, retry or drop the events that were not applied.", rich_markup_mode=None)

PositionArguments = Annotated[
    list[str] | None, typer.Argument(metavar="[PARTITION:OFFSET...]", help="Positions, as `list` shows them.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Every event in quarantine.")]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", metavar="CODE", help="Every event with this reason code.")
]


@app.command("list")
def list_events(
    home: HomeOption = DEFAULT_HOME,
    reason: ReasonOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show at most so many.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List the events in quarantine, and count them by reason."""
    from rung import bootstrap
    from rung.cli.output import count_of, print_json, print_table, say, time_text
    from rung.operations.quarantined import every_event, position_text

    with bootstrap.opened_store(bootstrap.open_home(home), read_only=True) as store:
        counts: Counter[str] = Counter()
        shown: list[Quarantined] = []
        for event in every_event(store):
            if reason is None or event.reason == reason:
                counts[event.reason] += 1
                if len(shown) < limit:
                    shown.append(event)
    total = counts.total()
    if as_json:
        print_json({"count": total, "reasons": dict(counts), "events": [_mapping(event) for event in shown]})
        return
    if total == 0:
        say("0 events in quarantine")
        return
    print_table(
        ("position", "reason", "detail", "at"),
        [(position_text(event), event.reason, event.detail, time_text(event.at)) for event in shown],
    )
    reasons = ", ".join(f"{code} {count:,}" for code, count in counts.most_common())
    more = f"; the first {len(shown):,} are shown" if len(shown) < total else ""
    say(f"{count_of(total, 'event')} in quarantine ({reasons}){more}")


@app.command()
def show(
    position: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As `list` shows it.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show one event in quarantine with its payload, byte for byte."""
    import sys

    from rung import bootstrap
    from rung.cli.output import bytes_text, print_json, say, time_text
    from rung.operations.quarantined import event_at

    with bootstrap.opened_store(bootstrap.open_home(home), read_only=True) as store:
        event = event_at(store, position)
    if as_json:
        print_json(_mapping(event))
        return
    say(f"position {position}, quarantined at {time_text(event.at)}, {bytes_text(len(event.payload))}")
    say(f"{event.reason}: {event.detail}")
    if sys.stdout.isatty():
        typer.echo(repr(event.payload))
    else:
        sys.stdout.buffer.write(event.payload)


@app.command()
def retry(
    positions: PositionArguments = None,
    home: HomeOption = DEFAULT_HOME,
    every: AllOption = False,
    reason: ReasonOption = None,
    as_json: JsonOption = False,
) -> None:
    """Append events to the log again, and release them.

    It is safe at any time: what was applied meanwhile is a duplicate then and changes nothing, and
    what is still wrong comes back into quarantine under its new position.
    """
    from rung import bootstrap
    from rung.cli.output import count_of, print_json, say
    from rung.operations.quarantined import retry as append_again

    opened = bootstrap.open_home(home)
    with (
        bootstrap.opened_log(opened) as log,
        bootstrap.opened_store(opened) as store,
        bootstrap.opened_mirror(opened) as mirror,
        closing(log.producer()) as producer,
    ):
        count = append_again(store, producer, mirror.forget, _chosen(positions, every, reason))
    if as_json:
        print_json({"retried": count})
    else:
        say(f"Appended {count_of(count, 'event')} again; a worker applies them")


@app.command()
def drop(
    positions: PositionArguments = None,
    home: HomeOption = DEFAULT_HOME,
    every: AllOption = False,
    reason: ReasonOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take events out of quarantine for good. The log still has them until it is trimmed."""
    from rung import bootstrap
    from rung.cli.output import count_of, print_json, say
    from rung.operations.quarantined import pages_of, release

    opened = bootstrap.open_home(home)
    with bootstrap.opened_store(opened) as store, bootstrap.opened_mirror(opened) as mirror:
        pages = list(pages_of(store, _chosen(positions, every, reason)))
        chosen = sum(len(page) for page in pages)
        if not yes:
            typer.confirm(f"Drop {count_of(chosen, 'event')} from quarantine?", abort=True, err=True)
        count = sum(release(store, mirror.forget, page) for page in pages)
    if as_json:
        print_json({"dropped": count})
    else:
        say(f"Dropped {count_of(count, 'event')}")


def _chosen(positions: list[str] | None, every: bool, reason: str | None) -> Chosen:
    from rung.operations.quarantined import Chosen

    return Chosen(tuple(positions or ()), reason, every)


def _mapping(event: Quarantined) -> dict[str, object]:
    from rung.cli.output import time_text

    return {
        "partition": event.partition,
        "offset": event.offset,
        "reason": event.reason,
        "detail": event.detail,
        "at": time_text(event.at),
        "payload_base64": base64.b64encode(event.payload).decode(),
    }
