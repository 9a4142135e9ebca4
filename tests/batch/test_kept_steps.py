"""After a close every status tells what was closed, whatever comes later, and what is paid is what is told."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from batch.keeping import (
    PAIR,
    SPEC,
    Told,
    closed,
    earned,
    feed,
    granted_rates,
    january,
    later,
    shown,
    told_by,
    users_of,
    verified,
    what_comes_later,
    with_spec,
)
from batch.scenes import Scene, opened_scene
from batch.settling import nothing, rows
from batch.test_close import bought, told
from rung.batch.proof.repair import repair, suspects_of
from rung.batch.proof.report import Reports
from rung.batch.retention.erase import check_erasable, erase
from rung.batch.retention.prune import prune
from rung.batch.settlement.closed import those_written
from rung.batch.settlement.kept_steps import Keeping, keep_steps
from rung.batch.settlement.settled import SettledDamaged
from rung.batch.trim import trim_behind
from rung.campaign.catalog import CatalogRefused
from rung.campaign.spec import load
from rung.faultpoints import arm, disarm
from rung.plan.run import Contributions
from rung.speed.figures import add_figures
from rung.status.view import State
from rung.store.audit import decode_entry
from rung.store.dynamodb.store import DynamoStore
from rung.store.lmdb import LmdbStore
from rung.store.marks import MARKS, steps_marks
from rung.store.memory import MemoryStore
from rung.store.port import Change, Entries, Store
from rung.store.records import figures
from rung.transaction.routing import partition_of
from store.dynamodb_local import made, new_settings

FEBRUARY = "2024-02-15T12:00:00+09:00"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with opened_scene(tmp_path, [PAIR], later) as opened:
        yield opened


def audited(scene: Scene) -> list[tuple[str, str]]:
    entries = [decode_entry(record) for record in scene.store.audit(0, 100)]
    return [(entry.action, entry.subject) for entry in entries]


def cut_short(point: str, nth: int, work: Callable[[], object]) -> None:
    """Do work that ends when a point is passed for the nth time."""
    passed = iter(range(1, nth + 1))

    def end_early() -> None:
        if next(passed) == nth:
            raise KeyboardInterrupt

    arm(point, end_early)
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
    finally:
        disarm(point)


def test_what_is_told_after_the_close(scene: Scene) -> None:
    """Rate and steps are those of the close, whatever was refunded, bought or told since; figures go on."""
    purchases = [bought(one, f"2024-01-0{number}T10:00:00+09:00") for number, one in enumerate("ab", 1)]
    feed(scene, [*purchases, told("bob", 1, premium=True), told("eve", 1, premium=False)])
    assert earned(scene, "ann", FEBRUARY) == Told(State.PROVISIONAL, "1.625", ("two", "all"))
    closed(scene, "2024-01")
    due = {
        "ann": Told(State.CLOSED, "1.625", ("two", "all")),
        "bob": Told(State.CLOSED, "3.875", ("newcomer", "gold", "all")),
        "eve": Told(State.CLOSED, "1.375", ("newcomer", "all")),
        "zoe": Told(State.CLOSED, "1.375", ("newcomer", "all")),
    }
    assert {user: earned(scene, user, FEBRUARY) for user in due} == due
    refunded = bought("a", "2024-01-01T10:00:00+09:00", refund=1_000)
    bought_late = [
        bought(one, f"2024-01-0{number}T10:00:00+09:00", "zoe") for number, one in enumerate("xyz", 1)
    ]
    feed(scene, [refunded, *bought_late, told("bob", 2, premium=False), told("eve", 2, points=9)])
    assert {user: earned(scene, user, FEBRUARY) for user in due} == due
    effective = shown(scene, "zoe", FEBRUARY).effective
    assert effective is not None
    assert effective.measures == {"payments": 3, "total": 3_000, "days": 3}
    assert [step.conditions for step in effective.steps] == [()] * 4
    counting = shown(scene, "bob", "2024-01-15T00:00:00Z").counting
    assert counting is not None
    assert (counting.state, counting.rate_percent) == (State.CLOSED, "3.875")
    after = shown(scene, "bob", FEBRUARY).counting
    assert after is not None
    assert (after.state, after.rate_percent) == (State.PROVISIONAL, "1.375")


def dynamo_store(_: Path) -> Store:
    return DynamoStore.open(made(new_settings()))


def memory_store(_: Path) -> Store:
    return MemoryStore()


def lmdb_store(folder: Path) -> Store:
    return LmdbStore(folder / "store", map_bytes=1 << 30)


@pytest.mark.parametrize(
    ("effective", "seed", "store"),
    [
        ("next", 1, lmdb_store),
        ("next", 2, lmdb_store),
        ("same", 1, lmdb_store),
        ("next", 3, dynamo_store),
        ("next", 4, memory_store),
    ],
)
def test_what_is_paid_is_what_is_told(
    tmp_path: Path,
    effective: str,
    seed: int,
    store: Callable[[Path], Store],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For every user of a random scene the rate told is the closed one, and that of the grants."""
    monkeypatch.setattr("rung.batch.settlement.kept_steps.USERS_AT_ONCE", 7)
    dice = random.Random(seed)
    known, strangers = users_of(60), ["new1", "new2"]
    spec = SPEC.replace("currency", f"effective: {effective}\ncurrency")
    with opened_scene(tmp_path, [with_spec(spec)], later, store(tmp_path)) as scene:
        events = january(dice, known)
        feed(scene, events)
        result = closed(scene, "2024-01")[0]
        at = FEBRUARY if effective == "next" else "2024-01-15T12:00:00+09:00"
        due = told_by(result)
        assert len({one.met for one in due.values()}) >= 4
        assert {user: earned(scene, user, at) for user in due} == due
        feed(scene, what_comes_later(dice, events, [*known, *strangers]))
        assert {user: earned(scene, user, at) for user in due} == due
        paid = granted_rates(scene, "2024-02" if effective == "next" else "2024-01")
        assert len(paid) > 20
        assert {user: earned(scene, user, at).rate for user in paid} == paid
        assert verified(scene).is_clean


