"""`rung simulate`: what a candidate spec would have made of periods that the lake has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.comparing import (
    SnapshotOption,
    print_cash_back,
    print_rates,
    print_steps,
    print_thresholds,
    snapshot_of,
)
from rung.cli.errors import CommandError, ExitCode
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

if TYPE_CHECKING:
    from rung.batch.forecast.simulate import Simulation
    from rung.campaign.calendar import Period
    from rung.campaign.catalog import Catalog
    from rung.campaign.model import Campaign, Version


def simulate(
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC", help="A campaign file (YAML); it need not be applied.")
    ],
    periods: Annotated[
        str,
        typer.Option("--periods", metavar="P..Q", help="The counting periods, from one to another; or one."),
    ],
    version: Annotated[
        int | None, typer.Option("--version", metavar="V", help="The file's version to run; else its last.")
    ] = None,
    campaign: Annotated[
        str | None,
        typer.Option(
            "--campaign", metavar="C", help="The applied campaign to compare with; else the one of that name."
        ),
    ] = None,
    against: Annotated[
        int | None,
        typer.Option(
            "--against", metavar="V", help="The applied version to compare with; else who serves each period."
        ),
    ] = None,
    as_of_snapshot: SnapshotOption = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> ExitCode:
    """Run a candidate over the lake, and compare it with the version in force in each period.

    Nothing is changed. Amounts are in minor units, each with the interval in which it would be for 95 of 100
    such sets of users. Where the period in which the rates are in force is not over yet, the cash back is
    projected from the purchases of the last whole one.
    """
    import msgspec

    from rung import bootstrap
    from rung.batch.forecast.simulate import simulate as run
    from rung.cli.output import print_json
    from rung.cli.specs import load_specs, print_errors

    campaigns, errors = load_specs([spec])
    if errors:
        print_errors(errors, as_json=as_json)
        return ExitCode.BAD_INPUT
    (candidate,) = campaigns
    chosen = _version_of(candidate, version, str(spec))
    asked = _periods(candidate, periods)
    with bootstrap.opened_workshop(bootstrap.open_home(home), f"simulate {candidate.name}") as workshop:
        opponent = _opponent(workshop.catalog(), candidate, campaign, against)
        snapshot = snapshot_of(workshop, newest=as_of_snapshot)
        found = run(workshop, snapshot, candidate, chosen, asked, opponent, against)
    if as_json:
        print_json(msgspec.to_builtins(found, str_keys=True))
    else:
        _print(found)
    return ExitCode.OK


def _version_of(campaign: Campaign, number: int | None, spec: str) -> Version:
    if number is None:
        return campaign.versions[-1]
    for version in campaign.versions:
        if version.number == number:
            return version
    known = ", ".join(str(version.number) for version in campaign.versions)
    raise CommandError(f"{spec}: campaign {campaign.name} has no version {number}; there are: {known}")


def _periods(campaign: Campaign, text: str) -> list[Period]:
    from rung.campaign.calendar import Period
    from rung.cli.catalog import period_of

    first, dots, last = text.partition("..")
    start = period_of(campaign, first)
    end = period_of(campaign, last) if dots else start
    if end < start:
        raise CommandError(f"--periods: {start} comes after {end}: write the earlier one first")
    return [Period(start.kind, ordinal) for ordinal in range(start.ordinal, end.ordinal + 1)]


def _opponent(catalog: Catalog, candidate: Campaign, name: str | None, number: int | None) -> Campaign | None:
    from rung.cli.catalog import campaign_of

    applied = catalog.campaigns.get(candidate.name)
    found = applied if name is None else campaign_of(catalog, name)
    if number is not None:
        if found is None:
            raise CommandError(
                f"--against {number}: campaign {candidate.name} is not applied; "
                "name an applied one with --campaign"
            )
        known = catalog.versions_of(found.name)
        if number not in known:
            listed = ", ".join(map(str, sorted(known)))
            raise CommandError(f"campaign {found.name} has no version {number}; there are: {listed}")
    return found


def _print(found: Simulation) -> None:
    from rung.cli.output import say

    say(f"Candidate: campaign {found.campaign}, version {found.version} (identity {found.identity[:12]})")
    if found.against is None:
        say("No campaign of this name is applied: it is compared with nothing")
    else:
        say(f"Compared with what is applied of campaign {found.against}")
    for note in found.notes:
        say(f"Note: {note}")
    say(f"Cash back in minor units of {found.periods[0].after.currency}, with 95 % intervals:")
    print_cash_back(found.periods)
    say("Users by step:")
    print_steps(found.periods)
    if len(found.periods) == 1:
        say("Users by rate:")
        print_rates(found.periods[0])
    if any(one.after.thresholds for one in found.periods):
        say("Users near the candidate's thresholds (within a tenth, or one), and all of them by tenths:")
        print_thresholds(found.periods)
