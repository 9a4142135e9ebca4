"""`rung demo`, hidden: the main job from beginning to end on the example data; `make demo` runs it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rung.cli.errors import CommandError

if TYPE_CHECKING:
    from rung.bootstrap import Home

_EXAMPLES: Final = Path("examples/online-retail")
_USERS: Final = ("12757", "12748", "17850")
_AT: Final = "2011-11-20"


def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after printing.")] = False,
    examples: Annotated[Path, typer.Option("--examples", help="Specs and events.")] = _EXAMPLES,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65_535, help="The port of the API.")
    ] = None,
) -> None:
    """Apply the example campaigns, ingest the example events, print statuses, and serve."""
    specs = sorted(examples.glob("*.yaml"))
    files = sorted(str(path) for path in examples.glob("*.ndjson*"))
    if not specs or not files:
        raise CommandError(f"{examples}: no campaigns and events there; run this in the project's folder")
    with tempfile.TemporaryDirectory(prefix="rung-demo-") as folder:
        _run(Path(folder) / "home", specs, files)
        if not once:
            _serve(Path(folder) / "home", port)


def _run(path: Path, specs: list[Path], files: list[str]) -> None:
    import threading

    from rung import bootstrap
    from rung.cli.ingest import append_files
    from rung.cli.output import count_of, say
    from rung.cli.work import apply_events

    bootstrap.initialise(path)
    home = bootstrap.open_home(path)
    say("1. Campaigns")
    _apply(home, specs)
    say(f"\n2. Events: {', '.join(files)}")
    with bootstrap.opened_log(home) as log, bootstrap.opened_store(home) as store:

        def ingest(keep_alive: Callable[[], object]) -> None:
            append_files(log, files, lambda _events, _done, _total: keep_alive())

        work = apply_events(home, log, store, threading.Event(), until_caught_up=True, beside=ingest)
        say(f"{count_of(work.events, 'event')} applied, {work.quarantined:,} in quarantine")
        say(f"\n3. Three users on {_AT}")
    _print_users(home)


def _apply(home: Home, specs: list[Path]) -> None:
    from rung import bootstrap
    from rung.campaign.spec import load
    from rung.cli.output import say
    from rung.operations.author import Author
    from rung.operations.catalog import apply_campaigns

    campaigns = [load(spec.read_text(encoding="utf-8"), str(spec)) for spec in specs]
    with bootstrap.opened_store(home) as store:
        apply_campaigns(store, campaigns, bootstrap.clock, Author("rung demo", "the example data"))
    for spec, campaign in zip(specs, campaigns, strict=True):
        say(f"   {campaign.name} from {spec}")


def _print_users(home: Home) -> None:
    from rung import bootstrap
    from rung.access.subjects import for_operator
    from rung.cli.status import print_overview
    from rung.cli.times import parse_at
    from rung.status.reader import StatusReader

    with bootstrap.opened_store(home, read_only=True) as store:
        reader = StatusReader(store, bootstrap.partitions_of(home, store))
        at = parse_at(_AT, "--at")
        print_overview([reader.status(for_operator(user.encode()), at) for user in _USERS])


def _serve(path: Path, port: int | None) -> None:
    from rung import bootstrap
    from rung.cli.output import say

    home = bootstrap.open_home(path)
    key = _throw_away_key(home)

    def tell(url: str) -> None:
        say("\n4. Serving until Ctrl-C, with a key that ends with it")
        say(f"   Status page: {url}/#key={key}&user={_USERS[0]}&at={_AT}")
        ask = f"{url}/v1/users/{_USERS[0]}/status?at={_AT}"
        say(f"   Status API:  curl -H 'Authorization: Bearer {key}' '{ask}'")

    bootstrap.serve(home, None, port, tell)


def _throw_away_key(home: Home) -> str:
    """Return a key for everything, of a home that is deleted at the end."""
    from rung import bootstrap
    from rung.access.permissions import Scope
    from rung.operations.api_keys import create_key
    from rung.operations.author import Author

    author = Author("rung demo", "to look at the example data")
    with bootstrap.opened_store(home) as store:
        path = bootstrap.keys_path(home)
        return create_key(path, store, bootstrap.clock, "demo", frozenset(Scope), 1, author)[1]
