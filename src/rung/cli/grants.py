"""`rung grants`: the cash back of each purchase of an effective period."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rung.cli.author import ByOption, author_of
from rung.cli.batch_close import CampaignArgument
from rung.cli.errors import CommandError
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

if TYPE_CHECKING:
    from rung.batch.settlement.grants import Form, Granted


def grants(
    campaign: CampaignArgument,
    period: Annotated[
        str,
        typer.Argument(
            metavar="PERIOD",
            help="The effective period, in which the purchases were made: the one after the counting period, "
            "or with `effective: same` that one.",
        ),
    ],
    form: Annotated[
        Literal["csv", "parquet"] | None,
        typer.Option("--format", help="The form of --output; else as its name ends."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write all grants of the period to a file."),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Settle the cash back of an effective period, at the rates of the counting period, which is closed.

    The first run grants every purchase. A later one grants what has changed since, as additions, and
    nothing if nothing has. Whoever pays each grant id once has paid what is due.
    """
    from rung import bootstrap
    from rung.batch.settlement.grants import export, grant
    from rung.operations.catalog import campaign_of, period_of

    if form is not None and output is None:
        raise CommandError("--format is the form of a file: name it with --output FILE")
    chosen = form if output is None or form is not None else _form_of(output)
    who = author_of(by, None).who
    with bootstrap.opened_workshop(bootstrap.open_home(home), f"grants {campaign} {period}") as workshop:
        found = campaign_of(workshop.catalog(), campaign)
        granted = grant(workshop, found, period_of(found, period), who)
        if output is not None and chosen is not None:
            export(granted, output, chosen)
    _print(granted, output, as_json=as_json)


def _form_of(output: Path) -> Form:
    match output.suffix.lower():
        case ".csv":
            return "csv"
        case ".parquet":
            return "parquet"
        case _:
            raise CommandError(f"{output} ends neither in .csv nor in .parquet: choose with --format")


def _print(granted: Granted, output: Path | None, *, as_json: bool) -> None:
    import msgspec

    from rung.cli.output import count_of, print_json, print_table, say

    if as_json:
        print_json(
            {
                "new": granted.added,
                "cash_back": sum(manifest.cash_back for manifest in granted.manifests),
                "output": None if output is None else str(output),
                "settlements": [
                    {"file": str(files.rows), **msgspec.to_builtins(manifest)}
                    for files, manifest in zip(granted.files, granted.manifests, strict=True)
                ],
            }
        )
        return
    first, last = granted.manifests[0], granted.manifests[-1]
    what = f"{first.origin.campaign} {first.period}"
    if not granted.added:
        say(f"Nothing changed in {what}, which is granted already")
    elif last.number == 1:
        say(
            f"Granted {what}: {count_of(last.grants, 'grant')} at the rates of {first.origin.counting_period}"
        )
    else:
        say(f"Granted {what}: {count_of(last.grants, 'change')} since settlement {last.number - 1}")
    print_table(
        ("settlement", "grants", f"cash back ({first.currency}, minor units)", "file", "sha256"),
        [
            (str(one.number), f"{one.grants:,}", f"{one.cash_back:,}", str(files.rows), one.sha256)
            for files, one in zip(granted.files, granted.manifests, strict=True)
        ],
        numbers=("grants", f"cash back ({first.currency}, minor units)"),
    )
    if output is not None:
        say(f"Wrote {count_of(sum(one.grants for one in granted.manifests), 'grant')} to {output}")
