"""Attributes that are declared amid events: speed layer and batch layer judge each event alike, whenever each comes.

Campaigns are applied, events applied, archived and aggregated in any order. Which events are rejected, and what
counts, depends on where the attributes were declared, and on nothing else.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from batch.reading import figure_checksums, snapshot_figures
from campaign_pairs import Pair
from harness import decode_catalog, put_campaigns, stored_figures, ticking
from oracle import Oracle as Reference
from oracle import OracleCampaign, OracleVersion
from rung.batch.aggregate import aggregate, nobody
from rung.batch.archive import archive_up_to
from rung.batch.duck import DuckEngine, EngineSettings
from rung.batch.proof.backfill import backfill
from rung.batch.proof.repair import repair, suspects_of
from rung.batch.proof.verify import verify
from rung.batch.snapshots import Snapshots
from rung.batch.workshop import Workshop
from rung.lake.delta import DeltaLake
from rung.log.embedded import EmbeddedLog
from rung.speed.worker import Worker, WorkerSettings
from rung.store.memory import MemoryStore
from rung.transaction.routing import partition_of
from strategies import USERS, deliveries, odd_attributes, odd_transactions, user_attribute_event

PARTITIONS = 2
assert {partition_of(user.encode(), PARTITIONS) for user in USERS} == {0, 1}


def told(name: str, attributes: Mapping[str, str], users: Mapping[str, str], versions: str) -> str:
    """Return a spec."""
    return f"""
campaign: {name}
timezone: UTC
currency: GBP
attributes: {{{", ".join(f"{name}: {kind}" for name, kind in attributes.items())}}}
user_attributes: {{{", ".join(f"{name}: {kind}" for name, kind in users.items())}}}
versions:{versions}"""


TOTAL = """
  - version: 0
    measures: {total: {sum: amount}, countries: {distinct: country}}
    reward: {base_percent: "1"}
"""
NOTES = """
  - version: 1
    measures: {notes: {distinct: note}, unknown: {count: "note IS NULL"}}
    reward: {base_percent: "1"}
"""
LINES = """
  - version: 0
    measures: {lines: {sum: lines}, kinds: {distinct: lines}, many: {count: "lines >= 7 OR country = ''"}}
    reward: {base_percent: "1"}
"""
GIFTS = """
  - version: 0
    measures: {gifts: {count: gift}, others: {count: "NOT gift"}}
    refunds: {post_to: refund}
    reward: {base_percent: "1"}
