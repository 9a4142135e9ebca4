"""`rung explain`: each transaction of a user's period, counted or not, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.errors import ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption
from rung.cli.remote import KeyFileOption, ServerOption, chosen_server, connected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rung.status.explanation import Explanation, StepView


def explain(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument(metavar="USER", help="The user's id.")],
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's name.")],
    period: Annotated[str, typer.Argument(metavar="PERIOD", help="Such as 2011-11, 2011-W45 or 2011-11-20.")],
    version: Annotated[
        int | None, typer.Option("--version", min=0, help="Another version than the period's own.")
    ] = None,
    server: ServerOption = None,
    key_file: KeyFileOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> ExitCode:
    """Show each transaction of a period with its reason code and what it contributes.

    Reads the user's events from the log, and from the lake what the log no longer has. Exits with 1 if the
    sum differs from the stored figures.
    """
    from rung.cli.output import print_json

    address = chosen_server(ctx, server)
    if address is None:
        found = _explained_by_home(home, user, campaign, period, version)
    else:
        with connected(address, key_file) as client:
            found = client.explain(user, campaign, period, version=version)
    if as_json:
        print_json(found)
    else:
        _print(found)
    return ExitCode.OK if found.exact else ExitCode.PROBLEMS


def _explained_by_home(home: Path, user: str, campaign: str, period: str, version: int | None) -> Explanation:
    from functools import partial

    from rung import bootstrap
    from rung.operations.explaining import explain as explain_user

    opened = bootstrap.open_home(home)
    with (
        bootstrap.opened_log(opened, read_only=True) as log,
        bootstrap.opened_store(opened, read_only=True) as store,
    ):
        return explain_user(
            log,
            store,
            partial(bootstrap.opened_whole_log, opened),
            bootstrap.partitions_of(opened, store, log),
            user,
            campaign,
            period,
            version,
        )


def _print(found: Explanation) -> None:
    from rung.cli.output import count_of, print_table, say

    names = list(found.measures)
    typer.echo(f"user {found.user_id}, campaign {found.campaign}, {found.period}, version {found.version}")
    if found.transactions:
        rows = [
            (
                one.transaction_id,
                _reason(one.reason, one.below_condition),
                *(f"{one.contributions[name]:+,}" if one.contributions[name] else "" for name in names),
                _history_text(one.history) + (f" ({one.detail})" if one.detail else ""),
            )
            for one in found.transactions
        ]
        total = ("sum", "", *(f"{found.measures[name]:,}" for name in names), "")
        print_table(("transaction", "reason", *names, "history"), [*rows, total], names)
    else:
        typer.echo("no transaction in this period")
    for event in found.rejected:
        typer.echo(f"not applied: {event.partition}:{event.offset} {event.reason}: {event.detail}")
    if found.closed is not None:
        met = ", ".join(found.closed.met) or "no step"
        say(
            f"{found.period} is closed: what was earned in it, {found.closed.rate_percent}% ({met}), stays, "
            "whatever is counted since."
        )
    if found.partial:
        say("Events before the version was applied are not counted; `rung replay` counts them.")
    if found.exact:
        say(f"The sum of {count_of(len(found.transactions), 'transaction')} equals the stored figures.")
    else:
        say(f"error: the stored figures differ: {dict(found.stored)}; `rung replay` derives them again")


def _reason(reason: str, below_condition: tuple[str, ...]) -> str:
    """Return `counted`, `counted, but below_condition:payments`, `below_condition:payments,total`."""
    if not below_condition:
        return reason
    below = f"below_condition:{','.join(below_condition)}"
    return f"{reason}, but {below}" if reason == "counted" else below


def _history_text(history: Sequence[StepView]) -> str:
    return ", ".join(f"{step.status} {step.amount:,} {step.at}" for step in history)
