"""`rung campaign activate`, `rollback` and `retire`: which version serves, and which is counted no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.author import ByOption, ReasonOption
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

if TYPE_CHECKING:
    from rung.campaign.catalog import Catalog

CampaignArgument = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's name.")]
VersionArgument = Annotated[int, typer.Argument(metavar="VERSION", help="The version's number.")]


def activate(
    campaign: CampaignArgument,
    version: VersionArgument,
    period: Annotated[
        str, typer.Option("--from", metavar="PERIOD", help="The first counting period that it serves.")
    ],
    reason: ReasonOption,
    diff: Annotated[
        str | None,
        typer.Option(
            "--diff", metavar="HASH", help="The accepted `rung campaign diff` from what serves now."
        ),
    ] = None,
    unproven: Annotated[
        bool, typer.Option("--unproven", help="Without a verification and a diff; the audit list tells it.")
    ] = False,
    by: ByOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Let a version serve from a period on.

    It serves until the next entry of the schedule.

    It needs a clean `rung batch verify` of the last day, and the hash of a `rung campaign diff`.

    Readers see the old schedule or the new one. What is counted does not change: the version that is
    replaced goes on counting, so that `rung campaign rollback` can go back at once.
    """
    from rung import bootstrap
    from rung.campaign.described import schedule_of
    from rung.cli.author import author_of
    from rung.cli.output import print_json, say
    from rung.operations.catalog import period_of
    from rung.operations.serving import activate as activate_version

    opened = bootstrap.open_home(home)
    author = author_of(by, reason)
    with bootstrap.opened_store(opened) as store:
        before, after = activate_version(
            store,
            opened.batch_folder,
            bootstrap.clock,
            campaign,
            version,
            period,
            diff,
            author,
            unproven=unproven,
        )
    moved = after.campaigns[campaign]
    later = moved.schedule.until(moved.counts_until).after(period_of(moved, period))
    if as_json:
        print_json(
            {
                "ok": True,
                "campaign": campaign,
                "version": version,
                "from": period,
                "before": schedule_of(before.campaigns[campaign]),
                "after": schedule_of(moved),
                "later": [{"version": entry.version, "from": str(entry.period)} for entry in later],
            }
        )
        return
    say(f"Activated {campaign}: version {version} serves from {period} on")
    if later:
        entries = ", ".join(f"version {entry.version} from {entry.period}" for entry in later)
        say(f"Later entries stay in force: {entries}")
    _say_schedules(before, after, campaign)
    say(f"To take it back: rung --home {home} campaign rollback {campaign} --reason TEXT")


def roll_back(
    campaign: CampaignArgument,
    reason: ReasonOption,
    by: ByOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Put the schedule back as it was before the last activation."""
    from rung import bootstrap
    from rung.campaign.described import schedule_of
    from rung.cli.author import author_of
    from rung.cli.output import print_json, say
    from rung.operations.serving import roll_back as roll_back_schedule

    author = author_of(by, reason)
    with bootstrap.opened_store(bootstrap.open_home(home)) as store:
        before, after = roll_back_schedule(store, bootstrap.clock, campaign, author)
    if as_json:
        print_json(
            {
                "ok": True,
                "campaign": campaign,
                "before": schedule_of(before.campaigns[campaign]),
                "after": schedule_of(after.campaigns[campaign]),
            }
        )
        return
    say(f"Rolled back {campaign}: the last activation is taken back")
    _say_schedules(before, after, campaign)


def retire(
    campaign: CampaignArgument,
    version: VersionArgument,
    reason: ReasonOption,
    by: ByOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Stop counting a version that serves no more.

    It may serve no period from the current one on. It still counts up to the current period, and no later
    one, for good: it cannot serve those any more.
    """
    from rung import bootstrap
    from rung.campaign.counted import periods_text
    from rung.campaign.described import describe_versions
    from rung.cli.author import author_of
    from rung.cli.output import print_json, say
    from rung.operations.catalog import change_campaign

    at = bootstrap.clock()

    def retired(before: Catalog) -> Catalog:
        return before.retire(campaign, version, before.campaigns[campaign].calendar.period_at(at))

    author = author_of(by, reason)
    with bootstrap.opened_store(bootstrap.open_home(home)) as store:
        _, after = change_campaign(
            store, campaign, retired, bootstrap.clock, "campaign.retire", f"{campaign} {version}", author
        )
    counted = after.versions_of(campaign)[version]
    if as_json:
        (described,) = describe_versions(counted.campaign, [counted]).counted
        print_json({"ok": True, "campaign": campaign, "counted": described})
    else:
        counts = periods_text(counted.campaign, *counted.periods)
        say(f"Retired {campaign}: version {version} counts {counts}, and no later period any more")


def _say_schedules(before: Catalog, after: Catalog, campaign: str) -> None:
    from rung.cli.output import say
    from rung.cli.timeline import timeline

    for title, catalog in (("before", before), ("after", after)):
        say(f"{title}:")
        for line in timeline(catalog, campaign):
            say(f"  {line}")
