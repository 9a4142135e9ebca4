"""One frame of `rung top`: what was seen, on a screen of a given size."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rung.cli.charts import bar, histogram
from rung.cli.glance import QUARANTINE_READ_MAX, Glance, PartitionGlance
from rung.cli.output import count_of, plain

_NAME: Final = "rung top  "
_LABEL_CELLS: Final = 11
_BAR_CELLS: Final = 16
_RATES_SHOWN: Final = 40
_PROBLEMS_SHOWN: Final = 2
_ROWS_BESIDE_PARTITIONS: Final = 13
"""The header, the lines, the table's head, and what says how many partitions are left out."""


def frame(seen: Glance, width: int, height: int, foot: str) -> RenderableType:
    """Return the frame of a glance: it fits into 80 cells by 24, and has more partitions on a higher screen.

    Args:
        seen: What to show.
        width: The screen's width, in cells.
        height: Its height.
        foot: What stands on the right of the first line: how to end it.
    """
    lines = [_header(seen, width, foot), Text()]
    for label, text, style in _lines(seen):
        if not text:
            continue
        lines.append(Text.assemble((f"{label:<{_LABEL_CELLS}}", "dim"), (plain(text), style)))
    problems = [
        Text(f"cannot be asked: {plain(problem)}", "bold red") for problem in seen.problems[:_PROBLEMS_SHOWN]
    ]
    for line in (*lines, *problems):
        line.truncate(width, overflow="ellipsis")
    rows = max(1, height - _ROWS_BESIDE_PARTITIONS - len(problems))
    return Group(*lines, *problems, Text(), *_table(seen.partitions, rows))


def _header(seen: Glance, width: int, foot: str) -> Text:
    """Return the first line; of a home with a long name the end is shown."""
    left = max(8, width - len(f"{_NAME}{seen.at}{foot}") - 4)
    home = plain(seen.home)
    shown = home if len(home) <= left else f"…{home[1 - left :]}"
    gap = "  " if not foot else " " * max(2, width - len(f"{_NAME}{shown}  {seen.at}{foot}"))
    return Text.assemble((_NAME, "bold"), shown, (f"  {seen.at}{gap}{foot}".rstrip(), "dim"))


def _lines(seen: Glance) -> list[tuple[str, str, str]]:
    """Return the label, the text and the style of each line."""
    return [
        ("events", _events(seen), ""),
        ("", histogram([round(rate) for rate in seen.rates[-_RATES_SHOWN:]]), "cyan"),
        ("lag", *_lag(seen)),
        ("store", _store(seen), ""),
        ("quarantine", *_quarantine(seen)),
        ("api", *_api(seen)),
        ("verified", *_verified(seen)),
        ("batch job", seen.job or "none runs", "cyan" if seen.job else "dim"),
    ]


def _events(seen: Glance) -> str:
    rate = "-" if seen.events_per_second is None else f"{seen.events_per_second:,.0f}"
    last = (
        f", last batch {seen.last_batch_events:,} at {seen.last_batch_at[11:19]}"
        if seen.last_batch_at
        else ""
    )
    return f"{rate}/s, {seen.events:,} applied, {seen.duplicates:,} duplicates{last}"


def _lag(seen: Glance) -> tuple[str, str]:
    if seen.lag_events is None or seen.freshness is None:
        return "unknown", "yellow"
    waits = seen.freshness
    text = (
        f"{count_of(seen.lag_events, 'event')}, oldest waits {waits.seconds:,.1f} s "
        f"(p50 {waits.p50_seconds:,.1f}, p99 {waits.p99_seconds:,.1f} of {count_of(waits.looks, 'look')})"
    )
    return text, "green" if seen.lag_events == 0 else "yellow"


def _store(seen: Glance) -> str:
    users = "-" if seen.users is None else f"{seen.users:,}"
    transactions = "-" if seen.transactions is None else f"{seen.transactions:,}"
    worker = f", worker {seen.worker}" if seen.worker else ""
    return f"{users} users, {transactions} transactions{worker}"


def _quarantine(seen: Glance) -> tuple[str, str]:
    found = seen.quarantine
    if found is None:
        return "unknown", "yellow"
    if not found.events:
        return "empty", "green"
    count = f"more than {QUARANTINE_READ_MAX:,} events" if found.more else count_of(found.events, "event")
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in found.reasons.items())
    return f"{count}: {reasons}", "yellow"


def _api(seen: Glance) -> tuple[str, str]:
    if seen.api.problem:
        return f"{seen.api.url}: {seen.api.problem}", "dim"
    rate = "-" if seen.api.requests_per_second is None else f"{seen.api.requests_per_second:,.0f}"
    text = f"{rate} requests/s, {seen.api.requests:,} answered, {count_of(seen.api.errors, 'error')}"
    return text, "red" if seen.api.errors else ""


def _verified(seen: Glance) -> tuple[str, str]:
    found = seen.verified
    if found is None:
        return "never: rung batch verify", "yellow"
    if found.clean:
        return f"{found.ended_at}: all of {count_of(found.users, 'user')} equal", "green"
    causes = ", ".join(f"{cause} {number:,}" for cause, number in found.causes.items())
    return f"{found.ended_at}: {causes}", "bold red"


def _table(partitions: list[PartitionGlance], rows: int) -> list[RenderableType]:
    """Return the partitions: all of them, or those that are stuck or furthest behind."""
    shown = partitions
    if len(partitions) > rows:
        urgent = sorted(partitions, key=lambda one: (one.state == "ok", -one.lag_events))[:rows]
        shown = sorted(urgent, key=lambda one: one.partition)
    most = max((one.lag_events for one in partitions), default=0)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("partition", "applied", "lag"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, min_width=_BAR_CELLS, style="cyan")
    table.add_column("state", no_wrap=True)
    for one in shown:
        table.add_row(
            str(one.partition),
            f"{one.applied:,}",
            f"{one.lag_events:,}",
            bar(one.lag_events, most, _BAR_CELLS),
            Text(one.state.replace("_", " "), "" if one.state == "ok" else "bold red"),
        )
    left = len(partitions) - len(shown)
    return (
        [table, Text(f"... and {count_of(left, 'other partition')}, less behind", "dim")] if left else [table]
    )
