"""`rung batch backfill`: add the past to a version that started amid events."""

from __future__ import annotations

from typing import Annotated

import typer

from rung.cli.author import ByOption, OptionalReasonOption, author_of
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption


def backfill(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's name.")],
    version: Annotated[int, typer.Argument(metavar="VERSION", help="The version's number.")],
    by: ByOption = None,
    reason: OptionalReasonOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Add to a version what came before it, while events flow. It may be cut short and run again."""
    from rung import bootstrap
    from rung.batch.proof.backfill import backfill as add_the_past
    from rung.cli.output import LiveLine, count_of, print_json, say

    author = author_of(by, reason)
    line = LiveLine()
    opened = bootstrap.open_home(home)
    with (
        bootstrap.opened_workshop(opened, f"backfill {campaign} {version}") as workshop,
        bootstrap.opened_mirror(opened) as mirror,
    ):
        complete = workshop.catalog().version(campaign, version).complete
        done = add_the_past(
            workshop,
            campaign,
            version,
            author.who,
            author.reason,
            lambda count, total: line.show(f"Added the past of {count:,} of {count_of(total, 'user')}"),
            mirror.forget,
        )
    if as_json:
        print_json(
            {
                "campaign": campaign,
                "version": version,
                "complete": True,
                "users": done.users,
                "users_before": done.before,
            }
        )
    elif complete:
        say(f"Version {version} of {campaign} is complete already")
    else:
        say(f"Added the past of {count_of(done.users, 'user')}; version {version} of {campaign} is complete")
