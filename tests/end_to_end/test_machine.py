"""Worker, log and store under every order of events, deaths, zombies and campaigns that Hypothesis finds.

The model is the oracle, applied to exactly the events that the store claims to have applied, in the order of
the commits. After every step, what is stored must be what the oracle says.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar, cast
from zlib import crc32

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from campaign_pairs import FIRST_VERSION, NULLS, REFUNDS_IN_TOKYO, VERSIONS, Pair
from harness import put_campaigns, stored_figures, ticking
from oracle import Oracle
from rung.campaign.model import PostTo
from rung.log.embedded import EmbeddedLog
from rung.log.embedded_consumer import EmbeddedConsumer
from rung.log.port import Slice
from rung.speed.worker import Worker, WorkerSettings
from rung.store.lmdb import LmdbStore
from rung.store.memory import MemoryStore
from rung.store.port import NOTHING_APPLIED, Change, Entries, Overtaken, Store
from rung.store.records import (
    UserAttributes,
    decode_transactions,
    decode_user_attributes,
    encode_user_attributes,
)
from rung.transaction.events import TransactionEvents, UserAttributesEvent
from rung.transaction.history import STATUSES, Integers, StoredTransactions
from rung.transaction.merge import Merged, merge
from rung.transaction.reasons import Rejection
from strategies import (
    POISON,
    USERS,
    TransactionData,
    contradictions,
    transactions,
    user_attribute_events,
)

PARTITIONS = 3
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


KINDS = st.sampled_from(
    ["new", "new", "further", "further", "further", "contradiction", "poison", "user attributes"]
)
EVENTS_MAX = st.integers(1, 20)
KILL_AT = st.sampled_from(["commit", "commit", 0, 1, 2, 3, 4, 5, 6, 7])


class Killed(BaseException):
    """The process dies here."""


class FaultyStore:
    """A store that kills its user before or after one call, and keeps the change that was under way.

    The call is the n-th one, or the next one of a name.
    """

    def __init__(self, inner: Store, on_commit: Callable[[Change], None]) -> None:
        self.inner = inner
        self.on_commit = on_commit
        self.kill_at: int | str | None = None
        self.kill_before = True
        self.calls = 0
        self.held: Change | None = None

    def arm(self, kill_at: int | str, *, kill_before: bool) -> None:
        self.kill_at, self.kill_before, self.calls = kill_at, kill_before, 0

    def __getattr__(self, name: str) -> Callable[..., object]:
        call: Callable[..., object] = getattr(self.inner, name)

        def watched(*arguments: object) -> object:
            killed = self.kill_at in {name, self.calls}
            self.calls += 1
            if killed and self.kill_before:
                self.held = cast("Change", arguments[0]) if name == "commit" else None
                raise Killed
            answer = call(*arguments)
            if name == "commit":
                self.on_commit(cast("Change", arguments[0]))
            if killed:
                raise Killed
            return answer

        return watched


class SmallBatches:
    """A consumer that gives as few events as the test wants."""

    def __init__(self, inner: EmbeddedConsumer) -> None:
        self.inner = inner
        self.events_max = 1

    def poll(self, events_max: int, bytes_max: int, wait_seconds: float) -> Sequence[Slice]:
        return self.inner.poll(self.events_max, bytes_max, 0.0)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


class Machine(RuleBasedStateMachine):
    """The rules; a subclass says which store."""

    durable: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ticking()
        self.payloads: dict[tuple[int, int], bytes] = {}
        self.bought: list[TransactionData] = []
        self.oracle = Oracle([])
        self.claimed: dict[int, int] = {}
        self.quarantined: dict[tuple[int, int], str] = {}
        self.commits: list[Change] = []
        self.held: list[Change] = []
        self.workers: list[tuple[Worker, SmallBatches]] = []
        self.memory = self.make_memory_store()
        self.open()

    def make_memory_store(self) -> MemoryStore:
        return MemoryStore()

    # --- the process --------------------------------------------------------------------------------------

    def open(self) -> None:
        folder = Path(self.folder.name)
        self.log = EmbeddedLog.open(folder / "log", PARTITIONS, self.clock)
        inner = LmdbStore(folder / "store") if self.durable else self.memory
        self.store: Store = inner
        self.faulty = FaultyStore(inner, self.commits.append)
        self.add_worker()

    def add_worker(self) -> None:
        consumer = SmallBatches(self.log.consumer())
        worker = Worker(consumer, cast("Store", self.faulty), WorkerSettings(), self.clock)  # pyright: ignore[reportArgumentType]
        self.workers.append((worker, consumer))

    def die(self) -> None:
        """Lose everything that is not in the log or the store."""
        for worker, _ in self.workers:
            worker.close()
        self.workers.clear()
        self.log.close()
        self.store.close()

    def teardown(self) -> None:
        try:
            while self.workers[-1][0].lag():
                self.work(self.workers[-1], 1_000)
            self.what_is_stored_is_what_the_oracle_says()
            assert {p: offset + 1 for p, offset in self.claimed.items() if offset >= 0} == {
                partition: end for partition, end in self.log.ends().items() if end
            }
        finally:
            self.die()
            self.folder.cleanup()

    # --- rules: each lets events arrive and a worker work, so that any mix of them tells something -------------

    @initialize()
    def apply_first_campaigns(self) -> None:
        self.apply_campaigns(FIRST_VERSION, REFUNDS_IN_TOKYO)

    @rule(data=st.data(), events_max=EVENTS_MAX)
    def live(self, data: st.DataObject, events_max: int) -> None:
        """The latest worker takes a micro-batch."""
        self.arrive(data)
        self.work(self.workers[-1], events_max)

    @rule(data=st.data(), kill_at=KILL_AT, kill_before=st.booleans(), events_max=EVENTS_MAX)
    def die_and_live_again(
        self, data: st.DataObject, kill_at: int | str, kill_before: bool, events_max: int
    ) -> None:
        """The process is killed before or after a call of the store, and starts again."""
        self.arrive(data)
        self.faulty.arm(kill_at, kill_before=kill_before)
        try:
            self.work(self.workers[-1], events_max)
        except Killed:
            if self.faulty.held is not None:
                self.held.append(self.faulty.held)
        self.die()
        self.open()
        self.work(self.workers[-1], events_max)

    @rule(data=st.data(), events_max=EVENTS_MAX)
    def be_overtaken(self, data: st.DataObject, events_max: int) -> None:
        """A second worker starts and works; then an older one goes on from the positions that it knows."""
        self.arrive(data)
        zombie = data.draw(st.sampled_from(self.workers))
        if len(self.workers) < 3:
            self.add_worker()
        self.work(self.workers[-1], events_max)
        self.work(zombie, events_max)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), events_max=EVENTS_MAX)
    def wake_with_a_full_batch(self, data: st.DataObject, events_max: int) -> None:
        """A commit that was decided before a death arrives late: it is refused if anything has moved."""
        self.arrive(data)
        change = data.draw(st.sampled_from(self.held))
        applied = self.store.applied()
        current = change.catalog_revision == self.store.catalog()[0] and all(
            applied.get(partition, NOTHING_APPLIED) == state for partition, state in change.expected.items()
        )
        if current:
            self.store.commit(change)
            self.commits.append(change)
        else:
            with pytest.raises(Overtaken):
                self.store.commit(change)
        self.work(self.workers[-1], events_max)

    @precondition(lambda self: len(self.oracle.campaigns) < 3)
    @rule(data=st.data(), events_max=EVENTS_MAX)
    def apply_another_campaign(self, data: st.DataObject, events_max: int) -> None:
        self.arrive(data)
        self.apply_campaigns(NULLS)
        self.work(self.workers[-1], events_max)

    @precondition(lambda self: len(self.oracle.campaigns["versions"].versions) == 1)
    @rule(data=st.data(), events_max=EVENTS_MAX)
    def apply_later_versions(self, data: st.DataObject, events_max: int) -> None:
        self.arrive(data)
        self.apply_campaigns(VERSIONS)
        self.work(self.workers[-1], events_max)

    # --- what the rules do --------------------------------------------------------------------------------

    def apply_campaigns(self, *pairs: Pair) -> None:
        put_campaigns(self.store, pairs)
        for pair in pairs:
            self.oracle.put(pair.oracle)

    def arrive(self, data: st.DataObject) -> None:
        """Append events of any kind to the log."""
        events = [self.draw_event(data, kind) for kind in data.draw(st.lists(KINDS, min_size=1, max_size=8))]
        for position, event in zip(self.log.append(events), events, strict=True):
            self.payloads[position] = event

    def draw_event(self, data: st.DataObject, kind: str) -> bytes:
        """Draw a new transaction's event, any event of a known one, or trouble."""
        if kind == "poison":
            return POISON[data.draw(st.sampled_from(sorted(POISON)))][0]
        if kind == "user attributes":
            return data.draw(user_attribute_events())
        if kind == "new" or not self.bought:
            found = data.draw(transactions(st.just(f"t{len(self.bought)}")))
            self.bought.append(found)
            return found.event(data.draw(st.integers(1, 3)))
        known = data.draw(st.sampled_from(self.bought))
        if kind == "contradiction":
            return data.draw(contradictions(known))
        return known.event(data.draw(st.integers(1, 7)))

    def work(self, chosen: tuple[Worker, SmallBatches], events_max: int) -> None:
        """Take one micro-batch; a worker that was overtaken changes nothing."""
        worker, consumer = chosen
        consumer.events_max = events_max
        before, commits = self.store.applied(), len(self.commits)
        applied = worker.step(0.0)
        assert (applied > 0) == (len(self.commits) > commits)
        if applied == 0:
            assert self.store.applied() == before

    # --- what must hold -----------------------------------------------------------------------------------

    @invariant()
    def what_is_stored_is_what_the_oracle_says(self) -> None:
        self.follow()
        oracle = self.oracle
        stored, expected = stored_figures(self.store), oracle.figures()
        counted = {key: figure for key, figure in stored.items() if self.is_scheduled(key[0], key[1], key[4])}
        assert counted == expected
        found = self.store.quarantine(None, len(self.payloads) + 1)
        assert {(each.partition, each.offset): each.reason for each in found} == self.quarantined
        assert all(each.payload == self.payloads[each.partition, each.offset] for each in found)
        counters = self.store.counters()
        assert counters.events == oracle.events - len(self.quarantined)
        assert sum(counters.quarantined.values()) == len(self.quarantined)
        self.check_transactions()
        self.check_user_attributes()

    def follow(self) -> None:
        """Apply to the oracle what the store claims to have applied since."""
        for change in self.commits:
            for partition, after in change.applied.items():
                for offset in range(self.claimed.get(partition, -1) + 1, after.offset + 1):
                    reason = self.oracle.apply(self.payloads[partition, offset])
                    if reason is not None:
                        self.quarantined[partition, offset] = reason
                self.claimed[partition] = after.offset
        self.commits.clear()
        applied = self.store.applied()
        assert {partition: state.offset for partition, state in applied.items()} == self.claimed

    def is_scheduled(self, campaign: str, number: int, period: str) -> bool:
        """Return whether a figure is shown: what another version has taken over stays stored as it was."""
        found = self.oracle.campaigns[campaign]
        return any(v.number == number and found.counts(v, period) for v in found.versions)

    def check_transactions(self) -> None:
        expected = self.oracle.transactions
        records = self.store.transactions([name.encode() for name in expected])
        assert None not in records
        histories = decode_transactions(records).histories
        for index, transaction in enumerate(expected.values()):
            steps = slice(histories.starts[index], histories.starts[index] + histories.lengths[index])
            statuses: list[int] = histories.statuses[steps].tolist()
            ats: list[int] = histories.ats[steps].tolist()
            amounts: list[int] = histories.amounts[steps].tolist()
            assert transaction.history == tuple(
                (STATUSES[status], EPOCH + timedelta(microseconds=at), amount)
                for status, at, amount in zip(statuses, ats, amounts, strict=True)
            )

    def check_user_attributes(self) -> None:
        for user_id in USERS:
            standing = self.store.standing(user_id.encode(), crc32(user_id.encode()) % PARTITIONS)
            found, told = (
                decode_user_attributes(standing.user_attributes),
                self.oracle.user_attributes.get(user_id),
            )
            assert (found.sequence, found.values) == ((told.sequence, told.values) if told else (-1, {}))


