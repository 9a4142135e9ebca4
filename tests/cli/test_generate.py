"""`rung generate`: seeded events that the other commands take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.command import Rung
from rung.cli.errors import ExitCode

EVERYTHING = (
    *("--transactions", "200", "--users", "10", "--start", "2021-08-01", "--rate", "0.001"),
    *("--refunds", "0.2", "--failures", "0.1", "--cancels", "0.1", "--duplicates", "0.2", "--gaps", "0.1"),
    *("--reorder-seconds", "60", "--conflicts", "0.1", "--poison", "0.05", "--skew", "1"),
    *("--attribute", "shop=mall,flea", "--attribute", "lines=1,-2", "--attribute", "new=true,false"),
    *("--user-attribute", "premium=true", "--user-attribute-events", "0.1", "--ids", "uuid7"),
    *("--amount-min", "1", "--amount-max", "900"),
)


def test_the_same_seed_gives_the_same_bytes(rung: Rung, tmp_path: Path) -> None:
    """Two runs are equal byte for byte, on standard output and in a file; another seed differs."""
    printed = rung.fine("generate", *EVERYTHING).out
    rung.fine("generate", *EVERYTHING, "--output", tmp_path / "e")
    assert (tmp_path / "e").read_bytes() == printed.encode()
    assert rung.fine("generate", *EVERYTHING, "--seed", "2").out != printed


def test_what_it_contains(rung: Rung) -> None:
    """The events have the attributes asked for, and the summary counts each kind."""
    ran = rung.fine("generate", *EVERYTHING)
    lines = [line for line in ran.out.splitlines() if line.endswith("]}") and '"attributes":' in line]
    shops = [json.loads(line)["attributes"] for line in lines]
    assert {"shop": "flea", "lines": -2, "new": False} in shops
    for word in (
        "transactions 200",
        "refunds",
        "duplicates",
        "lost",
        "conflicts",
        "poison",
        "user attributes",
    ):
        assert word in ran.err


def test_it_can_be_ingested(small: Rung, tmp_path: Path) -> None:
    """What it writes is applied, but for the conflicts and the poison."""
    small.fine("generate", *EVERYTHING, "-o", tmp_path / "e")
    ran = small.fine("ingest", "--wait", "--json", tmp_path / "e").json
    assert 0 < ran["quarantined"] < ran["events"] / 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ids", "serial"), "--ids serial: expected one of ulid, uuid7, random"),
        (("--attribute", "shop"), "--attribute shop: expected NAME=VALUE,VALUE,..."),
        (("--user-attribute", "=x"), "--user-attribute =x: expected NAME=VALUE,VALUE,..."),
        (("--start", "soon"), "--start: expected an RFC 3339 time with an offset"),
        (("--refunds", "0.6", "--cancels", "0.6"), "must not exceed 1 together"),
        (("--amount-min", "5", "--amount-max", "4"), "amount_min <= amount_max"),
        (("--refunds", "2"), "Invalid value for '--refunds'"),
        (("--output", "/nonexistent/e"), "/nonexistent/e: No such file or directory"),
    ],
)
def test_wrong_options(rung: Rung, arguments: tuple[str, ...], message: str) -> None:
    """A wrong option is named, with what was expected."""
    ran = rung("generate", *arguments)
    assert ran.code in {ExitCode.BAD_INPUT, ExitCode.FAILED}
    assert ran.err.startswith("error: ")
    assert message in ran.err
