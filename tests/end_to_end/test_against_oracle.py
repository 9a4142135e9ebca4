"""Real purchases and synthetic trouble through log, worker and store: every figure equal to the oracle's."""

from __future__ import annotations

import lzma
import random
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from pathlib import Path
from zlib import crc32

import pytest

from campaign_pairs import PAIRS
from harness import put_campaigns, stored_figures, ticking, work_to_the_end
from oracle import FigureKey, Oracle
from rung.campaign.catalog import Catalog
from rung.log.embedded import EmbeddedLog
from rung.status.evaluate import Evaluator
from rung.status.view import CountingStatus, EffectiveStatus
from rung.store.lmdb import LmdbStore
from rung.store.memory import MemoryStore
from rung.store.port import Store
from rung.traffic import TrafficCounts, TrafficSettings, generate
from strategies import ATTRIBUTE_VALUES, CONFLICTS, ODD, POISON, USER_ATTRIBUTE_VALUES, user_attribute_event

EVENTS = Path(__file__).parents[2] / "examples" / "online-retail" / "events.ndjson.xz"
PARTITIONS = 4


@dataclass(frozen=True)
class Retail:
    """The online retail events, some user attributes, and what the oracle makes of them."""

    events: list[bytes]
    users: list[str]
    oracle: Oracle
    figures: dict[FigureKey, int]


@pytest.fixture(scope="module")
def retail() -> Retail:
    events = lzma.decompress(EVENTS.read_bytes()).splitlines()
    oracle = Oracle([pair.oracle for pair in PAIRS]).apply_all(events)
    users = sorted({transaction.user_id for transaction in oracle.transactions.values()})
    attributes = [
        user_attribute_event(user_id, sequence, {"premium": number % 2 == sequence % 2, "points": number % 9})
        for number, user_id in enumerate(users[::3])
        for sequence in (2, 1)
    ]
    oracle.apply_all(attributes)
    assert oracle.quarantined == []
    return Retail([*events, *attributes], users, oracle, oracle.figures())


# --- ways of delivery -------------------------------------------------------------------------------------


def in_file_order(events: list[bytes], seed: random.Random) -> list[bytes]:
    return events


def shuffled_within_each_user(events: list[bytes], seed: random.Random) -> list[bytes]:
    """Permute each user's events over the places that they have."""
    places: dict[bytes, list[int]] = {}
    for place, event in enumerate(events):
        places.setdefault(user_of(event), []).append(place)
    shuffled = list(events)
    for mine in places.values():
        for place, source in zip(mine, seed.sample(mine, len(mine)), strict=True):
            shuffled[place] = events[source]
    return shuffled


