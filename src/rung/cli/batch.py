"""`rung batch`: aggregate, verify, repair, monitor, close: everything that looks at the whole record."""

from __future__ import annotations

import typer

from rung.cli.batch_aggregate import aggregate

app = typer.Typer(
    help="Aggregate everything again, prove the store equal, repair and settle.", rich_markup_mode=None
)
app.command()(aggregate)
