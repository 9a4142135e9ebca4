"""`rung quarantine`: look at the events that were not applied, and decide about them."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rung.cli.errors import CommandError
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption, YesOption

if TYPE_CHECKING:
    from rung.bootstrap import Mirror
    from rung.store.port import Quarantined, Store

app = typer.Typer(help="List, show, retry or drop the events that were not applied.", rich_markup_mode=None)

_PAGE_EVENTS: Final = 1_000

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
    """List the events in quarantine, and how many there are of each reason."""
    from rung import bootstrap
    from rung.cli.output import count_of, print_json, print_table, say, time_text

    with bootstrap.opened_store(bootstrap.open_home(home), read_only=True) as store:
        counts: Counter[str] = Counter()
        shown: list[Quarantined] = []
        for event in _every(store):
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
        [(_position_text(event), event.reason, event.detail, time_text(event.at)) for event in shown],
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

    partition, offset = _position(position)
    with bootstrap.opened_store(bootstrap.open_home(home), read_only=True) as store:
        event = store.quarantined(partition, offset)
    if event is None:
        raise CommandError(f"no event at {position} is in quarantine; see `rung quarantine list`")
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
    """Append events to the log once more, and take them out of quarantine.

    It is safe at any time: what was applied meanwhile is a duplicate then and changes nothing, and
    what is still wrong comes back into quarantine under its new position.
    """
    from rung import bootstrap
    from rung.cli.output import count_of, print_json, say

    opened = bootstrap.open_home(home)
    count = 0
    with (
        bootstrap.opened_log(opened) as log,
        bootstrap.opened_store(opened) as store,
        bootstrap.opened_mirror(opened) as mirror,
        closing(log.producer()) as producer,
    ):
        for page in _pages(store, positions, every, reason):
            # Appended first: a crash in between leaves an event in both places, and never in neither.
            producer.append([event.payload for event in page])
            count += _release(store, mirror, page)
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

    opened = bootstrap.open_home(home)
    with bootstrap.opened_store(opened) as store, bootstrap.opened_mirror(opened) as mirror:
        pages = list(_pages(store, positions, every, reason))
        chosen = sum(len(page) for page in pages)
        if not yes:
            typer.confirm(f"Drop {count_of(chosen, 'event')} from quarantine?", abort=True, err=True)
        count = sum(_release(store, mirror, page) for page in pages)
    if as_json:
        print_json({"dropped": count})
    else:
        say(f"Dropped {count_of(count, 'event')}")


def _release(store: Store, mirror: Mirror, page: list[Quarantined]) -> int:
    """Take events out of quarantine and its mirror, and return how many there were."""
    positions = [(event.partition, event.offset) for event in page]
    # The mirror first: what is still in the store is found again if the other one fails.
    mirror.forget(positions)
    return store.release(positions)


def _every(store: Store) -> Iterator[Quarantined]:
    after: tuple[int, int] | None = None
    while page := store.quarantine(after, _PAGE_EVENTS):
        yield from page
        after = (page[-1].partition, page[-1].offset)


def _pages(
    store: Store, positions: list[str] | None, every: bool, reason: str | None
) -> Iterator[list[Quarantined]]:
    """Yield the chosen events, some at a time, as they were at the start.

    What a worker quarantines meanwhile, perhaps because of a retry, stands behind `limits`.
    """
    limits = store.applied()
    ways = sum((bool(positions), every, reason is not None))
    if ways != 1:
        raise CommandError("choose events: by their positions, with --reason CODE, or with --all")
    if positions:
        chosen: list[Quarantined] = []
        for text in positions:
            event = store.quarantined(*_position(text))
            if event is None:
                raise CommandError(f"no event at {text} is in quarantine; see `rung quarantine list`")
            chosen.append(event)
        yield chosen
        return
    page: list[Quarantined] = []
    for event in _every(store):
        if reason in {None, event.reason} and event.offset <= limits[event.partition].offset:
            page.append(event)
            if len(page) == _PAGE_EVENTS:
                yield page
                page = []
    if page:
        yield page


def _position_text(event: Quarantined) -> str:
    return f"{event.partition}:{event.offset}"


def _position(text: str) -> tuple[int, int]:
    partition, _, offset = text.partition(":")
    if not (partition.isascii() and partition.isdecimal() and offset.isascii() and offset.isdecimal()):
        raise CommandError(f"{text!r} is not a position: expected PARTITION:OFFSET, for example 0:1234")
    return int(partition), int(offset)


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
