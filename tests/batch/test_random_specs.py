"""Speed layer, batch layer and oracle agree on random campaigns and histories, and on the real purchases."""

from __future__ import annotations

import lzma
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from batch.random_specs import campaign_lists
from batch.reading import figure_checksums, snapshot_figures
from campaign_pairs import PAIRS, Pair
from harness import decode_catalog, put_campaigns, stored_figures, ticking, work_to_the_end
from oracle import FigureKey, Oracle
from rung.batch.aggregate import aggregate, owners_in
from rung.batch.archive import archive_up_to
from rung.batch.duck import DuckEngine, EngineSettings
from rung.batch.snapshots import Snapshots
from rung.lake.delta import DeltaLake
from rung.log.embedded import EmbeddedLog
from rung.store.memory import MemoryStore
from strategies import (
    POISON,
    TransactionData,
    contradictions,
    deliveries,
    odd_transactions,
    transactions,
    user_attribute_events,
)

RETAIL = Path(__file__).parents[2] / "examples" / "online-retail" / "events.ndjson.xz"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Generator[DuckEngine]:
    """Give one engine for all examples: each makes its own relations."""
    spill = tmp_path_factory.mktemp("engine") / "spill"
    with DuckEngine.open(EngineSettings("512MiB", 2, spill)) as opened:
        yield opened


@dataclass(frozen=True)
class Counted:
    """A log whose events are all applied by a worker, with their archive: as many as `aggregated` wants."""

    engine: DuckEngine
    store: MemoryStore
    lake: DeltaLake
    snapshots: Snapshots
    ends: Mapping[int, int]

    def aggregated(
        self, ends: Mapping[int, int], *, full: bool = False
    ) -> tuple[dict[FigureKey, int], Mapping[tuple[str, int], str]]:
        """Return the figures as of exact positions, and the checksums of their files."""
        catalog, owners = decode_catalog(self.store.catalog()[1]), owners_in(self.store)
        done = aggregate(self.engine, self.snapshots, self.lake, catalog, ends, owners, full=full)
        figures = snapshot_figures(self.snapshots, done.snapshot, catalog)
        return figures, figure_checksums(done.snapshot)


@contextmanager
def counted(
    engine: DuckEngine, pairs: Sequence[Pair], events: Sequence[bytes], partitions: int, before: int = 0
) -> Generator[Counted]:
    """Apply campaigns and events in a new home, whose store is in memory; some events `before` the campaigns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with closing(EmbeddedLog.open(folder / "log", partitions, ticking())) as log:
            store = MemoryStore()
            log.append(events[:before])
            work_to_the_end(log, store)
            put_campaigns(store, pairs)
            log.append(events[before:])
            work_to_the_end(log, store)
            ends = dict(log.ends())
            lake = DeltaLake.create(str(folder / "lake"), log.identity(), {})
            archive_up_to(log, lake, ends)
            yield Counted(engine, store, lake, Snapshots(folder), ends)


@st.composite
def streams(
    draw: st.DrawFn, told: Callable[[st.SearchStrategy[str]], st.SearchStrategy[TransactionData]]
) -> list[bytes]:
    """Return events as they may arrive: repeated, out of order, with gaps, with trouble among them."""
    ids = [f"t{number}" for number in range(12)]
    whole = draw(
        st.lists(told(st.sampled_from(ids)), min_size=8, max_size=12, unique_by=lambda t: t.transaction_id)
    )
    events = draw(deliveries(whole))
    trouble = st.one_of(
        st.sampled_from(whole).flatmap(contradictions),
        user_attribute_events(),
        st.sampled_from(sorted(POISON)).map(lambda name: POISON[name][0]),
    )
    for one in draw(st.lists(trouble, max_size=3)):
        events.insert(draw(st.integers(0, len(events))), one)
    return events


@pytest.mark.timeout(600)
@settings(
    max_examples=16,
    # Each example opens a log and a lake; that it takes its time is no failure.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(pairs=campaign_lists(3), events=streams(transactions), cut=st.integers(0, 30))
def test_speed_is_batch_is_oracle(
    engine: DuckEngine, pairs: list[Pair], events: list[bytes], cut: int
) -> None:
    """Whatever the rules and the histories, every figure is the same; what is added later gives the same bytes."""
    oracle = Oracle([pair.oracle for pair in pairs]).apply_all(events)
    expected = oracle.figures()
    event(f"figures: {min(len(expected), 20) // 5 * 5}+")
    # In one partition, so that of two users who claim an id all agree who came first.
    with counted(engine, pairs, events, 1) as found:
        assert stored_figures(found.store) == expected
        found.aggregated({0: min(cut, len(events))})
        figures, checksums = found.aggregated(found.ends)
        assert figures == expected
        assert found.aggregated(found.ends, full=True) == (figures, checksums)


@pytest.mark.timeout(600)
@settings(
    max_examples=8,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(
    pairs=campaign_lists(3),
    events=streams(odd_transactions),
    before=st.integers(8, 30),
    cut=st.integers(0, 30),
)
def test_told_before_it_was_declared(
    engine: DuckEngine, pairs: list[Pair], events: list[bytes], before: int, cut: int
) -> None:
    """What was told with another type than is declared later is unknown to every rule; after that it is refused."""
    oracle = Oracle([]).apply_all(events[:before])
    for pair in pairs:
        oracle.put(pair.oracle)
    oracle.apply_all(events[before:])
    with counted(engine, pairs, events, 1, before) as found:
        assert stored_figures(found.store) == oracle.figures()
        found.aggregated({0: min(cut, len(events))})
        figures, checksums = found.aggregated(found.ends)
        # What came before the versions is their past, which the lake has.
        oracle.started = {key: {} for key in oracle.started}
        assert figures == oracle.figures()
        assert found.aggregated(found.ends, full=True) == (figures, checksums)


def test_online_retail(engine: DuckEngine) -> None:
    """The real purchases, by all campaigns of the tests: every figure of every user is the same in all three."""
    events = lzma.decompress(RETAIL.read_bytes()).splitlines()
    expected = Oracle([pair.oracle for pair in PAIRS]).apply_all(events).figures()
    assert len(expected) > 50_000
    with counted(engine, PAIRS, events, 4) as found:
        assert stored_figures(found.store) == expected
        assert found.aggregated(found.ends)[0] == expected
