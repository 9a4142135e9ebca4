"""`rung batch close` and `rung batch adjust`: settle a counting period, and tell what changes in it later."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.author import ByOption, author_of
from rung.cli.errors import CommandError
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption, YesOption

if TYPE_CHECKING:
    from rung.batch.settlement.adjust import Adjusted
    from rung.batch.settlement.close import Grace
    from rung.batch.settlement.closed import Closed
    from rung.campaign.counted import CountedVersion

CampaignArgument = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's name.")]
CountingArgument = Annotated[
    str, typer.Argument(metavar="PERIOD", help="The counting period, such as 2021-08.")
]


def close(
    campaign: CampaignArgument,
    period: CountingArgument,
    grace: Annotated[
        str,
        typer.Option(
            "--grace",
            metavar="TIME",
            help="How long after the period's end late events are waited for: 3d, 12h.",
        ),
    ] = "3d",
    wait: Annotated[
        float,
        typer.Option("--wait", metavar="SECONDS", min=0, help="How long events may take to be applied."),
    ] = 60.0,
    home: HomeOption = DEFAULT_HOME,
    yes: YesOption = False,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Settle a counting period, for good.

    The result of every user is written once. It takes a period that has ended, a clean `rung batch
    verify` since, and a worker that keeps up.
    """
    from rung import bootstrap
    from rung.batch.settlement.close import Closing
    from rung.batch.settlement.close import close as close_period
    from rung.cli.output import LiveLine
    from rung.operations.catalog import campaign_of, period_of

    closing = Closing(author_of(by, None).who, _grace_of(grace), wait)

    def agreed(counted: CountedVersion) -> None:
        if not yes:
            question = f"Close {period} of {campaign}, counted by version {counted.version.number}, for good?"
            typer.confirm(question, abort=True, err=True)

    line = LiveLine()
    with bootstrap.opened_workshop(bootstrap.open_home(home), f"close {campaign} {period}") as workshop:
        found = campaign_of(workshop.catalog(), campaign)
        closed, is_new = close_period(workshop, found, period_of(found, period), closing, agreed, line.show)
    _print_closed(closed, is_new=is_new, as_json=as_json)


def adjust(
    campaign: CampaignArgument,
    period: CountingArgument,
    home: HomeOption = DEFAULT_HOME,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what has changed in a closed period since. The result itself stays as it is."""
    from rung import bootstrap
    from rung.batch.settlement.adjust import adjust as adjust_period
    from rung.operations.catalog import campaign_of, period_of

    who = author_of(by, None).who
    with bootstrap.opened_workshop(bootstrap.open_home(home), f"adjust {campaign} {period}") as workshop:
        found = campaign_of(workshop.catalog(), campaign)
        adjusted = adjust_period(workshop, found, period_of(found, period), who)
    _print_adjusted(adjusted, as_json=as_json)


def _grace_of(text: str) -> Grace:
    from rung.batch.settlement.close import Grace

    found = re.fullmatch(r"([0-9]{1,4})([dh])", text)
    if found is None:
        raise CommandError(f"--grace is a number of days or hours, such as 3d or 12h, not {text!r}")
    number = int(found[1])
    return Grace(days=number) if found[2] == "d" else Grace(days=0, hours=number)


def _print_closed(closed: Closed, *, is_new: bool, as_json: bool) -> None:
    import msgspec

    from rung.cli.output import count_of, print_json, print_table, say, time_text

    manifest, origin = closed.manifest, closed.manifest.origin
    if as_json:
        print_json({"new": is_new, "file": str(closed.files.rows), **msgspec.to_builtins(manifest)})
        return
    what = f"{origin.campaign} {origin.counting_period}"
    if is_new:
        say(f"Closed {what}: {count_of(manifest.users, 'user')}, counted by version {origin.version}")
    else:
        say(
            f"{what} is closed already: by {manifest.who} at {time_text(manifest.closed_at)}, "
            f"{count_of(manifest.users, 'user')}; its result is what was written"
        )
    if manifest.steps:
        rows = [(name, f"{users:,}") for name, users in manifest.steps.items()]
        print_table(("step", "users"), rows, numbers=("users",))
    say(f"Result: {closed.files.rows} (SHA-256 {manifest.sha256})")


def _print_adjusted(adjusted: Adjusted, *, as_json: bool) -> None:
    import msgspec

    from rung.cli.output import count_of, print_json, say

    if as_json:
        print_json(
            {
                "new": adjusted.added,
                "adjustments": [
                    {"file": str(files.rows), **msgspec.to_builtins(manifest)}
                    for files, manifest in zip(adjusted.files, adjusted.manifests, strict=True)
                ],
            }
        )
        return
    origin = adjusted.closed.manifest.origin
    what = f"{origin.campaign} {origin.counting_period}"
    if adjusted.added:
        last = adjusted.manifests[-1]
        say(f"Adjusted {what}: {count_of(last.users, 'user')} changed (adjustment {last.number})")
        say(f"Changes: {adjusted.files[-1].rows} (SHA-256 {last.sha256})")
    else:
        say(f"Nothing changed in {what}; it has {count_of(len(adjusted.files), 'adjustment')}")
