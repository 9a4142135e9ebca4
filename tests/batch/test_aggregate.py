"""A snapshot holds what store and oracle hold; however it came about, its figures are the same bytes."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import xxhash

import rung.batch.aggregate as aggregating
from batch.reading import figure_checksums, merged_transactions, rejected_events, snapshot_figures
from batch.scenes import PARTITIONS, Scene, opened_scene
from batch.test_verify import TRAFFIC, events_of, verified
from campaign_pairs import FIRST_VERSION, LADDER, PAIRS, VERSIONS
from harness import put_campaigns, stored_figures
from oracle import FigureKey, Oracle
from rung.batch.aggregate import Aggregation, aggregate, nobody, owners_in
from rung.batch.archive import archive_up_to
from rung.batch.snapshots import KEPT, Snapshot, Snapshots
from rung.lake.port import LakeDamaged
from rung.store.records import decode_transactions
from rung.transaction.routing import partition_of

WILD = replace(TRAFFIC, users=200, transactions=2_000, conflict_share=0.05)
AFTER_OTHERS = {"history_conflict", "attributes_changed", "user_changed"}
"""Why an event of a transaction is rejected for what came before it."""
AT = "2011-06-15T12:00:00Z"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with opened_scene(tmp_path, PAIRS) as opened:
        yield opened


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Scene]:
    """Give a scene with few versions, for what has many runs."""
    with opened_scene(tmp_path, [FIRST_VERSION, LADDER]) as opened:
        yield opened


def by_batch(scene: Scene, snapshot: Snapshot) -> dict[FigureKey, int]:
    return snapshot_figures(scene.workshop.snapshots, snapshot, scene.workshop.catalog())


def from_nothing(scene: Scene, ends: dict[int, int]) -> Snapshot:
    """Return a full snapshot, which is made in a folder of its own."""
    workshop = scene.workshop
    return aggregate(
        workshop.engine,
        Snapshots(scene.folder / "full"),
        workshop.lake,
        workshop.catalog(),
        ends,
        owners_in(scene.store),
        full=True,
    ).snapshot


def random_cuts(ends: dict[int, int], count: int, chance: random.Random) -> list[dict[int, int]]:
    """Return positions that rise in each partition by itself, the last of which are the ends."""
    cuts = {
        partition: [*sorted(chance.choices(range(end + 1), k=count - 1)), end]
        for partition, end in ends.items()
    }
    return [{partition: cuts[partition][number] for partition in ends} for number in range(count)]


def purchase(transaction_id: str, user_id: str, amount: int = 1_000, **attributes: object) -> bytes:
    history = [{"status": "COMPLETED", "at": AT, "amount": amount}]
    return json.dumps(
        {"transaction_id": transaction_id, "user_id": user_id, "attributes": attributes, "history": history}
    ).encode()


def user_of(partition: int, number: int = 0) -> str:
    """Return a user whose events go to a partition."""
    found = (f"u{index}" for index in range(10_000) if partition_of(b"u%d" % index, PARTITIONS) == partition)
    return [next(found) for _ in range(number + 1)][number]


def test_figures_are_the_stores_and_the_oracles(scene: Scene) -> None:
    """Refunds, cancellations, gaps, duplicates and poison together: every figure of every user is the same."""
    events = events_of(replace(WILD, conflict_share=0.0))
    scene.append(events)
    scene.work()
    done = scene.workshop.aggregate_to(dict(scene.log.ends()))
    expected = Oracle([pair.oracle for pair in PAIRS]).apply_all(events).figures()
    assert stored_figures(scene.store) == expected
    assert by_batch(scene, done.snapshot) == expected
    assert len(expected) > 5_000
    assert done.events == len(events)


def test_conflicts_fall_as_the_store_decided(scene: Scene) -> None:
    """With conflicts, of which some are between partitions, the snapshot has the figures of the store."""
    scene.append(events_of(WILD))
    scene.work()
    done = scene.workshop.aggregate_to(dict(scene.log.ends()))
    assert by_batch(scene, done.snapshot) == stored_figures(scene.store)
    assert sum(map(len, done.snapshot.disowned.values())) > 5


def test_what_is_rejected_is_what_is_in_quarantine(scene: Scene) -> None:
    """The events that fit nothing before them are those of the quarantine, with the same reasons.

    An event whose transaction belongs to a user of another partition has no place in its own: the store alone
    rejects it.
    """
    scene.append(events_of(WILD))
    scene.work()
    ends = dict(scene.log.ends())
    snapshot = scene.workshop.aggregate_to(ends).snapshot
    quarantine = {
        (one.partition, one.offset): one
        for one in scene.store.quarantine(None, sum(ends.values()))
        if one.reason in AFTER_OTHERS
    }
    assert len(quarantine) > 50
    elsewhere = {
        place
        for place, one in quarantine.items()
        if json.loads(one.payload)["transaction_id"] in snapshot.disowned.get(place[0], [])
    }
    assert all(quarantine[place].reason == "user_changed" for place in elsewhere)
    found = rejected_events(scene.workshop.snapshots, snapshot)
    assert found == {place: one.reason for place, one in quarantine.items() if place not in elsewhere}
    assert set(found.values()) == AFTER_OTHERS


@pytest.mark.parametrize("seed", [1, 2])
def test_increments_give_the_bytes_of_a_full_run(
    scene: Scene, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run after run from random positions, with parts joined on the way, ends with the files of one full run."""
    monkeypatch.setattr("rung.batch.aggregate.PARTS_MAX", 3)
    chance = random.Random(seed)
    events = events_of(WILD)
    chance.shuffle(events)
    scene.append(events)
    scene.work()
    ends = dict(scene.log.ends())
    snapshots, whole = scene.workshop.snapshots, Snapshots(scene.folder / "full")
    made = [scene.workshop.aggregate_to(cut).snapshot for cut in random_cuts(ends, 5, chance)]
    assert [min(map(len, one.merged.values())) for one in made] == [1, 2, 1, 2, 1]
    last, full = made[-1], from_nothing(scene, ends)
    assert last.positions == ends
    assert figure_checksums(last) == figure_checksums(full)
    assert last.disowned == full.disowned
    assert rejected_events(snapshots, last) == rejected_events(whole, full)
    assert merged_transactions(snapshots, last) == merged_transactions(whole, full)