def test_while_events_flow(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are kept beside live traffic, and neither takes anything from the other."""
    monkeypatch.setattr("rung.batch.settlement.kept_steps.USERS_AT_ONCE", 5)
    dice = random.Random(5)
    users = users_of(80)
    events = january(dice, users)
    feed(scene, events)
    with scene.traffic(what_comes_later(dice, events, users), chunk=10):
        result = closed(scene, "2024-01")[0]
        due = told_by(result)
        assert {user: earned(scene, user, FEBRUARY) for user in due} == due
    assert {user: earned(scene, user, FEBRUARY) for user in due} == due
    assert verified(scene).is_clean


@pytest.mark.parametrize(("point", "nth"), [("keeping_steps", 1), ("keeping_steps", 3), ("steps_kept", 1)])
def test_cut_short_and_done_again(
    scene: Scene, point: str, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut short it leaves a period that is told as it is counted; a second run completes it, and changes no byte."""
    monkeypatch.setattr("rung.batch.settlement.kept_steps.USERS_AT_ONCE", 5)
    feed(scene, january(random.Random(7), users_of(40)))
    cut_short(point, nth, lambda: closed(scene, "2024-01"))
    folder = scene.workshop.folder / "closed/step/2024-01"
    written = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(written) == ["manifest.json", "result.parquet"]
    assert earned(scene, "user1", FEBRUARY).state is State.PROVISIONAL
    assert audited(scene) == []
    assert verified(scene).is_clean
    feed(scene, [told("user1", 2, points=9), told("user2", 2, points=0)])
    result, is_new = closed(scene, "2024-01")
    assert not is_new
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == written
    due = told_by(result)
    assert {user: earned(scene, user, FEBRUARY) for user in due} == due
    assert audited(scene) == [("batch.close", "step 2024-01")]
    record = scene.store.catalog()
    assert closed(scene, "2024-01") == (result, False)
    assert scene.store.catalog() == record
    assert verified(scene).is_clean


def test_the_schedule_has_moved_before_it_is_told(scene: Scene) -> None:
    """A closing that was cut short goes on only under the schedule that it was closed by."""
    feed(scene, january(random.Random(7), users_of(10)))
    cut_short("steps_kept", 1, lambda: closed(scene, "2024-01"))
    second = SPEC[SPEC.index("  - version: 1") :].replace("version: 1", "version: 2")
    spec = SPEC + second.replace("counts_from: 2020-01", "counts_from: 2024-01").replace(">= 100", ">= 5000")
    revision, _ = scene.store.catalog()
    moved = scene.workshop.catalog().apply(load(spec, "spec"), {})
    scene.store.put_catalog(revision, moved.encode(), None)
    with pytest.raises(CatalogRefused) as caught:
        closed(scene, "2024-01")
    assert str(caught.value) == (
        "campaign step: 2024-01 was closed with version 1, and version 2 serves it now: have the schedule as it "
        "was then (`rung campaign rollback step`, or `rung campaign activate step 1 --from 2024-01`), and run "
        "`rung batch close step 2024-01`"
    )


def tamper(scene: Scene, user: str, token: int, ordinal: int, value: int) -> None:
    """Add to a mark of a user."""
    key = user.encode()
    (before,) = scene.store.users([key])
    owner, series, period, added_value = (np.array([one]) for one in (0, MARKS, ordinal, value))
    added = Contributions(owner, series, period, np.array([token], dtype=np.uint64), added_value)
    entries = Entries([key], [before], add_figures([before], added), [key])
    partitions = {key: partition_of(key, scene.log.partitions)}
    revision = scene.store.catalog()[0]
    scene.store.commit(Change(revision, {}, {}, users=entries, user_partitions=partitions))


def test_wrong_steps_are_found_and_healed(scene: Scene) -> None:
    """Verification finds kept steps that are not those of the result, and repair puts them right."""
    feed(scene, january(random.Random(9), users_of(30)))
    result = closed(scene, "2024-01")[0]
    due = told_by(result)
    (mark,) = steps_marks(result.counted)
    marked = [user for user in due if _marks(scene, user)]
    unmarked = [user for user in due if not _marks(scene, user)]
    assert len(marked) > 10
    assert len(unmarked) > 3
    ((_, ordinal, token, value),) = _marks(scene, marked[0])
    assert token == mark.token
    tamper(scene, marked[0], mark.token, ordinal, -value)
    tamper(scene, marked[1], mark.token, ordinal, 32)
    tamper(scene, unmarked[0], mark.token, ordinal, 1)
    # What is of a period that is not closed is nobody's concern.
    tamper(scene, unmarked[1], mark.token, ordinal + 1, 1)
    report = verified(scene)
    assert {one.user_id: tuple(one.causes) for one in report.findings} == dict.fromkeys(
        sorted([*marked[:2], unmarked[0]]), ("closed_steps",)
    )
    repair(scene.workshop, suspects_of(report), "tester", nothing)
    assert verified(scene).is_clean
    assert {user: earned(scene, user, FEBRUARY) for user in due} == due


def test_a_result_that_is_missing(scene: Scene) -> None:
    """What is told of a closed period is compared with its result; if that is gone, it has to be restored."""
    feed(scene, january(random.Random(9), users_of(5)))
    files = closed(scene, "2024-01")[0].files
    files.manifest.unlink()
    with pytest.raises(SettledDamaged) as caught:
        verified(scene)
    assert str(caught.value) == (
        f"{files.manifest} is missing, and period 2024-01 of campaign step is closed: restore it with its result"
    )


def test_a_long_ladder(tmp_path: Path) -> None:
    """A ladder of as many steps as there may be is kept step by step."""
    steps = "".join(
        f'        - {{name: s{number}, when: "payments {">=" if number % 3 else "<"} {1 + number // 16}",'
        f' add_percent: "0.1"}}\n'
        for number in range(64)
    )
    spec = SPEC[: SPEC.index("        - {name: newcomer")] + steps
    with opened_scene(tmp_path, [with_spec(spec)], later) as scene:
        feed(scene, january(random.Random(3), users_of(20)))
        result = closed(scene, "2024-01")[0]
        due = told_by(result)
        assert len({one.met for one in due.values()}) == 5
        assert len({token for user in due for *_, token, _ in _marks(scene, user)}) == 2
        feed(
            scene,
            [bought(f"more{number}", "2024-01-09T10:00:00+09:00", f"user{number}") for number in range(20)],
        )
        assert {user: earned(scene, user, FEBRUARY) for user in due} == due
        assert verified(scene).is_clean


def test_a_ladder_without_steps(tmp_path: Path) -> None:
    """A campaign that has a base rate alone is closed like any other."""
    spec = SPEC[: SPEC.index("      steps:")]
    with opened_scene(tmp_path, [with_spec(spec)], later) as scene:
        feed(scene, january(random.Random(3), users_of(5)))
        result = closed(scene, "2024-01")[0]
        assert {row["rate_percent"] for row in rows(result.files)} == {"1.0"}
        assert earned(scene, "user1", FEBRUARY) == Told(State.CLOSED, "1.0", ())
        assert verified(scene).is_clean


def test_an_erased_user(scene: Scene) -> None:
    """What was closed stays with the figures, under the pseudonym; of the erased id nothing is known."""
    events = january(random.Random(4), users_of(20))
    feed(scene, events)
    due = told_by(closed(scene, "2024-01")[0])
    user = next(one for one in due if _marks(scene, one))
    nobody = earned(scene, "somebody-else", FEBRUARY)
    assert due[user] != nobody
    scene.workshop.aggregate_to(dict(scene.log.ends()))
    trim_behind(scene.log, scene.workshop.lake, scene.store)
    check_erasable(scene.workshop, user, log_expires_itself=False)
    erase(scene.workshop, user, "tester", "was asked to", nothing, nothing)
    renamed = told_by(closed(scene, "2024-01")[0])
    (pseudonym,) = renamed.keys() - due.keys()
    assert renamed == {pseudonym: due[user], **{one: told for one, told in due.items() if one != user}}
    assert {one: earned(scene, one, FEBRUARY) for one in renamed} == renamed
    assert earned(scene, user, FEBRUARY) == nobody
    assert verified(scene).is_clean


def test_a_pruned_period(tmp_path: Path) -> None:
    """What is kept of a closed period goes with its figures, and comes again with a replay."""
    dice = random.Random(6)
    users = users_of(30)
    with opened_scene(
        tmp_path, [with_spec(SPEC.replace("currency", "keep: 1 month\ncurrency"))], later
    ) as scene:
        feed(scene, january(dice, users))
        feed(scene, [bought(f"{one}-feb", "2024-02-10T10:00:00+09:00", one) for one in users])
        feed(scene, [bought(f"{one}-mar", "2024-03-20T10:00:00+09:00", one) for one in users])
        results = [closed(scene, text)[0] for text in ("2024-01", "2024-02")]
        first, second = results[0].ordinal, results[1].ordinal
        kept = {one for user in users for _, one, *_ in _marks(scene, user)}
        assert kept == {first, second}
        Reports(scene.workshop.folder).write(verified(scene))
        prune(scene.workshop, "tester", "a test", nothing)
        assert scene.workshop.catalog().versions[0].closed == ((second, second),)
        assert {one for user in users for _, one, *_ in _marks(scene, user)} == {second}
        assert shown(scene, users[0], FEBRUARY).effective is None
        march = "2024-03-04T12:00:00+09:00"
        due = told_by(results[1])
        assert {user: earned(scene, user, march) for user in due} == due
        assert verified(scene).is_clean
        assert closed(scene, "2024-01")[1] is False
        assert scene.workshop.catalog().versions[0].closed == ((second, second),)
        # As a replay does.
        catalog = scene.workshop.catalog()
        again = those_written(scene.workshop.folder, catalog)
        scene.store.reset(catalog.from_the_beginning().encode())
        keeping = Keeping(scene.store, scene.log.partitions, later, "tester", "replay", "closed periods")
        keep_steps(keeping, again, nothing)
        for result, at in zip(results, (FEBRUARY, march), strict=True):
            due = told_by(result)
            assert {user: earned(scene, user, at) for user in due} == due


def _marks(scene: Scene, user: str) -> list[tuple[int, int, int, int]]:
    (record,) = scene.store.users([user.encode()])
    return [one for one in figures(record) if one[0] == MARKS]
