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
)
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

if TYPE_CHECKING:
    from rung.batch.forecast.simulate import Simulation


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
) -> None:
    """Run a candidate over the lake, and compare it with the version in force in each period.

    Nothing is changed. Amounts are in minor units, each with the interval in which it would be for 95 of 100
    such sets of users. Where the period in which the rates are in force is not over yet, the cash back is
    projected from the purchases of the last whole one.
    """
    import msgspec

    from rung import bootstrap
    from rung.cli.output import print_json
    from rung.cli.specs import load_specs
    from rung.operations.forecasting import periods_of, run_candidate, version_in

    (candidate,) = load_specs([spec])
    chosen = version_in(candidate, version, str(spec))
    periods_of(candidate, periods)
    with bootstrap.opened_workshop(bootstrap.open_home(home), f"simulate {candidate.name}") as workshop:
        found = run_candidate(workshop, candidate, chosen, periods, campaign, against, newest=as_of_snapshot)
    if as_json:
        print_json(msgspec.to_builtins(found, str_keys=True))
    else:
        _print(found)


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
