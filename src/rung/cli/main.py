"""The entry point `rung`: all commands, and what the shell gets to see of an error.

Importing a command, and having typer read its signature, takes longer than most commands run. So
only the command that is named is made; the others stand in the list with their help.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Final, NamedTuple

import typer
from typer import Typer

from rung.cli.errors import CommandError, ExitCode, explained, print_error
from rung.cli.helping import help_asked
from rung.cli.options import DEFAULT_HOME, HomeOption
from rung.cli.usage import usage_text

_HELP: Final = "Keep every user's standing in a payment campaign exactly right."
_EXIT_CODES: Final = f"Exit codes: {'; '.join(f'{code.value}: {code.meaning}' for code in ExitCode)}."
_COMPLETING: Final = "_RUNG_COMPLETE"
"""The variable with which a shell asks how a command line may go on."""
_OPTIONS: Final = frozenset({"--install-completion", "--show-completion"})
_NO_COMPLETION: Final = (
    "the shell that runs this cannot be told; `_RUNG_COMPLETE=source_bash rung` prints what bash needs,"
    " source_zsh and source_fish what zsh and fish do"
)


class _Command(NamedTuple):
    """Where a command is written: a function, or the typer application of a group."""

    module: str
    attribute: str
    help: str


COMMANDS: Final = {
    "init": _Command("rung.cli.initialise", "init", "Make a home: settings, an empty log, an empty store."),
    "store": _Command("rung.cli.store", "app", "Make, describe or drop the store's tables."),
    "log": _Command("rung.cli.log", "app", "Make or describe the log's topics; trim an embedded log."),
    "campaign": _Command("rung.cli.campaign", "app", "Check, apply and show campaigns; activate a version."),
    "ingest": _Command("rung.cli.ingest", "ingest", "Append the events of files to the log."),
    "worker": _Command("rung.cli.worker", "worker", "Apply the log's events to the store."),
    "archive": _Command("rung.cli.archive", "archive", "Append the log's events to the lake."),
    "lake": _Command("rung.cli.lake", "app", "Describe, check and compact the archive of events."),
    "status": _Command("rung.cli.status", "status", "Show a user's progress and the rate in force."),
    "explain": _Command("rung.cli.explain", "explain", "Show what each transaction of a period counts for."),
    "top": _Command("rung.cli.top", "top", "Watch events, lag, quarantine and jobs as they go."),
    "lag": _Command("rung.cli.lag", "lag", "Show how far each partition is applied, and what is stuck."),
    "quarantine": _Command("rung.cli.quarantine", "app", "List, show, retry or drop events not applied."),
    "audit": _Command("rung.cli.audit", "audit", "List who changed what, when and why."),
    "batch": _Command("rung.cli.batch", "app", "Aggregate everything again, prove, repair and settle."),
    "simulate": _Command("rung.cli.simulate", "simulate", "Run a candidate spec over past periods."),
    "grants": _Command("rung.cli.grants", "grants", "Settle the cash back of a period's purchases."),
    "prune": _Command("rung.cli.prune", "prune", "Forget what is older than any campaign keeps."),
    "erase": _Command("rung.cli.erase", "erase", "Remove a user's identity, and keep all totals."),
    "keys": _Command("rung.cli.keys", "app", "Make, list and revoke the keys of services for the API."),
    "serve": _Command("rung.cli.serve", "serve", "Run the status API, the page and the worker."),
    "webhooks": _Command("rung.cli.webhooks", "app", "Tell another system which steps users reach."),
    "console": _Command("rung.cli.console", "console", "Serve the operators' console in the browser."),
    "accounts": _Command("rung.cli.accounts", "app", "Add, list and remove the accounts of the console."),
    "generate": _Command("rung.cli.generate", "generate", "Write seeded synthetic events."),
    "doctor": _Command("rung.cli.doctor", "doctor", "Look for what is wrong, and say what to do."),
    "replay": _Command("rung.cli.replay", "replay", "Derive all figures from the log again."),
    "demo": _Command("rung.cli.demo", "demo", "Do the main job on the example data."),
}
_HIDDEN: Final = frozenset({"demo"})


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code.

    Expected errors are lines on standard error; with --json also one document on standard output.
    """
    as_json = "--json" in arguments
    try:
        app = application([*arguments, *_words_to_complete()])
        text = help_asked(app, arguments or (["--help"] if _COMPLETING not in os.environ else []))
        if text is not None:
            typer.echo(text)
            return ExitCode.OK
        result = app(args=list(arguments), prog_name="rung", standalone_mode=False)
        if result and not _OPTIONS.isdisjoint(arguments):
            raise CommandError(_NO_COMPLETION)
    except SystemExit as ended:
        # A shell asks for completions, or typer's answer to a reader (`head`, a pager) that has gone: that
        # one has seen what it wanted.
        if ended.code and not _OPTIONS.isdisjoint(arguments):
            return print_error(CommandError(_NO_COMPLETION), as_json=as_json)
        return ExitCode.OK
    except typer.Abort:
        error = CommandError("stopped; nothing was changed", ExitCode.INTERRUPTED)
        return print_error(error, as_json=as_json)
    except typer.TyperException as error:
        return print_error(CommandError(usage_text(error)), as_json=as_json)
    except Exception as error:
        expected = explained(error)
        if expected is None:
            raise
        return print_error(expected, as_json=as_json)
    return result if isinstance(result, int) else ExitCode.OK


def main() -> None:
    """Run the command line of this process."""
    if "--help" not in sys.argv:
        from rung.structured import write_words

        write_words()
    sys.exit(run(sys.argv[1:]))


def application(arguments: Sequence[str]) -> Typer:
    """Return the typer application, with the commands that are among the arguments."""
    app = Typer(
        name="rung",
        help=_HELP,
        epilog=_EXIT_CODES,
        invoke_without_command=True,
        add_completion=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for name, command in COMMANDS.items():
        if name not in arguments:
            app.command(name, help=command.help, hidden=name in _HIDDEN)(_not_made)
            continue
        found: Typer | Callable[..., object] = getattr(import_module(command.module), command.attribute)
        if isinstance(found, Typer):
            app.add_typer(found, name=name, help=command.help)
        else:
            app.command(name, hidden=name in _HIDDEN)(found)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"rung {version('rung')}")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    home: HomeOption = DEFAULT_HOME,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    ctx.obj = home
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def _not_made() -> None:
    raise AssertionError("unreachable: a command that runs is among the arguments")


def _words_to_complete() -> list[str]:
    """Return the words of the command line that a shell asks about, as bash tells them, or zsh and fish."""
    if _COMPLETING not in os.environ:
        return []
    return os.environ.get("COMP_WORDS", os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()
