"""A snapshot holds what store and oracle hold; however it came about, its figures are the same bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from batch.reading import figure_checksums, merged_transactions, rejected_events, snapshot_figures
from batch.scenes import PARTITIONS, Scene, opened_scene
from batch.test_verify import TRAFFIC, events_of, verified
from campaign_pairs import FIRST_VERSION, LADDER, PAIRS, VERSIONS, Pair
from harness import decode_catalog, put_campaigns, stored_figures
from oracle import FigureKey, Oracle
from rung.batch.aggregate import PARTS_MAX, Aggregation, aggregate, nobody, owners_in
from rung.batch.archive import archive_up_to
from rung.batch.backfill import backfill
from rung.batch.snapshots import KEPT, Snapshot, Snapshots
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


def by_batch(scene: Scene, snapshot: Snapshot) -> dict[FigureKey, int]:
    return snapshot_figures(scene.workshop.snapshots, snapshot, scene.workshop.catalog())


def from_nothing(scene: Scene, ends: dict[int, int]) -> Snapshot:
    """Return a full snapshot, which is made in a folder of its own."""
    workshop = scene.workshop
    return aggregate(
        workshop.engine,
        Snapshots(scene.folder / "full"),
        workshop.lake.state(),
        workshop.catalog(),
        ends,
        owners_in(scene.store),
        full=True,
    ).snapshot


def random_cuts(ends: dict[int, int], count: int, chance: random.Random) -> list[dict[int, int]]:
    """Return positions that rise in each partition by itself, the last of which are the ends."""
    cuts = {
        partition: sorted(chance.choices(range(end + 1), k=count - 1)) + [end]
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
def test_increments_give_the_bytes_of_a_full_run(scene: Scene, seed: int) -> None:
    """Run after run from random positions, with parts joined on the way, ends with the files of one full run."""
    chance = random.Random(seed)
    events = events_of(WILD)
    chance.shuffle(events)
    scene.append(events)
    scene.work()
    ends = dict(scene.log.ends())
    parts: list[int] = []
    cuts = random_cuts(ends, PARTS_MAX + 3, chance)
    for cut in cuts:
        done = scene.workshop.aggregate_to(cut)
        parts.append(max(map(len, done.snapshot.merged.values())))
        assert done.snapshot.positions == cut
    full = from_nothing(scene, ends)
    assert figure_checksums(done.snapshot) == figure_checksums(full)
    assert done.snapshot.disowned == full.disowned
    snapshots = scene.workshop.snapshots
    whole = Snapshots(scene.folder / "full")
    assert rejected_events(snapshots, done.snapshot) == rejected_events(whole, full)
    assert merged_transactions(snapshots, done.snapshot) == merged_transactions(whole, full)
    assert max(parts) == PARTS_MAX - 1
    assert 1 in parts[PARTS_MAX - 1 :]


def test_a_version_that_was_added_in_between(scene: Scene) -> None:
    """A version that a snapshot does not have yet is counted from the first event on; the others go on."""
    events = events_of(WILD)
    with opened_scene(scene.folder / "another", [FIRST_VERSION, LADDER]) as another:
        another.append(events)
        another.work()
        ends = dict(another.log.ends())
        half = {partition: end // 2 for partition, end in ends.items()}
        another.workshop.aggregate_to(half)
        put_campaigns(another.store, [VERSIONS])
        quarter_more = {partition: end * 3 // 4 for partition, end in ends.items()}
        another.workshop.aggregate_to(quarter_more)
        done = another.workshop.aggregate_to(ends)
        full = from_nothing(another, ends)
        assert len(done.snapshot.figures) == 4
        assert figure_checksums(done.snapshot) == figure_checksums(full)


def test_a_transaction_that_is_contested_later(scene: Scene) -> None:
    """Two users of two partitions claim an id, one of them after a snapshot: it counts once, for the owner."""
    first, second = user_of(0), user_of(1)
    scene.append([purchase("t1", first), purchase("t2", second)])
    scene.work()
    before = scene.workshop.aggregate_to(dict(scene.log.ends())).snapshot
    assert before.disowned == {}
    scene.append([purchase("t1", second), purchase("t2", first), purchase("t3", first)])
    scene.work()
    ends = dict(scene.log.ends())
    done = scene.workshop.aggregate_to(ends)
    assert done.snapshot.disowned == {0: ["t2"], 1: ["t1"]}
    assert by_batch(scene, done.snapshot) == stored_figures(scene.store)
    assert figure_checksums(done.snapshot) == figure_checksums(from_nothing(scene, ends))
    # It stays so when more comes of either claim, and of none.
    for more in ([purchase("t1", first), purchase("t1", second)], [purchase("t4", second)], []):
        scene.append(more)
        scene.work()
        ends = dict(scene.log.ends())
        done = scene.workshop.aggregate_to(ends)
        assert done.snapshot.disowned == {0: ["t2"], 1: ["t1"]}
        assert by_batch(scene, done.snapshot) == stored_figures(scene.store)
        assert figure_checksums(done.snapshot) == figure_checksums(from_nothing(scene, ends))


def test_the_store_decides_after_a_snapshot(scene: Scene) -> None:
    """A snapshot that is ahead of the store follows it, once the store has taken the claim that came second."""
    first, second = user_of(1), user_of(0)
    scene.append([purchase("t", first)])
    scene.append([purchase("t", second)])
    ends = dict(scene.log.ends())
    assert scene.workshop.aggregate_to(ends).snapshot.disowned == {0: ["t"]}
    # A worker that reads partition 0 before partition 1, as it may.
    scene.work()
    (record,) = scene.store.transactions([b"t"])
    assert record is not None
    done = scene.workshop.aggregate_to(ends)
    full = from_nothing(scene, ends)
    assert done.snapshot.disowned == full.disowned
    assert by_batch(scene, done.snapshot) == stored_figures(scene.store)
    assert figure_checksums(done.snapshot) == figure_checksums(full)
    assert verified(scene).is_clean


@pytest.mark.parametrize("is_first_known", [False, True])
def test_several_users_of_one_partition_contest_an_id(scene: Scene, is_first_known: bool) -> None:
    """Three users claim an id, two of them in one partition: it counts for the one that the store has."""
    users = [user_of(0), user_of(0, 1), user_of(1)]
    for users_in_turn in (sorted(users), sorted(users, reverse=True)):
        prefix = f"{users_in_turn[0]}-"
        for index, user in enumerate(users_in_turn):
            scene.append([purchase(f"{prefix}t", user)])
            scene.work()
            if index == 0 and is_first_known:
                scene.workshop.aggregate_to(dict(scene.log.ends()))
    done = scene.workshop.aggregate_to(dict(scene.log.ends()))
    assert by_batch(scene, done.snapshot) == stored_figures(scene.store)
    assert verified(scene).is_clean


def aggregated_without_a_store(scene: Scene, ends: dict[int, int]) -> Aggregation:
    workshop = scene.workshop
    archive_up_to(scene.log, workshop.lake, workshop.catalog(), ends)
    lake, catalog = workshop.lake.state(), workshop.catalog()
    return aggregate(workshop.engine, workshop.snapshots, lake, catalog, ends, nobody)


def test_without_a_store_the_first_claim_counts(scene: Scene) -> None:
    """With nobody to ask, the claim that was appended first counts, and goes on counting."""
    first, second = user_of(2), user_of(0)
    for user in (first, second):
        # One after the other, so that they are not appended within the same microsecond.
        scene.append([purchase("t", user)])
    done = aggregated_without_a_store(scene, dict(scene.log.ends()))
    assert done.snapshot.disowned == {0: ["t"]}
    for user in (first, second):
        scene.append([purchase("t", user)])
        done = aggregated_without_a_store(scene, dict(scene.log.ends()))
        assert done.snapshot.disowned == {0: ["t"]}
    oracle = Oracle([pair.oracle for pair in PAIRS]).apply_all([purchase("t", first)])
    assert by_batch(scene, done.snapshot) == oracle.figures()


def test_old_snapshots_are_forgotten(scene: Scene) -> None:
    """The last ones are kept with every file that they refer to; all other files are gone."""
    snapshots = scene.workshop.snapshots
    events = events_of(replace(WILD, transactions=400))
    scene.append(events)
    scene.work()
    cuts = random_cuts(dict(scene.log.ends()), KEPT + 3, random.Random(3))
    for number, cut in enumerate(cuts, 1):
        scene.workshop.aggregate_to(cut)
        kept = snapshots.all()
        assert [one.number for one in kept] == list(range(number, max(0, number - KEPT), -1))
        for one in kept:
            snapshots.check(one)
        folder = snapshots.path("")
        there = {str(path.relative_to(folder)) for path in folder.rglob("*.parquet")}
        assert there == {name for one in kept for name in one.files}
    # A part of merged transactions of one that is forgotten is needed for as long as it is not joined.
    assert any(name.startswith("1/") for name in kept[0].files)
    assert not snapshots.path("1/manifest.json").exists()


def test_an_unchanged_partition_is_not_computed_again(scene: Scene) -> None:
    """Events of one partition leave the files of the others as they are; none at all leave every file."""
    scene.append(events_of(replace(WILD, transactions=300)))
    scene.work()
    ends = dict(scene.log.ends())
    first = scene.workshop.aggregate_to(ends).snapshot
    again = scene.workshop.aggregate_to(ends)
    assert (again.events, again.transactions) == (0, 0)
    assert again.snapshot.files == first.files
    scene.append([purchase("new", user_of(1)), purchase("new", user_of(1))])
    scene.work()
    more = scene.workshop.aggregate_to(dict(scene.log.ends()))
    assert (more.events, more.transactions) == (2, 1)
    for version, names in first.figures.items():
        changed = {
            partition
            for partition, name in more.snapshot.figures[version].items()
            if name != names[partition]
        }
        assert changed == {1}
    assert [len(more.snapshot.merged[p]) - len(first.merged[p]) for p in range(PARTITIONS)] == [0, 1, 0]


def test_snapshots_that_are_ahead_are_passed_over(scene: Scene) -> None:
    """A run as of positions before the newest snapshot starts from an older one, or from nothing."""
    scene.append(events_of(replace(WILD, transactions=600)))
    scene.work()
    ends = dict(scene.log.ends())
    early, middle = ({p: end * part // 4 for p, end in ends.items()} for part in (1, 2))
    scene.workshop.aggregate_to(early)
    scene.workshop.aggregate_to(ends)
    done = scene.workshop.aggregate_to(middle)
    assert done.events == sum(middle.values()) - sum(early.values())
    assert figure_checksums(done.snapshot) == figure_checksums(from_nothing(scene, middle))
    mixed = {**middle, 0: 0}
    assert scene.workshop.aggregate_to(mixed).events == sum(mixed.values())


LATER_DECLARED = Pair(
    """
