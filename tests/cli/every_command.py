"""Every command of the command line, by its words, and a home on which each can do its work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from cli.command import SPEC, Rung, purchase, write_lines
from rung.cli.main import COMMANDS, application

CAMPAIGN = "small"
SHADOW = (
    SPEC + '  - {version: 1, measures: {payments: {count: "amount >= 300"}}, reward: {base_percent: "2"}}\n'
)
UNTIL_STOPPED = frozenset({"serve", "demo", "console"})
"""They serve until they are stopped, and print no result."""

_EVENTS = [
    *(purchase(f"j{number}", at=f"2021-07-0{number}T00:00:00Z") for number in range(1, 4)),
    purchase("a1", at="2021-08-03T00:00:00Z"),
    purchase("a2", "bob", 499, at="2021-08-31T23:59:59Z"),
    purchase("s1", at="2021-09-01T00:00:00Z"),
    "no json",
]


def commands() -> dict[str, tuple[typer.Context, TyperCommand]]:
    """Return the words of each command -> the context of its group, and the command."""
    root = get_command(application(list(COMMANDS)))
    return dict(_below(root, typer.Context(root, info_name="rung"), ""))


def _below(
    group: object, context: typer.Context, words: str
) -> Iterator[tuple[str, tuple[typer.Context, TyperCommand]]]:
    assert isinstance(group, TyperGroup)
    for name, command in group.commands.items():
        path = f"{words} {name}".strip()
        if isinstance(command, TyperGroup):
            yield from _below(command, typer.Context(command, info_name=name, parent=context), path)
        else:
            assert isinstance(command, TyperCommand)
            yield path, (context, command)


def groups() -> list[str]:
    """Return the names of the groups of commands."""
    return sorted({words.split()[0] for words in commands() if " " in words})


def lines(folder: Path) -> list[tuple[str, int]]:
    """Return a command line for every command, with its exit code, each on what those before have left.

    `HASH`, `POSITION` and `KEY` stand for what a command before has told.
    """
    events, spec, shadow = folder / "events", folder / "small.yaml", folder / "shadow.yaml"
    write_lines(events, *_EVENTS)
    spec.write_text(SPEC, encoding="utf-8")
    shadow.write_text(SHADOW, encoding="utf-8")
    listed = write_lines(folder / "list.csv", "transaction_id,user_id,status,at,amount")
    return [
        ("init", 0),
        (f"campaign check {spec}", 0),
        (f"campaign apply {spec}", 0),
        ("campaign list", 0),
        ("campaign show small", 0),
        (f"generate --transactions 3 --output {folder / 'generated'}", 0),
        (f"ingest {events}", 0),
        ("worker --until-caught-up", 0),
        ("status ann --at 2021-08-04", 0),
        ("explain ann small 2021-08", 0),
        ("lag", 0),
        ("top --once", 0),
        ("doctor", 0),
        ("quarantine list", 0),
        ("quarantine show POSITION", 0),
        ("quarantine retry POSITION", 0),
        ("worker --until-caught-up", 0),
        ("quarantine drop --all --yes", 0),
        ("archive --until-caught-up", 0),
        ("lake upgrade", 0),
        ("lake status --check", 0),
        ("lake compact", 0),
        (f"batch monitor --against {listed} --day 2021-08-03", 1),
        ("batch late", 0),
        (f"campaign apply {shadow}", 0),
        ("batch backfill small 1", 0),
        ("batch aggregate", 0),
        ("batch verify", 0),
        ("batch repair last", 0),
        (f"simulate {spec} --periods 2021-08", 0),
        ("campaign diff small 0 1 --period 2021-08", 0),
        ("campaign activate small 1 --from 2021-10 --diff HASH --reason tried", 0),
        ("campaign rollback small --reason tried", 0),
        ("campaign retire small 1 --reason tried", 0),
        ("batch close small 2021-07 --yes", 0),
        ("batch adjust small 2021-07", 0),
        ("grants small 2021-08", 0),
        ("batch settle", 0),
        ("prune", 0),
        ("log create --partitions 1 --replication-factor 1", 0),
        ("log describe", 0),
        ("log trim --yes", 0),
        ("store create", 0),
        ("store describe", 0),
        ("store drop --yes", 2),
        ("erase bob --reason asked --yes", 0),
        ("replay --yes", 0),
        ("keys create checkout --scope status:read", 0),
        ("keys list", 0),
        ("keys revoke KEY --reason replaced", 0),
        ("accounts add mia --role viewer --password-stdin", 0),
        ("accounts password mia --password-stdin", 0),
        ("accounts list", 0),
        ("accounts remove mia --yes", 0),
        ("webhooks run", 2),
        ("webhooks status", 0),
        ("webhooks retry", 0),
        ("webhooks secret", 0),
        ("audit", 0),
    ]


def run_line(rung: Rung, line: str, told: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a command line with --json, and return its exit code and what it printed."""
    words = [told.get(word, word) for word in line.split()]
    ran = rung(*words, "--json")
    return ran.code, ran.out, ran.err
