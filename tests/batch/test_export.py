"""`rung batch aggregate --output`: every user's measures as a file."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from batch.test_verify import TRAFFIC
from campaign_pairs import PAIRS
from cli.command import Rung
from oracle import Oracle
from rung.traffic import generate


@pytest.fixture
def filled(rung: Rung, tmp_path: Path) -> tuple[Rung, Oracle]:
    """Return a home with all campaigns and wild traffic, and what the oracle makes of it."""
    for number, pair in enumerate(PAIRS):
        (tmp_path / f"{number}.yaml").write_text(pair.spec, encoding="utf-8")
    rung.fine("campaign", "apply", *sorted(tmp_path.glob("*.yaml")))
    events = list(chain.from_iterable(generate(TRAFFIC)))
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(events))
    rung.fine("ingest", tmp_path / "events.jsonl", "--wait")
    return rung, Oracle([pair.oracle for pair in PAIRS]).apply_all(events)


def test_every_measure_is_written(filled: tuple[Rung, Oracle], tmp_path: Path) -> None:
    """The file has what the oracle counts, all of it or what was asked for, and the same bytes every time."""
    rung, oracle = filled
    rung.fine("batch", "aggregate", "--output", tmp_path / "all.parquet")
    rows = pq.read_table(tmp_path / "all.parquet").to_pylist()
    found = {
        (row["campaign"], row["version"], row["user_id"], row["measure"], row["period"]): row["value"]
        for row in rows
    }
    assert found == oracle.figures()
    rung.fine("batch", "aggregate", "--full", "--output", tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "all.parquet").read_bytes()
    period = next(key[4] for key in found if key[:2] == ("ladder", 0))
    rung.fine(
        "batch", "aggregate", "--output", tmp_path / "some.csv",
        "--campaign", "ladder", "--version", "0", "--period", period,
    )  # fmt: skip
    lines = (tmp_path / "some.csv").read_text(encoding="utf-8").splitlines()
    wanted = [key for key in found if key[:2] == ("ladder", 0) and key[4] == period]
    assert len(lines) == len(wanted) + 1
    assert lines[0] == '"user_id","campaign","version","period","measure","value"'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--campaign", "ladder"], "add --output FILE"),
        (["--output", "x.parquet", "--period", "2011-05"], "add --campaign NAME"),
        (["--output", "x.txt"], "x.txt: figures are written as .parquet or .csv"),
        (["--engine", "spark"], "add --full"),
    ],
)
def test_refused(rung: Rung, arguments: list[str], message: str) -> None:
    """What cannot be meant is refused, with the option that is missing."""
    ran = rung("batch", "aggregate", *arguments)
    assert ran.code == 2
    assert message in ran.err
