"""`rung batch verify` tells monitoring what it found."""

from __future__ import annotations

import time
from pathlib import Path

import lmdb
from prometheus_client.parser import text_string_to_metric_families

from cli.command import Rung, purchase, write_lines
from rung.cli.errors import ExitCode


def metrics_of(rung: Rung) -> dict[str, float]:
    """Return what the last verification wrote: a sample's name, with its cause -> its value."""
    text = (rung.home / "batch" / "metrics" / "rung_verify.prom").read_text(encoding="utf-8")
    return {
        " ".join([sample.name.removeprefix("rung_verify_"), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics(small: Rung, tmp_path: Path) -> None:
    """A damaged user shows with its cause until the repair is verified; no other cause does."""
    lines = [purchase(f"t{number}", f"user {number % 9}") for number in range(20)]
    small.fine("ingest", "--wait", write_lines(tmp_path / "events", *lines))
    began = time.time()
    small.fine("batch", "verify")
    clean = metrics_of(small)
    assert (clean["users"], clean["transactions"], clean["differing_users"]) == (9, 20, 0)
    assert clean["figures"] > 9
    assert began <= clean["timestamp_seconds"] <= time.time()
    assert 0 < clean["duration_seconds"] <= time.time() - began
    with (
        lmdb.open(str(small.home / "store"), map_size=1 << 30, max_dbs=6) as store,
        store.begin(write=True, db=store.open_db(b"users")) as writing,
    ):
        assert writing.delete(b"user 3")
    assert small("batch", "verify").code == ExitCode.PROBLEMS
    found = metrics_of(small)
    assert {name: value for name, value in found.items() if name.startswith("causes ") and value} == {
        "causes sum_mismatch": 1
    }
    assert found["differing_users"] == 1
    small.fine("batch", "repair", "last", "--yes")
    small.fine("batch", "verify")
    healed = metrics_of(small)
    assert (healed["differing_users"], healed["causes sum_mismatch"]) == (0, 0)
    assert healed["timestamp_seconds"] > clean["timestamp_seconds"]