def with_duplicates(events: list[bytes], seed: random.Random) -> list[bytes]:
    """Send every fifth event once more, anywhere after it."""
    keyed = [(float(place), event) for place, event in enumerate(events)]
    again = seed.sample(keyed, len(events) // 5)
    keyed += [(seed.uniform(place, len(events)), event) for place, event in again]
    return [event for _, event in sorted(keyed)]


def with_gaps(events: list[bytes], seed: random.Random) -> list[bytes]:
    """Lose every event that a later one covers: of each transaction only the last one is left."""
    last = {event.split(b'"user_id"')[0]: event for event in events if event.startswith(b'{"transaction_id"')}
    others = [event for event in events if not event.startswith(b'{"transaction_id"')]
    return [*last.values(), *others]


def user_of(event: bytes) -> bytes:
    return event.partition(b'"user_id"')[2].split(b'"')[1]


DELIVERIES = [in_file_order, shuffled_within_each_user, with_duplicates, with_gaps]


@contextmanager
def open_store(kind: str, folder: Path) -> Generator[Store]:
    store = MemoryStore() if kind == "memory" else LmdbStore(folder / "store")
    try:
        yield store
    finally:
        store.close()


@contextmanager
def open_log(folder: Path, partitions: int) -> Generator[EmbeddedLog]:
    log = EmbeddedLog.open(folder / "log", partitions, ticking())
    try:
        yield log
    finally:
        log.close()


# --- the tests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize(("kind", "batch_events_max"), [("memory", 50_000), ("lmdb", 7_001)])
def test_every_figure_of_every_user_is_right(
    retail: Retail,
    tmp_path: Path,
    kind: str,
    batch_events_max: int,
    delivery: Callable[[list[bytes], random.Random], list[bytes]],
) -> None:
    """However the events arrive, every user, period and measure of all campaigns equals the oracle's."""
    events = delivery(retail.events, random.Random(17))
    with open_log(tmp_path, PARTITIONS) as log, open_store(kind, tmp_path) as store:
        put_campaigns(store, PAIRS)
        log.append(events)
        work_to_the_end(log, store, batch_events_max)
        assert store.counters().quarantined == {}
        assert store.counters().events == len(events)
        assert differences(stored_figures(store), retail.figures) == {}


def test_deliveries_differ(retail: Retail) -> None:
    """Each delivery does what its name says."""
    seed = random.Random(17)
    shuffled = shuffled_within_each_user(retail.events, seed)
    assert shuffled != retail.events
    assert sorted(shuffled) == sorted(retail.events)
    assert [user_of(event) for event in shuffled] == [user_of(event) for event in retail.events]
    assert len(with_duplicates(retail.events, seed)) == len(retail.events) * 6 // 5
    assert len(with_gaps(retail.events, seed)) < len(retail.events) * 0.55


def test_every_status_is_right(retail: Retail, tmp_path: Path) -> None:
    """Periods, versions, measures, rates and steps met equal the oracle's, at the edges of months too."""
    campaigns = {pair.oracle.name: pair.oracle for pair in PAIRS}
    edge = datetime(2011, 6, 1, tzinfo=UTC)
    instants = [datetime(2010, 12, 5, tzinfo=UTC), edge - timedelta(hours=9, microseconds=1), edge]
    instants += [edge + timedelta(days=days) for days in (40, 160, 190, 400)]
    seen = 0
    with open_log(tmp_path, PARTITIONS) as log, open_store("memory", tmp_path) as store:
        put_campaigns(store, PAIRS)
        log.append(retail.events)
        work_to_the_end(log, store)
        evaluator = Evaluator(Catalog.decode(store.catalog()[1]))
        for user_id in [*retail.users[::60], "nobody"]:
            partition = crc32(user_id.encode()) % PARTITIONS
            standing = store.standing(user_id.encode(), partition)
            for at in instants:
                microseconds = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
                status = evaluator.status(user_id, partition, standing, microseconds)
                assert {found.campaign for found in status.campaigns} == set(campaigns)
                for found in status.campaigns:
                    expected = retail.oracle.status(user_id, campaigns[found.campaign], at, retail.figures)
                    assert shown(found.counting) == expected["counting"]
                    assert shown(found.effective) == expected["effective"]
                    seen += any(step.met for step in found.effective.steps) if found.effective else 0
    assert seen > 100


def shown(status: CountingStatus | EffectiveStatus | None) -> dict[str, object] | None:
    """Return a shown standing in the oracle's words."""
    if status is None:
        return None
    return {
        "period": status.earned_in if isinstance(status, EffectiveStatus) else status.period,
        "version": status.version,
        "measures": dict(status.measures),
        "rate_percent": Decimal(status.rate_percent),
        "steps": {step.name: step.met for step in status.steps},
    }


@pytest.mark.parametrize("kind", ["memory", "lmdb"])
@pytest.mark.parametrize("batch_events_max", [1_000_000, 5])
def test_bad_input_is_quarantined_and_the_rest_is_applied(
    tmp_path: Path, kind: str, batch_events_max: int
) -> None:
    """Every row of the tables: reason, position and bytes are kept, in one batch or in many."""
    events = [poison for poison, _ in POISON.values()]
    for number, odd in enumerate(ODD.values()):
        events.insert(3 * number, odd.replace(b'"poison"', b'"odd-%02d"' % number))
    for name, (first, second, _) in CONFLICTS.items():
        ours = [event.replace(b'"poison"', b'"%b"' % name.encode()) for event in (first, second)]
        events += [event.replace(b'"alice"', b'"alice of %b"' % name.encode()) for event in ours]
    expected = Oracle([pair.oracle for pair in PAIRS]).apply_all(events)
    assert len(expected.quarantined) == len(POISON) + len(CONFLICTS)
    with open_log(tmp_path, 1) as log, open_store(kind, tmp_path) as store:
        put_campaigns(store, PAIRS)
        log.append(events)
        work_to_the_end(log, store, batch_events_max)
        found = store.quarantine(None, len(events))
        assert [(each.offset, each.reason) for each in found] == expected.quarantined
        assert [each.payload for each in found] == [events[each.offset] for each in found]
        assert all(each.detail and each.at for each in found)
        assert differences(stored_figures(store), expected.figures()) == {}
        assert store.counters().events == len(events) - len(found)


@pytest.mark.parametrize(("kind", "batch_events_max"), [("memory", 5_000), ("lmdb", 50_000)])
def test_synthetic_trouble_changes_nothing_else(tmp_path: Path, kind: str, batch_events_max: int) -> None:
    """With refunds, disorder, gaps, conflicts and poison together, figures and quarantine are right."""
    settings = TrafficSettings(
        seed=5,
        transactions=6_000,
        users=300,
        starts_at=1_304_208_000_000_000,
        transactions_per_second=0.0005,
        zipf_exponent=1.0,
        refund_share=0.2,
        failure_share=0.05,
        cancel_share=0.05,
        duplicate_share=0.2,
        reorder_seconds=86_400,
        gap_share=0.2,
        conflict_share=0.05,
        poison_share=0.02,
        user_attribute_share=0.1,
        attributes=ATTRIBUTE_VALUES,
        user_attributes=USER_ATTRIBUTE_VALUES,
    )
    counts = TrafficCounts()
    events = list(chain.from_iterable(generate(settings, counts)))
    oracle = Oracle([pair.oracle for pair in PAIRS]).apply_all(events)
    with open_log(tmp_path, 1) as log, open_store(kind, tmp_path) as store:
        put_campaigns(store, PAIRS)
        log.append(events)
        work_to_the_end(log, store, batch_events_max)
        found = [(each.offset, each.reason) for each in store.quarantine(None, len(events))]
        assert found == oracle.quarantined
        assert len(found) == counts.conflicts + counts.poison > 300
        assert differences(stored_figures(store), oracle.figures()) == {}


def differences(
    found: dict[FigureKey, int], expected: dict[FigureKey, int]
) -> dict[FigureKey, tuple[int | None, int | None]]:
    """Return what differs: key -> (found, expected)."""
    keys = {key for key, _ in found.items() ^ expected.items()} if found != expected else ()
    return {key: (found.get(key), expected.get(key)) for key in keys}
