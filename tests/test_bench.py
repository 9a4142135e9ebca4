"""The bench looks into the worker from outside: what it times has to be there, and to be passed."""

from __future__ import annotations

from pathlib import Path

from bench.phases import timed
from campaign_pairs import LADDER
from harness import put_campaigns, ticking, work_to_the_end
from rung.log.embedded import EmbeddedLog
from rung.store.lmdb import LmdbStore
from rung.traffic import TrafficSettings, generate

TRAFFIC = TrafficSettings(
    seed=1, transactions=500, users=50, starts_at=1_304_208_000_000_000, transactions_per_second=1.0
)


def test_every_phase_is_timed(tmp_path: Path) -> None:
    """A worker that applies events passes through every phase that the bench has a name for."""
    store = LmdbStore(tmp_path / "store")
    put_campaigns(store, [LADDER])
    log = EmbeddedLog.open(tmp_path / "log", 2, ticking())
    log.append([event for chunk in generate(TRAFFIC) for event in chunk])
    with timed() as seconds:
        work_to_the_end(log, store)
    assert [name for name, spent in seconds.items() if not spent > 0] == []
    log.close()
    store.close()
