"""`rung accounts`: who may sign in to the console, and as what."""

from __future__ import annotations

from typing import Annotated

import typer

from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption, YesOption

app = typer.Typer(help="Add, list and remove the accounts of the console.", rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The account's name.")]
StdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, a line.")
]


@app.command()
def add(
    name: NameArgument,
    role: Annotated[
        str,
        typer.Option(
            "--role",
            metavar="ROLE",
            help="viewer looks; operator also runs jobs and proposes; approver also approves and settles.",
        ),
    ],
    password_stdin: StdinOption = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Add an account; the password is asked for."""
    from rung import bootstrap
    from rung.cli.errors import CommandError
    from rung.cli.output import print_json, say
    from rung.console.accounts import Accounts
    from rung.console.roles import Role

    if role not in set(Role):
        raise CommandError(f"--role {role}: expected one of {', '.join(Role)}")
    accounts = Accounts(bootstrap.open_home(home).console_folder)
    made = accounts.add(name, Role(role), _password(password_stdin), bootstrap.clock())
    if as_json:
        print_json({"name": made.name, "role": made.role})
    else:
        say(f"Added {made.name}, {made.role}")


@app.command("list")
def list_accounts(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the accounts."""
    from rung import bootstrap
    from rung.cli.output import print_json, print_table, say, time_text
    from rung.console.accounts import Accounts

    found = Accounts(bootstrap.open_home(home).console_folder).all()
    if as_json:
        told = [{"name": one.name, "role": one.role, "since": time_text(one.since)} for one in found.values()]
        print_json({"accounts": told})
    elif found:
        rows = [(one.name, one.role.value, time_text(one.since)) for one in found.values()]
        print_table(("name", "role", "since"), rows)
    else:
        say(f"There is no account: rung --home {home} accounts add NAME --role approver")


@app.command()
def remove(
    name: NameArgument, yes: YesOption = False, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False
) -> None:
    """Remove an account; whoever is signed in with it is signed out."""
    from rung import bootstrap
    from rung.cli.output import print_json, say
    from rung.console.accounts import Accounts

    accounts = Accounts(bootstrap.open_home(home).console_folder)
    accounts.check_known(name)
    if not yes:
        typer.confirm(f"Remove the account {name}?", abort=True, err=True)
    accounts.remove(name)
    if as_json:
        print_json({"removed": name})
    else:
        say(f"Removed {name}")


@app.command()
def password(
    name: NameArgument,
    password_stdin: StdinOption = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Give an account another password. Whoever is signed in with it is signed out."""
    from rung import bootstrap
    from rung.cli.output import print_json, say
    from rung.console.accounts import Accounts

    accounts = Accounts(bootstrap.open_home(home).console_folder)
    accounts.check_known(name)
    accounts.set_password(name, _password(password_stdin))
    if as_json:
        print_json({"changed": name})
    else:
        say(f"Changed the password of {name}")


def _password(password_stdin: bool) -> str:
    import sys

    if password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