class DurableMachine(Machine):
    durable = True


def run(
    machine: type[Machine], examples: int, phases: Sequence[Phase] = (Phase.generate, Phase.shrink)
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            report_multiple_bugs=False,
            phases=phases,
            # Each example opens a log and a store; that it takes its time is no failure.
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


@pytest.mark.parametrize(("machine", "examples"), [(Machine, 16), (DurableMachine, 10)])
def test_state_equals_the_oracle_after_every_step(machine: type[Machine], examples: int) -> None:
    """Whatever arrives, dies, wakes or is applied, the store holds what the oracle says of its prefix."""
    run(machine, examples)


# --- the machine itself: it must catch each of these ----------------------------------------------------------


def nothing_is_known_before(
    events: TransactionEvents, groups: Integers, stored: StoredTransactions
) -> Merged:
    """Count each history from its beginning, as if it had never been counted."""
    found = merge(events, groups, stored)
    return replace(found, before=np.zeros_like(found.before))


def conflicts_pass_unseen(events: TransactionEvents, groups: Integers, stored: StoredTransactions) -> Merged:
    return replace(merge(events, groups, stored), rejections=())


def the_last_told_wins(
    events: Sequence[UserAttributesEvent], store: Store
) -> tuple[Entries, list[Rejection], int]:
    records = {
        e.user_id.encode(): encode_user_attributes(UserAttributes(e.sequence, e.values)) for e in events
    }
    keys = list(records)
    return Entries(keys, store.user_attributes(keys), list(records.values()), keys), [], 0


def no_guard(*_: object) -> None:
    """Let every commit pass, of whatever state it was computed."""


def everything_is_posted_to_the_purchase(post_to: PostTo) -> str:
    return '"at"["completed"]'


MUTANTS: list[tuple[str, object]] = [
    ("rung.speed.decide.merge", nothing_is_known_before),
    ("rung.speed.decide.merge", conflicts_pass_unseen),
    ("rung.speed.decide.merge_user_attributes", the_last_told_wins),
    ("rung.store.memory.guard_commit", no_guard),
    ("rung.plan.compile._posted_at", everything_is_posted_to_the_purchase),
]


@pytest.mark.parametrize(("place", "mutant"), MUTANTS)
def test_the_machine_catches_a_seeded_bug(
    monkeypatch: pytest.MonkeyPatch, place: str, mutant: object
) -> None:
    """A worker or store that breaks one of the laws does not get through."""
    monkeypatch.setattr(place, mutant)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run(Machine, 100, [Phase.generate])
