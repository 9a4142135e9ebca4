"""`rung campaign`: check, apply, list and show campaigns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.errors import CommandError, ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

if TYPE_CHECKING:
    from rung.campaign.catalog import Catalog
    from rung.campaign.model import Campaign
    from rung.campaign.spec import SpecError

app = typer.Typer(help="Check, apply, list and show campaigns.", rich_markup_mode=None)

SpecArguments = Annotated[list[Path], typer.Argument(metavar="SPEC...", help="Campaign files (YAML).")]


@app.command()
def check(specs: SpecArguments, as_json: JsonOption = False) -> ExitCode:
    """Check campaign files and print every error with its place; needs no home."""
    from rung.campaign.catalog import Catalog
    from rung.cli.output import count_of, print_json, say

    campaigns, errors = _load(specs)
    if not errors:
        catalog = Catalog.decode(None)
        for campaign in campaigns:
            catalog = catalog.apply(campaign, {})
    if as_json:
        print_json({"ok": not errors, "errors": [_error_mapping(error) for error in errors]})
    elif not errors:
        for spec, campaign in zip(specs, campaigns, strict=True):
            say(f"{spec}: campaign {campaign.name}, {count_of(len(campaign.versions), 'version')}: fine")
    else:
        _print_errors(errors)
    return ExitCode.BAD_INPUT if errors else ExitCode.OK


@app.command()
def apply(specs: SpecArguments, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> ExitCode:
    """Check campaign files and put them into force, all of them or none."""
    from rung import bootstrap
    from rung.cli.catalog import change_catalog
    from rung.cli.output import print_json, say

    campaigns, errors = _load(specs)
    if errors:
        if as_json:
            print_json({"ok": False, "errors": [_error_mapping(error) for error in errors]})
        else:
            _print_errors(errors)
        return ExitCode.BAD_INPUT
    opened = bootstrap.open_home(home)
    with bootstrap.opened_store(opened) as store:
        before, after, starts = change_catalog(store, campaigns)
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
        return ExitCode.OK
    for campaign in campaigns:
        numbers = [str(version.version.number) for version in added if version.campaign.name == campaign.name]
        if numbers:
            say(f"Applied {campaign.name}: version {', '.join(numbers)} added")
        elif before.campaigns.get(campaign.name) == campaign:
            say(f"Unchanged: {campaign.name}")
        else:
            say(f"Applied {campaign.name}: no version added")
    if partial:
        say("Events were applied before: what was added counts from here on (state: partial).")
        say(f"To count the past as well: rung --home {home} replay")
    return ExitCode.OK


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
    """Show one campaign: its versions, their measures and their steps."""
    import json

    from rung.campaign.spec import canonical
    from rung.cli.output import print_json
    from rung.status.evaluate import UnknownCampaign

    catalog = _catalog(home)
    campaign = catalog.campaigns.get(name)
    if campaign is None:
        raise UnknownCampaign(name, tuple(catalog.campaigns))
    if as_json:
        print_json(json.loads(canonical(campaign)))
        return
    typer.echo("\n".join(_described(campaign, catalog)))


def _load(specs: list[Path]) -> tuple[list[Campaign], list[SpecError]]:
    """Return the campaigns, and every error of every file."""
    from rung.campaign.spec import InvalidSpec, load

    campaigns: list[Campaign] = []
    errors: list[SpecError] = []
    for spec in specs:
        try:
            campaigns.append(load(spec.read_text(encoding="utf-8"), str(spec)))
        except InvalidSpec as invalid:
            errors.extend(invalid.errors)
        except UnicodeDecodeError as error:
            raise CommandError(f"{spec}: not a text file in UTF-8 (byte {error.start})") from error
        except OSError as error:
            raise CommandError(f"{spec}: cannot be read: {error.strerror}") from error
    return campaigns, errors


def _print_errors(errors: list[SpecError]) -> None:
    from rung.cli.output import count_of, say

    for error in errors:
        meant = f"; {error.suggestion}" if error.suggestion else ""
        say(f"{error.file}:{error.line}:{error.column}: {error.message}{meant}")
    say(f"error: {count_of(len(errors), 'error')} in the campaign files; nothing was applied")


def _error_mapping(error: SpecError) -> dict[str, object]:
    return {
        "file": error.file,
        "line": error.line,
        "column": error.column,
        "message": error.message,
        "suggestion": error.suggestion,
    }


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
    calendar = campaign.calendar
    until = f", until {campaign.counts_until}" if campaign.counts_until is not None else ""
    lines = [
        f"campaign {campaign.name}",
        f"  {calendar.kind}s in {calendar.zone}, {campaign.currency}{until}",
        f"  a rate applies in the {campaign.effective} {calendar.kind}",
    ]
    partial = {
        counted.version.number
        for counted in catalog.versions
        if counted.campaign.name == campaign.name and counted.starts
    }
    for version in campaign.versions:
        shadow = version.counts_from is None
        start = "shadow: counted, not served" if shadow else f"counts from {version.counts_from}"
        note = "; events before it was applied are not counted" if version.number in partial else ""
        lines += ["", f"  version {version.number}: {start} (identity {version.identity[:12]}){note}"]
        lines.append(f"    refunds post to the {version.post_to}'s period")
        for measure in version.measures:
            where = f" where {measure.where.text}" if measure.where is not None else ""
            lines.append(f"    {measure.name} = {measure.kind} of {measure.expression.text}{where}")
        lines.append(f"    base rate {version.reward.base_percent}%")
        for step in version.reward.steps:
            when = step.when.text if step.when is not None else "always"
            on = f", on {step.on.text}" if step.on is not None else ""
            lines.append(f"    +{step.add_percent}% {step.name}: {when}{on}")
    return lines