def test_a_version_that_was_added_in_between(small: Scene) -> None:
    """A version that a snapshot does not have yet is counted from the first event on; the others go on."""
    events = events_of(WILD)
    small.append(events)
    small.work()
    ends = dict(small.log.ends())
    half, more = ({p: end * part // 4 for p, end in ends.items()} for part in (2, 3))
    small.workshop.aggregate_to(half)
    put_campaigns(small.store, [VERSIONS])
    small.workshop.aggregate_to(more)
    done = small.workshop.aggregate_to(ends)
    assert len(done.snapshot.figures) == 4
    assert figure_checksums(done.snapshot) == figure_checksums(from_nothing(small, ends))


def test_a_transaction_that_is_contested_later(small: Scene) -> None:
    """Two users of two partitions claim an id, one of them after a snapshot: it counts once, for the owner."""
    first, second = user_of(0), user_of(1)
    small.append([purchase("t1", first), purchase("t2", second)])
    small.work()
    before = small.workshop.aggregate_to(dict(small.log.ends())).snapshot
    assert before.disowned == {}
    small.append([purchase("t1", second), purchase("t2", first), purchase("t3", first)])
    small.work()
    ends = dict(small.log.ends())
    done = small.workshop.aggregate_to(ends)
    assert done.snapshot.disowned == {0: ["t2"], 1: ["t1"]}
    assert by_batch(small, done.snapshot) == stored_figures(small.store)
    assert figure_checksums(done.snapshot) == figure_checksums(from_nothing(small, ends))
    # It stays so when more comes of either claim, and of none.
    for more in ([purchase("t1", first), purchase("t1", second)], [purchase("t4", second)], []):
        small.append(more)
        small.work()
        ends = dict(small.log.ends())
        done = small.workshop.aggregate_to(ends)
        assert done.snapshot.disowned == {0: ["t2"], 1: ["t1"]}
        assert by_batch(small, done.snapshot) == stored_figures(small.store)
        assert figure_checksums(done.snapshot) == figure_checksums(from_nothing(small, ends))


def test_the_store_decides_after_a_snapshot(small: Scene) -> None:
    """A snapshot that is ahead of the store follows it, once the store has taken the claim that came second."""
    first, second = user_of(1), user_of(0)
    small.append([purchase("t", first)])
    small.append([purchase("t", second)])
    ends = dict(small.log.ends())
    assert small.workshop.aggregate_to(ends).snapshot.disowned == {0: ["t"]}
    # A worker that reads partition 0 before partition 1, as it may.
    small.work()
    (owner,) = decode_transactions(small.store.transactions([b"t"])).users.tolist()
    assert owner == xxhash.xxh3_64_intdigest(second.encode())
    done = small.workshop.aggregate_to(ends)
    full = from_nothing(small, ends)
    assert done.snapshot.disowned == full.disowned == {1: ["t"]}
    assert by_batch(small, done.snapshot) == stored_figures(small.store)
    assert figure_checksums(done.snapshot) == figure_checksums(full)
    assert verified(small).is_clean


@pytest.mark.parametrize("is_first_known", [False, True])
def test_several_users_of_one_partition_contest_an_id(small: Scene, is_first_known: bool) -> None:
    """Three users claim an id, two of them in one partition: it counts for the one that the store has."""
    users = [user_of(0), user_of(0, 1), user_of(1)]
    for users_in_turn in (sorted(users), sorted(users, reverse=True)):
        prefix = f"{users_in_turn[0]}-"
        for index, user in enumerate(users_in_turn):
            small.append([purchase(f"{prefix}t", user)])
            small.work()
            if index == 0 and is_first_known:
                small.workshop.aggregate_to(dict(small.log.ends()))
    done = small.workshop.aggregate_to(dict(small.log.ends()))
    assert by_batch(small, done.snapshot) == stored_figures(small.store)
    assert verified(small).is_clean


def aggregated_without_a_store(scene: Scene, ends: dict[int, int]) -> Aggregation:
    workshop = scene.workshop
    archive_up_to(scene.log, workshop.lake, ends)
    return aggregate(workshop.engine, workshop.snapshots, workshop.lake, workshop.catalog(), ends, nobody)


def test_without_a_store_the_first_claim_counts(small: Scene) -> None:
    """With nobody to ask, the claim that was appended first counts, and goes on counting."""
    first, second = user_of(2), user_of(0)
    for user in (first, second):
        # One after the other, so that they are not appended within the same microsecond.
        small.append([purchase("t", user)])
    done = aggregated_without_a_store(small, dict(small.log.ends()))
    assert done.snapshot.disowned == {0: ["t"]}
    for user in (first, second):
        small.append([purchase("t", user)])
        done = aggregated_without_a_store(small, dict(small.log.ends()))
        assert done.snapshot.disowned == {0: ["t"]}
    oracle = Oracle([FIRST_VERSION.oracle, LADDER.oracle]).apply_all([purchase("t", first)])
    assert by_batch(small, done.snapshot) == oracle.figures()


def test_old_snapshots_are_forgotten(small: Scene) -> None:
    """The last ones are kept with every file that they refer to; all other files are gone."""
    snapshots = small.workshop.snapshots
    events = events_of(replace(WILD, transactions=400))
    small.append(events)
    small.work()
    cuts = random_cuts(dict(small.log.ends()), KEPT + 3, random.Random(3))
    for number, cut in enumerate(cuts, 1):
        small.workshop.aggregate_to(cut)
        kept = snapshots.all()
        assert [one.number for one in kept] == list(range(number, max(0, number - KEPT), -1))
        for one in kept:
            snapshots.check(one, 2)
        folder = snapshots.path("")
        there = {str(path.relative_to(folder)) for path in folder.rglob("*.parquet")}
        assert there == {name for one in kept for name in one.files}
    # A part of merged transactions of one that is forgotten is needed for as long as it is not joined.
    assert any(name.startswith("1/") for name in snapshots.all()[0].files)
    assert not snapshots.path("1/manifest.json").exists()


def test_an_unchanged_partition_is_not_computed_again(small: Scene) -> None:
    """Events of one partition leave the files of the others as they are; none at all leave every file."""
    small.append(events_of(replace(WILD, transactions=300)))
    small.work()
    ends = dict(small.log.ends())
    first = small.workshop.aggregate_to(ends).snapshot
    again = small.workshop.aggregate_to(ends)
    assert (again.events, again.transactions) == (0, 0)
    assert again.snapshot.files == first.files
    small.append([purchase("new", user_of(1)), purchase("new", user_of(1))])
    small.work()
    more = small.workshop.aggregate_to(dict(small.log.ends()))
    assert (more.events, more.transactions) == (2, 1)
    for version, names in first.figures.items():
        changed = {
            partition
            for partition, name in more.snapshot.figures[version].items()
            if name != names[partition]
        }
        assert changed == {1}
    assert [len(more.snapshot.merged[p]) - len(first.merged[p]) for p in range(PARTITIONS)] == [0, 1, 0]


def test_snapshots_that_are_ahead_are_passed_over(small: Scene) -> None:
    """A run as of positions before the newest snapshot starts from an older one, or from nothing."""
    small.append(events_of(replace(WILD, transactions=600)))
    small.work()
    ends = dict(small.log.ends())
    early, middle = ({p: end * part // 4 for p, end in ends.items()} for part in (1, 2))
    small.workshop.aggregate_to(early)
    small.workshop.aggregate_to(ends)
    done = small.workshop.aggregate_to(middle)
    assert done.events == sum(middle.values()) - sum(early.values())
    assert figure_checksums(done.snapshot) == figure_checksums(from_nothing(small, middle))
    mixed = {**middle, 0: 0}
    assert small.workshop.aggregate_to(mixed).events == sum(mixed.values())


def test_snapshots_with_other_hashes_are_passed_over(small: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another release of the engine may hash ids otherwise: the next run begins with the first event."""
    events = events_of(replace(WILD, transactions=600))
    small.append(events)
    small.work()
    ends = dict(small.log.ends())
    early = {p: end // 2 for p, end in ends.items()}
    monkeypatch.setattr(aggregating, "HASHED_BY", "duckdb 0.0.1")
    assert small.workshop.aggregate_to(early).snapshot.hashed_by == "duckdb 0.0.1"
    monkeypatch.undo()
    done = small.workshop.aggregate_to(ends)
    assert done.events == len(events)
    assert figure_checksums(done.snapshot) == figure_checksums(from_nothing(small, ends))


def test_positions_that_the_lake_does_not_have(small: Scene) -> None:
    """Positions behind the lake's end are refused by name; once they are archived, they are aggregated."""
    small.append([purchase("t", user_of(1))])
    small.work()
    workshop, ends = small.workshop, dict(small.log.ends())

    def aggregated() -> Aggregation:
        owners = owners_in(small.store)
        return aggregate(workshop.engine, workshop.snapshots, workshop.lake, workshop.catalog(), ends, owners)

    told = "the lake has partition 1 up to offset 0, not up to 1: run `rung archive --until-caught-up` first"
    with pytest.raises(LakeDamaged, match=re.escape(told)):
        aggregated()
    assert workshop.snapshots.all() == []
    archive_up_to(small.log, workshop.lake, ends)
    assert by_batch(small, aggregated().snapshot) == stored_figures(small.store)
