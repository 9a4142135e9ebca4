"""`rung keys`: the keys with which services use the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rung.access.permissions import Scope
from rung.cli.author import ByOption, OptionalReasonOption
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

if TYPE_CHECKING:
    from rung.access.keys import StoredKey

app = typer.Typer(help="Make, list and revoke the keys of services that use the API.", rich_markup_mode=None)


@app.command()
def create(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="Who will use it, such as checkout.")],
    scopes: Annotated[
        list[Scope], typer.Option("--scope", help="What it may do; may be given several times.")
    ],
    days: Annotated[
        int | None,
        typer.Option("--days", min=1, max=3_650, help="How long it lives (default: until revoked)."),
    ] = None,
    reason: OptionalReasonOption = None,
    by: ByOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Make a key, and print it. It is shown this once, and only its hash is kept.

    A service has two live keys at most: the one in use, and the one that takes its place.
    """
    from rung import bootstrap
    from rung.cli.author import author_of
    from rung.cli.output import print_json, say
    from rung.operations.api_keys import create_key

    opened = bootstrap.open_home(home)
    author = author_of(by, reason)
    path = bootstrap.keys_path(opened)
    with bootstrap.opened_store(opened) as store:
        key, text = create_key(path, store, bootstrap.clock, service, frozenset(scopes), days, author)
    if as_json:
        print_json({**_described(key), "key": text})
        return
    typer.echo(text)
    say(f"Shown this once: keep it where {service} alone can read it. It is sent as")
    say("`Authorization: Bearer KEY`; a server that runs knows it within a second.")


@app.command("list")
def list_keys(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the keys, without their secrets."""
    from rung import bootstrap
    from rung.cli.output import print_json, print_table, say, time_text
    from rung.operations.api_keys import list_keys as read_keys

    keys = read_keys(bootstrap.keys_path(bootstrap.open_home(home))).stored
    if as_json:
        print_json({"keys": [_described(key) for key in keys]})
        return
    if not keys:
        say("No service has a key; make one with: rung keys create SERVICE --scope status:read")
        return
    rows = [
        (
            key.id,
            key.service,
            ", ".join(key.scopes),
            time_text(key.created_at),
            "" if key.expires_at is None else time_text(key.expires_at),
            _state(key),
        )
        for key in keys
    ]
    print_table(("id", "service", "scopes", "created", "expires", "state"), rows)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `rung keys list` shows it.")],
    reason: OptionalReasonOption = None,
    by: ByOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key: within a second no server takes it any more."""
    from rung import bootstrap
    from rung.cli.author import author_of
    from rung.cli.output import print_json, say
    from rung.operations.api_keys import revoke_key

    opened = bootstrap.open_home(home)
    author = author_of(by, reason)
    with bootstrap.opened_store(opened) as store:
        key = revoke_key(bootstrap.keys_path(opened), store, bootstrap.clock, key_id, author)
    if as_json:
        print_json(_described(key))
    else:
        say(f"Revoked: key {key.id} of {key.service}")


def _described(key: StoredKey) -> dict[str, object]:
    from rung.cli.output import time_text

    times = {"created_at": key.created_at, "expires_at": key.expires_at, "revoked_at": key.revoked_at}
    told: dict[str, object] = {
        "id": key.id,
        "service": key.service,
        "scopes": list(key.scopes),
        "state": _state(key),
    }
    return told | {name: None if at is None else time_text(at) for name, at in times.items()}


def _state(key: StoredKey) -> str:
    from rung.bootstrap import clock

    if key.revoked_at is not None:
        return "revoked"
    return "live" if key.is_live(clock()) else "expired"
