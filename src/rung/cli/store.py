"""`rung store`: the tables of a store on DynamoDB; of an embedded one, where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from rung.cli.errors import CommandError, ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption, YesOption

if TYPE_CHECKING:
    from rung.bootstrap import Home

app = typer.Typer(help="Make, describe or drop the store's tables.", rich_markup_mode=None)


@app.command()
def create(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Make the tables that are missing, and wait for them.

    They are billed on demand.
    """
    from rung import bootstrap, servers
    from rung.cli.output import print_json, say

    opened = bootstrap.open_home(home)
    tables = [table.name for table in servers.create_tables(opened)] if opened.has_dynamodb else []
    if as_json:
        print_json({"kind": opened.settings.store.kind, "tables": tables})
    elif tables:
        say(f"There: {', '.join(tables)}")
    else:
        say(f"{_embedded_text(opened)}; there is nothing to make")


@app.command()
def describe(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> ExitCode:
    """Show the tables. Exits with 1 if one is missing or cannot be used yet."""
    from rung import bootstrap, servers
    from rung.cli.output import bytes_text, print_json, print_table, say

    opened = bootstrap.open_home(home)
    if not opened.has_dynamodb:
        if as_json:
            print_json({"kind": "lmdb", "folder": str(opened.store_folder)})
        else:
            say(_embedded_text(opened))
        return ExitCode.OK
    tables = servers.describe_tables(opened)
    if as_json:
        print_json({"kind": "dynamodb", "tables": [table._asdict() for table in tables]})
    else:
        rows = [
            (table.name, table.status.lower(), f"{table.items:,}", bytes_text(table.bytes), table.billing)
            for table in tables
        ]
        print_table(("table", "status", "items", "size", "billing"), rows, ("items", "size"))
    return ExitCode.OK if all(table.status == "ACTIVE" for table in tables) else ExitCode.PROBLEMS


@app.command()
def drop(home: HomeOption = DEFAULT_HOME, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Delete the tables with all that is in them.

    Figures, histories, campaigns and the quarantine go with them.
    """
    from rung import bootstrap, servers
    from rung.cli.output import print_json, say

    opened = bootstrap.open_home(home)
    if not opened.has_dynamodb:
        raise CommandError(f"{_embedded_text(opened)}; stop what uses it, and delete the folder")
    found = [table.name for table in servers.describe_tables(opened) if table.status != "MISSING"]
    if found and not yes:
        question = f"Delete {', '.join(found)} and all that is in them, campaigns too?"
        typer.confirm(question, abort=True, err=True)
    if found:
        servers.drop_tables(opened)
    if as_json:
        print_json({"deleted": found})
    else:
        say(f"Deleted: {', '.join(found)}" if found else "There are no tables")


def _embedded_text(home: Home) -> str:
    return f"The store is embedded (LMDB): the folder {home.store_folder}, made by `rung init`"