"""
TOTAL_RULES = OracleVersion(
    0, None, {"total": ("sum", lambda p: p["amount"]), "countries": ("distinct", lambda p: p["country"])}
)
NOTES_RULES = OracleVersion(
    1,
    None,
    {"notes": ("distinct", lambda p: p["note"]), "unknown": ("count", lambda p: p["note"] is None)},
)


def many(purchase: Mapping[str, object]) -> bool | None:
    lines, country = purchase["lines"], purchase["country"]
    if (isinstance(lines, int) and lines >= 7) or country == "":
        return True
    return None if lines is None or country is None else False


LINES_RULES = OracleVersion(
    0,
    None,
    {
        "lines": ("sum", lambda p: p["lines"]),
        "kinds": ("distinct", lambda p: p["lines"]),
        "many": ("count", many),
    },
)
GIFTS_RULES = OracleVersion(
    0,
    None,
    {
        "gifts": ("count", lambda p: p["gift"]),
        "others": ("count", lambda p: None if p["gift"] is None else not p["gift"]),
    },
    post_to="refund",
)


def pair(
    name: str, attributes: Mapping[str, str], users: Mapping[str, str], *versions: tuple[str, OracleVersion]
) -> Pair:
    spec = told(name, attributes, users, "".join(text for text, _ in versions))
    rules = [rule for _, rule in versions]
    return Pair(spec, OracleCampaign(name, "UTC", "month", rules, attributes, users))


CAMPAIGNS = (
    pair("total", {"country": "string"}, {"premium": "boolean"}, (TOTAL, TOTAL_RULES)),
    # It declares one more attribute, and nothing else changes.
    pair("total", {"country": "string", "note": "string"}, {"premium": "boolean"}, (TOTAL, TOTAL_RULES)),
    pair(
        "total",
        {"country": "string", "note": "string"},
        {"premium": "boolean", "points": "integer"},
        (TOTAL, TOTAL_RULES),
        (NOTES, NOTES_RULES),
    ),
    # What another one declares already is declared where that was.
    pair("lines", {"lines": "integer", "country": "string"}, {"points": "integer"}, (LINES, LINES_RULES)),
    pair("gifts", {"gift": "boolean"}, {}, (GIFTS, GIFTS_RULES)),
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Generator[DuckEngine]:
    """Give one engine for all examples: each makes its own relations."""
    with DuckEngine.open(EngineSettings("512MiB", 2, tmp_path_factory.mktemp("engine") / "spill")) as opened:
        yield opened


@dataclass
class Amid:
    """A home in which everything happens in any order, and the reference, which follows what is applied."""

    workshop: Workshop
    store: MemoryStore
    log: EmbeddedLog
    worker: Worker
    reference: Reference = field(default_factory=lambda: Reference([]))
    positions: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    payloads: dict[tuple[int, int], bytes] = field(default_factory=dict[tuple[int, int], bytes])

    def append(self, events: Sequence[bytes]) -> None:
        self.payloads.update(zip(self.log.append(events), events, strict=True))

    def work(self, batches: int) -> None:
        """Apply a few batches of a few events."""
        for _ in range(batches):
            self.worker.step(0.0)
            self.follow()

    def follow(self) -> None:
        """Have the reference apply what the worker has applied."""
        known = set(self.positions)
        for partition, state in self.store.applied().items():
            for offset in range(state.offset + 1):
                if (partition, offset) not in known:
                    self.positions.append((partition, offset))
                    self.reference.apply(self.payloads[partition, offset])

    def work_to_the_end(self) -> None:
        while self.worker.step(0.0):
            self.follow()

    def declare(self, one: Pair) -> None:
        put_campaigns(self.store, [one])
        self.reference.put(one.oracle)

    def archive(self, share: float) -> dict[int, int]:
        """Bring the beginning of each partition to the lake, applied or not."""
        ends = {partition: int(end * share) for partition, end in self.log.ends().items()}
        archive_up_to(self.log, self.workshop.lake, ends)
        return ends

    def aggregate(self, share: float) -> None:
        self.workshop.aggregate_to(self.archive(share))

    def check(self) -> None:
        """Demand that all is as the reference has it, that a verification is clean, and that no repair heals."""
        quarantined = {(one.partition, one.offset): one.reason for one in self.store.quarantine(None, 1_000)}
        assert quarantined == {
            self.positions[number]: reason for number, reason in self.reference.quarantined
        }
        assert stored_figures(self.store) == self.reference.figures()
        report = verify(self.workshop, "r1", lambda _: None)
        assert report.is_clean, report
        everyone = [*USERS, "nobody"]
        before = self.store.users([user.encode() for user in everyone])
        assert repair(self.workshop, suspects_of(report), "tester", lambda _: None).healed == []
        assert self.store.users([user.encode() for user in everyone]) == before

    def complete(self) -> None:
        """Add the past to every version, in the figures and in the reference."""
        for counted in decode_catalog(self.store.catalog()[1]).versions:
            name, number = counted.campaign.name, counted.version.number
            backfill(self.workshop, name, number, "tester", "a test", _ignored)
        self.reference.started = {key: {} for key in self.reference.started}

    def check_aggregation(self) -> None:
        """Demand that the lake gives all that was ever applied, from what was aggregated before as from nothing."""
        catalog, ends = decode_catalog(self.store.catalog()[1]), dict(self.log.ends())
        found = self.workshop.aggregate_to(ends).snapshot
        assert snapshot_figures(self.workshop.snapshots, found, catalog) == self.reference.figures()
        again = aggregate(
            self.workshop.engine,
            Snapshots(self.workshop.folder / "again"),
            self.workshop.lake,
            catalog,
            ends,
            nobody,
            full=True,
        )
        assert figure_checksums(again.snapshot) == figure_checksums(found)

    def replay(self) -> None:
        """Apply everything again: now all is declared from the first event on."""
        catalog = decode_catalog(self.store.catalog()[1])
        self.store.reset(catalog.from_the_beginning().encode())
        self.worker.close()
        self.worker = Worker(self.log.consumer(), self.store, WorkerSettings(batch_events_max=5), ticking())
        campaigns = list(self.reference.campaigns.values())
        self.reference, self.positions = Reference(campaigns), []
        self.work_to_the_end()


def _ignored(done: int, total: int) -> None:
    """Take progress and say nothing."""


@contextmanager
def amid(engine: DuckEngine) -> Generator[Amid]:
    with tempfile.TemporaryDirectory() as name:
        folder, store = Path(name), MemoryStore()
        with closing(EmbeddedLog.open(folder / "log", PARTITIONS, ticking())) as log:
            lake = DeltaLake.create(str(folder / "lake"), log.identity(), {})
            batch = folder / "batch"
            batch.mkdir()
            workshop = Workshop(log, store, lake, engine, Snapshots(batch), batch, ticking())
            worker = Worker(log.consumer(), store, WorkerSettings(batch_events_max=5), ticking())
            found = Amid(workshop, store, log, worker)
            try:
                yield found
            finally:
                found.worker.close()


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Return events whose attributes may have any type, as they may arrive."""
    ids = [f"t{number}" for number in range(10)]
    whole = draw(
        st.lists(
            odd_transactions(st.sampled_from(ids)),
            min_size=6,
            max_size=10,
            unique_by=lambda one: one.transaction_id,
        )
    )
    users = st.builds(
        user_attribute_event, st.sampled_from(USERS), st.integers(0, 4), odd_attributes(["premium", "points"])
    )
    return draw(st.permutations([*draw(deliveries(whole)), *draw(st.lists(users, max_size=5))]))


