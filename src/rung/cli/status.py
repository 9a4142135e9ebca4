"""`rung status`: what a user is shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption
from rung.cli.remote import KeyFileOption, ServerOption, chosen_server, connected

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rung.status.view import CampaignStatus, Condition, StepStatus, UserStatus


def status(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument(metavar="USER", help="The user's id.")],
    campaign: Annotated[str | None, typer.Option("--campaign", help="Only this campaign.")] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Which periods: RFC 3339 or a date (default: now)."),
    ] = None,
    server: ServerOption = None,
    key_file: KeyFileOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show a user's progress in the counting period and the rate in force."""
    from rung.cli.output import print_json

    address = chosen_server(ctx, server)
    if address is None:
        found = _status_of_home(home, user, campaign, at)
    else:
        with connected(address, key_file) as client:
            found = client.status(user, at=at, campaign=campaign)
    if as_json:
        print_json(found)
        return
    print_status(found)


def _status_of_home(home: Path, user: str, campaign: str | None, at: str | None) -> UserStatus:
    from rung import bootstrap
    from rung.access.subjects import for_operator
    from rung.cli.times import parse_at
    from rung.status.reader import StatusReader

    shown_at = bootstrap.clock() if at is None else parse_at(at, "--at")
    opened = bootstrap.open_home(home)
    with bootstrap.opened_store(opened, read_only=True) as store:
        reader = StatusReader(store, bootstrap.partitions_of(opened, store))
        return reader.status(for_operator(user.encode()), shown_at, campaign)


def print_status(found: UserStatus) -> None:
    """Print a status for people: one table per campaign."""
    from rung.cli.output import print_table, say

    if found.as_of.event_at is None:
        freshness = "no event was applied yet"
    else:
        position = f"{found.as_of.partition}:{found.as_of.offset}"
        freshness = f"as of event {position}, events up to {found.as_of.event_at}"
    typer.echo(f"user {found.user_id} ({freshness})")
    if not found.campaigns:
        say("No campaign is in force: rung campaign apply SPEC...")
    for campaign in found.campaigns:
        typer.echo("")
        print_table(("campaign", "", "period", "version", "rate", "figures"), list(_rows(campaign)))
        steps = campaign.counting.steps if campaign.counting is not None else ()
        for step in steps:
            typer.echo(f"  {_step_text(step)}")


def _rows(campaign: CampaignStatus) -> Iterator[tuple[str, str, str, str, str, str]]:
    counting, effective = campaign.counting, campaign.effective
    if counting is None:
        yield campaign.campaign, "counting", "none: outside the campaign", "", "", ""
    else:
        yield (
            campaign.campaign,
            "counting",
            counting.period,
            f"{counting.version} ({counting.state})",
            f"{counting.rate_percent}%",
            _figures(counting.measures),
        )
    if effective is None:
        yield "", "in force", "none: outside the campaign", "", "", ""
    else:
        yield (
            "",
            "in force",
            f"{effective.period}, earned in {effective.earned_in}",
            f"{effective.version} ({effective.state})",
            f"{effective.rate_percent}%",
            _figures(effective.measures),
        )


def print_overview(users: Sequence[UserStatus]) -> None:
    """Print several users in one table: where they stand, what they have, and what is missing."""
    from rung.cli.output import print_table

    rows: list[tuple[str, ...]] = []
    for user in users:
        for index, campaign in enumerate(user.campaigns):
            counting, effective = campaign.counting, campaign.effective
            unmet = [step for step in counting.steps if not step.met] if counting is not None else []
            rows.append(
                (
                    user.user_id if index == 0 else "",
                    campaign.campaign,
                    "none" if effective is None else f"{effective.rate_percent}%",
                    "none" if counting is None else counting.period,
                    "" if counting is None else _figures(counting.measures),
                    "" if counting is None else f"{counting.rate_percent}%",
                    f"+{unmet[0].add_percent}% {_conditions_text(unmet[0])}" if unmet else "",
                )
            )
    columns = ("user", "campaign", "rate", "counting", "figures", "earned", "next step")
    print_table(columns, rows)


def _figures(measures: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in measures.items())


def _step_text(step: StepStatus) -> str:
    from msgspec import UNSET

    conditions = _conditions_text(step)
    # A step that is not met and waits for nothing is one of a closed period.
    mark = "met" if step.met else "not yet" if conditions else "not met"
    on = "" if step.on is UNSET else f" on {step.on}"
    return f"+{step.add_percent}%{on} {step.name}: {mark}{f': {conditions}' if conditions else ''}"


def _conditions_text(step: StepStatus) -> str:
    return "; ".join(_condition_text(condition) for condition in step.conditions)


def _condition_text(condition: Condition) -> str:
    """Return `payments >= 3 (2 so far, 1 to go)`, `total >= 100 (250)` or `user.premium (not met)`."""
    from msgspec import UNSET

    from rung.status.view import Comparison

    if not isinstance(condition, Comparison):
        return f"{condition.expression} ({'met' if condition.met else 'not met'})"
    if condition.value is None:
        return f"{condition.expression} (unknown)"
    if condition.remaining is UNSET or condition.remaining == 0:
        return f"{condition.expression} ({condition.value:,}{'' if condition.met else ', not met'})"
    return f"{condition.expression} ({condition.value:,} so far, {condition.remaining:,} to go)"
