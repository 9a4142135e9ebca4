"""`rung campaign`: check, apply, list and show campaigns; `schedule.py` has what moves their schedules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.author import ByOption, OptionalReasonOption
from rung.cli.diff import diff
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption
from rung.cli.schedule import activate, retire, roll_back
from rung.cli.specs import load_specs

if TYPE_CHECKING:
    from rung.campaign.catalog import Catalog, CountedVersion
    from rung.campaign.model import Campaign

app = typer.Typer(
    help="Check, apply, list and show campaigns, and choose which version serves.", rich_markup_mode=None
)
app.command()(activate)
app.command("rollback")(roll_back)
app.command()(retire)
app.command()(diff)

SpecArguments = Annotated[list[Path], typer.Argument(metavar="SPEC...", help="Campaign files (YAML).")]


@app.command()
def check(specs: SpecArguments, as_json: JsonOption = False) -> None:
    """Check campaign files and print every error. Needs no home."""
    from rung.campaign.catalog import Catalog
    from rung.cli.output import count_of, print_json, say

    campaigns = load_specs(specs)
    catalog = Catalog.decode(None)
    for campaign in campaigns:
        catalog = catalog.apply(campaign, {})
    if as_json:
        print_json({"ok": True, "campaigns": [campaign.name for campaign in campaigns]})
    else:
        for spec, campaign in zip(specs, campaigns, strict=True):
            say(f"{spec}: campaign {campaign.name}, {count_of(len(campaign.versions), 'version')}: fine")


@app.command()
def apply(
    specs: SpecArguments,
    reason: OptionalReasonOption = None,
    by: ByOption = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Check campaign files and put them into force.

    All of them or none. Of a version that is applied already, nothing changes: which one serves is for
    `rung campaign activate`.
    """
    from rung import bootstrap
    from rung.cli.author import author_of
    from rung.cli.output import print_json, say
    from rung.operations.catalog import apply_campaigns

    campaigns = load_specs(specs)
    opened = bootstrap.open_home(home)
    author = author_of(by, reason)
    with bootstrap.opened_store(opened) as store:
        before, after, starts = apply_campaigns(store, campaigns, bootstrap.clock, author)
    known = {(version.campaign.name, version.version.number) for version in before.versions}
    added = [one for one in after.versions if (one.campaign.name, one.version.number) not in known]
    partial = bool(added) and any(offset >= 0 for offset in starts.values())
    if as_json:
        print_json(
            {
                "ok": True,
                "applied": [campaign.name for campaign in campaigns],
                "versions_added": [[version.campaign.name, version.version.number] for version in added],
                "counts_past_events": not partial,
            }
        )
        return
    for campaign in campaigns:
        numbers = [str(version.version.number) for version in added if version.campaign.name == campaign.name]
        if numbers:
            say(f"Applied {campaign.name}: version {', '.join(numbers)} added")
        elif before.versions_of(campaign.name) == after.versions_of(campaign.name):
            say(f"Unchanged: {campaign.name}")
        else:
            say(f"Applied {campaign.name}: no version added")
    if partial:
        _say_partial(added, home)


def _say_partial(added: list[CountedVersion], home: Path) -> None:
    from rung.cli.output import say

    say("Events were applied before: what was added counts from here on (state: partial).")
    for one in added:
        name, number = one.campaign.name, one.version.number
        if all(span.version != number for span in one.campaign.spans()):
            say(f"Version {number} of {name} is a shadow: it is counted live, and serves no period.")
            say(f"To add its past: rung --home {home} batch backfill {name} {number}")
    say(f"To count the past of all as well: rung --home {home} replay")


@app.command("list")
def list_campaigns(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the campaigns in force."""
    from rung import bootstrap
    from rung.cli.output import print_json, print_table, say

    catalog = _catalog(home)
    rows: list[dict[str, object]] = []
    at = bootstrap.clock()
    for name, campaign in sorted(catalog.campaigns.items()):
        period = campaign.calendar.period_at(at)
        counting = campaign.version_counting(period)
        rows.append(
            {
                "campaign": name,
                "timezone": campaign.calendar.zone,
                "period": campaign.calendar.kind,
                "currency": campaign.currency,
                "versions": [version.number for version in campaign.versions],
                "counting": None if counting is None else {"period": str(period), "version": counting.number},
            }
        )
    if as_json:
        print_json({"campaigns": rows})
        return
    if not rows:
        say(f"No campaign is in force; apply one with: rung --home {home} campaign apply SPEC...")
        return
    print_table(
        ("campaign", "timezone", "period", "currency", "versions", "counting now"),
        [
            (
                name,
                campaign.calendar.zone,
                campaign.calendar.kind,
                campaign.currency,
                ", ".join(str(version.number) for version in campaign.versions),
                _counting_text(campaign, at),
            )
            for name, campaign in sorted(catalog.campaigns.items())
        ],
    )


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's name.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show one campaign. It tells which version serves which periods, and what each one counts."""
    import json

    from rung.campaign.described import describe_versions
    from rung.campaign.spec import canonical
    from rung.cli.output import print_json
    from rung.operations.catalog import campaign_of

    catalog = _catalog(home)
    campaign = campaign_of(catalog, name)
    if as_json:
        described = describe_versions(campaign, catalog.versions_of(name).values())
        print_json(
            {**json.loads(canonical(campaign)), "schedule": described.schedule, "counted": described.counted}
        )
        return
    typer.echo("\n".join(_described(campaign, catalog)))


def _catalog(home: Path) -> Catalog:
    from rung import bootstrap
    from rung.campaign.catalog import Catalog

    with bootstrap.opened_store(bootstrap.open_home(home), read_only=True) as store:
        return Catalog.decode(store.catalog()[1])


def _counting_text(campaign: Campaign, at: int) -> str:
    period = campaign.calendar.period_at(at)
    version = campaign.version_counting(period)
    return f"{period}: none" if version is None else f"{period}: version {version.number}"


def _described(campaign: Campaign, catalog: Catalog) -> list[str]:
    from rung.cli.timeline import timeline
    from rung.operations.wording import rule_lines

    calendar = campaign.calendar
    until = f", until {campaign.counts_until}" if campaign.counts_until is not None else ""
    lines = [
        f"campaign {campaign.name}",
        f"  {calendar.kind}s in {calendar.zone}, {campaign.currency}{until}",
        f"  a rate applies in the {campaign.effective} {calendar.kind}",
    ]
    lines += ["", *(f"  {line}" for line in timeline(catalog, campaign.name))]
    versions = catalog.versions_of(campaign.name)
    for version in campaign.versions:
        complete = versions[version.number].complete
        note = "" if complete else "; events before it was applied are not counted"
        lines += ["", f"  version {version.number} (identity {version.identity[:12]}){note}"]
        lines += (f"    {line}" for line in rule_lines(version))
    return lines