shares = st.floats(0.0, 1.0)
STEPS = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 12)),
    st.tuples(st.just("work"), st.integers(1, 3)),
    st.tuples(st.just("archive"), shares),
    st.tuples(st.just("aggregate"), shares),
    st.tuples(st.just("declare"), st.none()),
)


@pytest.mark.timeout(600)
@settings(
    max_examples=6,
    # Each example opens a log and a lake; that it takes its time is no failure.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(
    events=streams(),
    order=st.permutations(range(len(CAMPAIGNS))),
    steps=st.lists(STEPS, min_size=6, max_size=18),
    replays=st.booleans(),
)
def test_whenever_declared(
    engine: DuckEngine,
    events: list[bytes],
    order: list[int],
    steps: list[tuple[str, float | None]],
    replays: bool,
) -> None:
    """Whatever comes first, both layers reject the same events and count the same, also after a replay."""
    # What adds to a campaign comes after what it adds to.
    totals = iter(range(3))
    due = [CAMPAIGNS[next(totals) if place < 3 else place] for place in order]
    with amid(engine) as found:
        for action, how in steps:
            if action == "append":
                found.append(events[: int(how or 0)])
                del events[: int(how or 0)]
            elif action == "declare" and due:
                found.declare(due.pop(0))
            elif action == "work":
                found.work(int(how or 0))
            elif action == "archive":
                found.archive(how or 0.0)
            elif action == "aggregate":
                found.aggregate(how or 0.0)
        found.append(events[:3])
        for one in due:
            found.declare(one)
        found.append(events[3:])
        found.work_to_the_end()
        event(f"rejected: {min(len(found.reference.quarantined), 6)}")
        found.check()
        found.complete()
        found.check()
        found.check_aggregation()
        if replays:
            found.replay()
            found.check()
            found.check_aggregation()


def purchase(number: int, **attributes: object) -> bytes:
    history = [{"status": "COMPLETED", "at": "2011-06-15T12:00:00Z", "amount": 100}]
    fields = {
        "transaction_id": f"t{number}",
        "user_id": "alice",
        "attributes": attributes,
        "history": history,
    }
    return json.dumps(fields).encode()


def test_archived_before_and_after(engine: DuckEngine) -> None:
    """Of four events with another type than is declared later, the two that were applied before it count."""
    total, lines = CAMPAIGNS[0], CAMPAIGNS[3]
    with amid(engine) as found:
        found.declare(total)
        found.append([purchase(1, lines="7"), purchase(2, lines=7.0)])
        found.work_to_the_end()
        found.archive(0.5)
        found.append([purchase(3, lines="7"), purchase(4, lines=True), purchase(5, lines=7)])
        found.aggregate(0.7)
        found.declare(lines)
        found.work_to_the_end()
        partition = partition_of(b"alice", PARTITIONS)
        assert [(one.offset, one.reason) for one in found.store.quarantine(None, 10)] == [
            (2, "attribute_type"),
            (3, "attribute_type"),
        ]
        found.check()
        found.complete()
        found.check()
        found.check_aggregation()
        assert found.store.applied()[partition].offset == 4
        totals = {key[3]: value for key, value in stored_figures(found.store).items()}
        assert totals == {"total": 300, "lines": 7, "kinds": 1, "many": 1}
        found.replay()
        found.check()
        assert {key[3]: value for key, value in stored_figures(found.store).items()}["total"] == 100
