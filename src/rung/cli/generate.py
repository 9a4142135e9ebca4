"""`rung generate`: seeded synthetic traffic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rung.cli.errors import CommandError
from rung.cli.options import JsonOption

if TYPE_CHECKING:
    from rung.traffic import TrafficCounts


def generate(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where the events go; - is stdout.")
    ] = Path("-"),
    transactions: Annotated[int, typer.Option(min=1, help="How many transactions.")] = 10_000,
    users: Annotated[int, typer.Option(min=1, help="How many users share them.")] = 1_000,
    rate: Annotated[float, typer.Option(min=0.000001, help="Transactions per second of event time.")] = 1.0,
    start: Annotated[
        str, typer.Option(metavar="TIME", help="When the first one is made: RFC 3339, or a date (UTC).")
    ] = "2026-01-01",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 1,
    ids: Annotated[
        str, typer.Option(metavar="KIND", help="Transaction ids: ulid, uuid7 or random.")
    ] = "ulid",
    skew: Annotated[
        float, typer.Option(min=0, help="0: users buy evenly; 1: user k buys in proportion to 1/k.")
    ] = 0.0,
    amount_min: Annotated[int, typer.Option(min=1, help="The smallest amount, in minor units.")] = 100,
    amount_max: Annotated[int, typer.Option(min=1, help="The largest amount.")] = 50_000,
    attribute: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE,...", help="An attribute and its values; may be repeated."),
    ] = None,
    user_attribute: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE,...", help="A user attribute and its values; may be repeated."),
    ] = None,
    refunds: Annotated[float, typer.Option(min=0, max=1, help="Share of transactions refunded.")] = 0.0,
    failures: Annotated[float, typer.Option(min=0, max=1, help="Share that fails or expires.")] = 0.0,
    cancels: Annotated[float, typer.Option(min=0, max=1, help="Share canceled after completion.")] = 0.0,
    duplicates: Annotated[float, typer.Option(min=0, max=1, help="Share of events sent twice.")] = 0.0,
    reorder_seconds: Annotated[float, typer.Option(min=0, help="Each event is late by up to this.")] = 0.0,
    gaps: Annotated[
        float, typer.Option(min=0, max=1, help="Share of events lost, of those that a later one covers.")
    ] = 0.0,
    conflicts: Annotated[
        float, typer.Option(min=0, max=1, help="Share of transactions contradicted by an event.")
    ] = 0.0,
    poison: Annotated[float, typer.Option(min=0, max=1, help="Share beside an unreadable event.")] = 0.0,
    user_attribute_events: Annotated[
        float, typer.Option(min=0, max=1, help="Share accompanied by an event with user attributes.")
    ] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Write synthetic events, one JSON document per line. With --json, tell how many of each kind."""
    import sys

    from rung.traffic import IdKind, TrafficCounts, TrafficSettings
    from rung.traffic import generate as generate_events

    if as_json and output == Path("-"):
        raise CommandError("--json prints what was written on standard output: add --output FILE")
    if ids not in set(IdKind):
        raise CommandError(f"--ids {ids}: expected one of {', '.join(IdKind)}")
    try:
        settings = TrafficSettings(
            seed=seed,
            transactions=transactions,
            users=users,
            starts_at=_starts_at(start),
            transactions_per_second=rate,
            zipf_exponent=skew,
            id_kind=IdKind(ids),
            amount_min=amount_min,
            amount_max=amount_max,
            refund_share=refunds,
            failure_share=failures,
            cancel_share=cancels,
            duplicate_share=duplicates,
            reorder_seconds=reorder_seconds,
            gap_share=gaps,
            conflict_share=conflicts,
            poison_share=poison,
            user_attribute_share=user_attribute_events,
            attributes=_attributes("--attribute", attribute),
            user_attributes=_attributes("--user-attribute", user_attribute),
        )
    except ValueError as error:
        raise CommandError(str(error)) from error
    counts = TrafficCounts()
    chunks = generate_events(settings, counts)
    if output == Path("-"):
        for chunk in chunks:
            sys.stdout.buffer.write(b"\n".join(chunk) + b"\n")
        sys.stdout.buffer.flush()
    else:
        with output.open("wb") as file:
            for chunk in chunks:
                file.write(b"\n".join(chunk) + b"\n")
    _report(counts, as_json=as_json)


def _starts_at(text: str) -> int:
    from rung.campaign.calendar import Calendar, Period, PeriodKind
    from rung.cli.times import parse_at

    at = parse_at(text, "--start")
    return Calendar(PeriodKind.DAY, "UTC").starts_at(at) if isinstance(at, Period) else at


def _report(counts: TrafficCounts, *, as_json: bool) -> None:
    from dataclasses import asdict

    from rung.cli.output import print_json, say

    if as_json:
        print_json(asdict(counts))
        return
    say(", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in asdict(counts).items() if count))


def _attributes(option: str, texts: list[str] | None) -> dict[str, list[str | int | bool]]:
    found: dict[str, list[str | int | bool]] = {}
    for text in texts or ():
        name, equals, values = text.partition("=")
        if not (name and equals and values):
            raise CommandError(f"{option} {text}: expected NAME=VALUE,VALUE,...")
        found[name] = [_value(value) for value in values.split(",")]
    return found


def _value(text: str) -> str | int | bool:
    if text in {"true", "false"}:
        return text == "true"
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() else text
