"""`rung batch aggregate`: every user's figures from the lake, as of exact positions."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.errors import CommandError
from rung.cli.options import DEFAULT_HOME, HomeOption, JsonOption

if TYPE_CHECKING:
    from rung.batch.aggregate import Aggregation
    from rung.batch.workshop import Workshop
    from rung.bootstrap import Home


class Engine(StrEnum):
    """What computes the figures."""

    DUCKDB = "duckdb"
    SPARK = "spark"


def aggregate(
    home: HomeOption = DEFAULT_HOME,
    full: Annotated[
        bool, typer.Option("--full", help="Begin with the first event, not with the last snapshot.")
    ] = False,
    engine: Annotated[
        Engine,
        typer.Option("--engine", help="What computes it; spark, for a cluster, only with --full."),
    ] = Engine.DUCKDB,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write every user's measures, as .parquet or .csv."),
    ] = None,
    campaign: Annotated[str | None, typer.Option(help="In FILE, only this campaign.")] = None,
    version: Annotated[int | None, typer.Option(help="In FILE, only this version; with --campaign.")] = None,
    period: Annotated[
        str | None, typer.Option(metavar="PERIOD", help="In FILE, only this period; with --campaign.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Aggregate all events, and keep a snapshot for the next run."""
    from rung import bootstrap
    from rung.cli.output import count_of, print_json, say

    if output is None and (campaign, version, period) != (None, None, None):
        raise CommandError("--campaign, --version and --period choose what is written: add --output FILE")
    if campaign is None and (version, period) != (None, None):
        raise CommandError("--version and --period are a campaign's: add --campaign NAME")

    if engine is Engine.SPARK and not full:
        raise CommandError("--engine spark begins with the first event: add --full, or leave out --engine")
    started = time.monotonic()
    opened = bootstrap.open_home(home)
    with bootstrap.opened_workshop(opened, "aggregate") as workshop:
        if engine is Engine.SPARK:
            done = _on_spark(opened, workshop)
        else:
            done = workshop.aggregate_to(dict(workshop.log.ends()), full=full)
        if output is not None:
            rows = _written(workshop, done, output, campaign, version, period)
            say(f"Wrote {count_of(rows, 'measure')} to {output}")
    seconds = time.monotonic() - started
    if as_json:
        print_json(
            {
                "snapshot": done.snapshot.number,
                "events": done.events,
                "transactions": done.transactions,
                "positions": {str(key): value for key, value in done.snapshot.positions.items()},
                "seconds": round(seconds, 3),
            }
        )
        return
    say(
        f"Snapshot {done.snapshot.number}: {count_of(done.events, 'event')} since the one before, "
        f"{count_of(done.transactions, 'transaction')} grew ({seconds:.1f} s)"
    )


def _written(
    workshop: Workshop,
    done: Aggregation,
    output: Path,
    campaign: str | None,
    version: int | None,
    period: str | None,
) -> int:
    """Write what is wanted of a snapshot, and return how many rows that are."""
    from rung.batch.export import export_figures
    from rung.operations.catalog import campaign_of, period_of

    catalog = workshop.catalog()
    if campaign is None:
        versions, only = list(catalog.versions), None
    else:
        found = campaign_of(catalog, campaign)
        only = None if period is None else period_of(found, period)
        versions = (
            list(catalog.versions_of(campaign).values())
            if version is None
            else [catalog.version(campaign, version)]
        )
    return export_figures(workshop, done.snapshot, versions, only, output)


def _on_spark(home: Home, workshop: Workshop) -> Aggregation:
    from rung import bootstrap

    folder = workshop.folder / "spark"
    with bootstrap.opened_spark(home, folder) as session:
        from rung.batch.spark.aggregate import aggregate_on_spark

        return aggregate_on_spark(session, workshop, folder, dict(workshop.log.ends()))