campaign: later
timezone: UTC
currency: GBP
attributes: {colour: string, size: integer, fresh: boolean}
versions:
  - version: 0
    counts_from: 2011-01
    measures:
      colours: {distinct: colour}
      sizes: {sum: size}
      fresh: {count: fresh}
      unknown: {count: "colour IS NULL OR size IS NULL OR fresh IS NULL"}
    reward: {base_percent: "1"}
""",
    LADDER.oracle,
)
TOLD: Sequence[object] = (None, 7, -7, "7", 7.5, 2**53 + 1, 10**30, True, "true", "", "red", [1], {"a": 1})


def test_attributes_that_were_told_before_they_were_declared(scene: Scene) -> None:
    """A value of another type than is declared later is unknown, to the backfill as to the verification."""
    scene.append(
        [purchase(f"p{i}", f"user {i}", colour=one, size=one, fresh=one) for i, one in enumerate(TOLD)]
    )
    scene.work()
    put_campaigns(scene.store, [LATER_DECLARED])
    backfill(scene.workshop, "later", 0, "tester", "a test", lambda _done, _total: None)
    assert verified(scene).is_clean
    found = {
        (key[2], key[3]): value for key, value in stored_figures(scene.store).items() if key[0] == "later"
    }
    told = {f"user {i}": one for i, one in enumerate(TOLD)}
    assert found == {
        **{(user, "unknown"): 1 for user in told},
        **{(user, "colours"): 1 for user, one in told.items() if isinstance(one, str)},
        **{(user, "sizes"): one for user, one in told.items() if type(one) is int and abs(one) <= 2**53},
        **{(user, "fresh"): 1 for user, one in told.items() if one is True},
    }
    assert decode_catalog(scene.store.catalog()[1]).version("later", 0).complete
    assert decode_transactions(scene.store.transactions([b"p0"])).histories.lengths.tolist() == [1]
