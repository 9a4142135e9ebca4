"""`rung campaign activate`, `rollback` and `retire`: which version serves, and which is counted no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.author import ByOption, ReasonOption
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rung.campaign.catalog import Catalog
    from rung.cli.author import Author

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
    """Let a version serve from a period on, until the next one in the schedule.

    It needs a clean `rung batch verify` of the last day, and the hash of a `rung campaign diff`.

    Readers see the old schedule or the new one. What is counted does not change: the version that is
    replaced goes on counting, so that `rung campaign rollback` can go back at once.
    """
    from rung import bootstrap
    from rung.batch.proof.gates import check_activation
    from rung.campaign.described import schedule_of
    from rung.cli.author import author_of
    from rung.cli.catalog import period_of
    from rung.cli.output import print_json, say

    folder, now = bootstrap.open_home(home).batch_folder, bootstrap.clock()

    def activated(before: Catalog) -> Catalog:
        first = period_of(before.campaigns[campaign], period)
        after = before.activate(campaign, version, first)
        if not unproven:
            check_activation(folder, before, campaign, version, first, diff, now)
        return after

    author = author_of(by, reason)
    action = "activate-unproven" if unproven else "activate"
    before, after = _changed(home, campaign, activated, action, f"{campaign} {version}", author)
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
    from rung.campaign.described import schedule_of
    from rung.cli.author import author_of
    from rung.cli.output import print_json, say

    def rolled_back(before: Catalog) -> Catalog:
        return before.roll_back(campaign)

    author = author_of(by, reason)
    before, after = _changed(home, campaign, rolled_back, "rollback", campaign, author)
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
    """Stop counting a version that serves no period from the current one on.

    It still counts up to the current period, and no later one, for good: it cannot serve those any more.
    """
    from rung import bootstrap
    from rung.campaign.counted import periods_text
    from rung.campaign.described import describe_versions
    from rung.cli.author import author_of
    from rung.cli.output import print_json, say

    at = bootstrap.clock()

    def retired(before: Catalog) -> Catalog:
        return before.retire(campaign, version, before.campaigns[campaign].calendar.period_at(at))

    author = author_of(by, reason)
    _, after = _changed(home, campaign, retired, "retire", f"{campaign} {version}", author)
    counted = after.versions_of(campaign)[version]
    if as_json:
        (described,) = describe_versions(counted.campaign, [counted]).counted
        print_json({"ok": True, "campaign": campaign, "counted": described})
    else:
        counts = periods_text(counted.campaign, *counted.periods)
        say(f"Retired {campaign}: version {version} counts {counts}, and no later period any more")


def _changed(
    home: Path,
    campaign: str,
    change: Callable[[Catalog], Catalog],
    action: str,
    subject: str,
    author: Author,
) -> tuple[Catalog, Catalog]:
    from rung import bootstrap
    from rung.cli.catalog import change_campaign

    with bootstrap.opened_store(bootstrap.open_home(home)) as store:
        return change_campaign(
            store, campaign, change, bootstrap.clock, f"campaign.{action}", subject, author
        )


def _say_schedules(before: Catalog, after: Catalog, campaign: str) -> None:
    from rung.cli.output import say
    from rung.cli.timeline import timeline

    for title, catalog in (("before", before), ("after", after)):
        say(f"{title}:")
        for line in timeline(catalog, campaign):
            say(f"  {line}")
