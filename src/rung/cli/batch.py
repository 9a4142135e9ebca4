"""`rung batch`: aggregate, verify, repair, monitor, close: everything that looks at the whole record."""

from __future__ import annotations

import typer

from rung.cli.batch_aggregate import aggregate
from rung.cli.batch_backfill import backfill
from rung.cli.batch_close import adjust, close
from rung.cli.batch_monitor import late, monitor
from rung.cli.batch_verify import repair, verify
from rung.cli.prune import settle

app = typer.Typer(
    help="Aggregate everything again, prove the store equal, repair and settle.", rich_markup_mode=None
)
app.command()(aggregate)
app.command()(verify)
app.command()(backfill)
app.command()(repair)
app.command()(close)
app.command()(adjust)
app.command()(settle)
app.command()(monitor)
app.command()(late)
