"""`rung webhooks`: tell another system which steps users reach and lose."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rung.cli.errors import CommandError, ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

if TYPE_CHECKING:
    from rung.bootstrap import Home
    from rung.webhooks.endpoint import Endpoint
    from rung.webhooks.outbox import Outbox, Waiting

app = typer.Typer(
    help="Tell another system which steps users reach and lose: signed, in order, at least once.",
    rich_markup_mode=None,
)
_FILE: Final = "webhooks.sqlite"


@app.command()
def run(
    home: HomeOption = DEFAULT_HOME,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="Stop when nothing is left to be sent.")
    ] = False,
    as_json: JsonOption = False,
) -> ExitCode:
    """Send a message for each step that a user reaches or loses.

    It goes on where it was, however it ended. SIGTERM or Ctrl-C stops it cleanly. Exits with 1 if messages
    are parked: the endpoint did not take them.
    """
    from rung import bootstrap
    from rung.batch.retention.erasing import is_pseudonym
    from rung.cli.output import LiveLine, count_of, print_json, say
    from rung.webhooks.deliver import Deliverer, DeliverySettings
    from rung.webhooks.follow import Follower
    from rung.webhooks.run import run as follow_and_send

    opened = bootstrap.open_home(home)
    chosen = opened.settings.webhooks
    settings = DeliverySettings(chosen.concurrent, chosen.attempts_max, chosen.first_wait_seconds)
    line = LiveLine()
    with (
        bootstrap.stop_on_signals() as stop,
        closing(_endpoint(opened)) as endpoint,
        _only_sender(opened),
        closing(_outbox(opened)) as outbox,
        bootstrap.opened_log(opened, read_only=True) as log,
        bootstrap.opened_store(opened, read_only=True) as store,
        closing(Deliverer(outbox, endpoint, settings, bootstrap.clock)) as deliverer,
    ):
        follower = Follower(log, store, outbox, bootstrap.clock, is_pseudonym)
        sent = follow_and_send(
            follower,
            deliverer,
            outbox,
            stop,
            until_caught_up=until_caught_up,
            told=lambda sent, waiting: line.show(f"{count_of(sent, 'message')} sent, {_text(waiting)}"),
        )
        waiting = outbox.waiting()
        is_cut_short = until_caught_up and stop.is_set()
    if as_json:
        print_json({"sent": sent, **waiting._asdict()})
    else:
        line.close(f"{count_of(sent, 'message')} sent, {_text(waiting)}")
        if waiting.parked:
            say(f"error: {_parked_text(waiting, home)}")
    if waiting.parked:
        return ExitCode.PROBLEMS
    return ExitCode.INTERRUPTED if is_cut_short else ExitCode.OK


@app.command()
def status(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> ExitCode:
    """Show how many messages wait. Exits with 1 if some are parked."""
    from rung import bootstrap
    from rung.cli.output import print_json, say
    from rung.exclusive import holder
    from rung.webhooks.outbox import Waiting

    opened = bootstrap.open_home(home)
    waiting = Waiting(0, 0, 0, "")
    if _path(opened).exists():
        with closing(_outbox(opened)) as outbox:
            waiting = outbox.waiting()
    sender = holder(_lock(opened))
    if as_json:
        url = opened.settings.webhooks.url
        print_json({"ok": not waiting.parked, "url": url, "sender": sender, **waiting._asdict()})
    else:
        runs = "nobody sends: rung webhooks run" if sender is None else f"process {sender} sends"
        say(f"{_text(waiting)}; {runs}")
        if waiting.parked:
            say(f"error: {_parked_text(waiting, home)}")
    return ExitCode.PROBLEMS if waiting.parked else ExitCode.OK


@app.command()
def retry(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Make all messages due now, those that are parked too."""
    from rung import bootstrap
    from rung.cli.output import count_of, print_json, say

    opened = bootstrap.open_home(home)
    parked = 0
    if _path(opened).exists():
        with closing(_outbox(opened)) as outbox:
            parked = outbox.retry()
    if as_json:
        print_json({"retried": parked})
    else:
        say(f"{count_of(parked, 'message')} that had been parked will be sent again: rung webhooks run")


@app.command()
def secret(as_json: JsonOption = False) -> None:
    """Make a secret to sign messages with. Keep it in a file."""
    from rung.cli.output import print_json
    from rung.webhooks.signing import new_secret

    made = new_secret()
    if as_json:
        print_json({"secret": made})
    else:
        typer.echo(made)


def forget_user(home: Home, user_id: str) -> int:
    """Forget a user, and return how many messages about the user were still to be sent."""
    from rung.webhooks.follow import user_key

    if not _path(home).exists():
        return 0
    with closing(_outbox(home)) as outbox, outbox.change():
        return outbox.forget_user(user_key(user_id.encode()))


def _path(home: Home) -> Path:
    return home.path / _FILE


def _lock(home: Home) -> Path:
    return home.path / "webhooks.lock"


def _outbox(home: Home) -> Outbox:
    from rung.webhooks.outbox import Outbox, OutboxUnreadable

    try:
        return Outbox(_path(home))
    except OutboxUnreadable as error:
        raise CommandError(str(error), ExitCode.FAILED) from error


def _endpoint(home: Home) -> Endpoint:
    """Return the endpoint of the settings.

    Raises:
        CommandError: there is none, or it is none that messages may go to.
    """
    from rung.properties import Secret
    from rung.webhooks.endpoint import Endpoint, EndpointRefused
    from rung.webhooks.signing import secret_bytes

    chosen, place = home.settings.webhooks, home.path / "rung.toml"
    if not chosen.url:
        raise CommandError(f"{place}: webhooks.url is empty: name the endpoint, https://...")
    if not chosen.secrets:
        fix = 'current = {file = "FILE"} in [webhooks.secrets]; `rung webhooks secret` makes one'
        raise CommandError(f"{place}: webhooks.secrets is empty: add {fix}")
    keys: list[bytes] = []
    for name, found in chosen.secrets.items():
        if not isinstance(found, Secret):
            raise CommandError(f'{place}: webhooks.secrets.{name}: name a file: {name} = {{file = "FILE"}}')
        try:
            keys.append(secret_bytes(found.reveal()))
        except ValueError as error:
            raise CommandError(f"{place}: webhooks.secrets.{name}: {error}") from error
    try:
        return Endpoint(chosen.url, keys, chosen.timeout_seconds)
    except EndpointRefused as error:
        raise CommandError(f"{place}: {error}") from error


@contextmanager
def _only_sender(home: Home) -> Generator[None]:
    import os

    from rung.exclusive import Held, exclusive

    with ExitStack() as held:
        try:
            held.enter_context(exclusive(_lock(home), str(os.getpid())))
        except Held as error:
            message = f"messages of {home.path} are already sent (process {error}); stop that one first"
            raise CommandError(message, ExitCode.BUSY) from error
        yield


def _text(waiting: Waiting) -> str:
    return f"{waiting.messages:,} waiting, {waiting.parked:,} parked"


def _parked_text(waiting: Waiting, home: Path) -> str:
    again = f"once the endpoint takes messages: rung --home {home} webhooks retry"
    return f"{waiting.parked:,} parked, because {waiting.cause or 'they were not taken'}; {again}"
