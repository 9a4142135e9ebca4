"""Settling in odd company: versions that started meanwhile, events that were sent again, ids that are used again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import starmap
from pathlib import Path

import pytest

from batch.pruning import (
    LATER,
    PRUNED,
    SMALL,
    events_of,
    keeping_one_month,
    kept,
    late_events,
    pruned,
    reasons,
    settled,
    verified,
)
from batch.scenes import PARTITIONS, Scene, opened_scene
from campaign_pairs import FIRST_VERSION, LADDER, VERSIONS
from harness import put_campaigns, stored_figures
from oracle import Oracle
from rung.batch.proof.backfill import backfill
from rung.batch.proof.repair import repair, suspects_of
from rung.faultpoints import arm, disarm
from rung.log.port import Position

FIRST, BOTH, LADDERS = map(keeping_one_month, (FIRST_VERSION, VERSIONS, LADDER))
EVENTS = [*events_of(SMALL), *events_of(LATER)]
LATE = late_events(events_of(SMALL), 60)


def oracle_of(events: list[bytes]) -> Oracle:
    return Oracle([LADDERS.oracle, BOTH.oracle]).apply_all(events)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with opened_scene(tmp_path, [FIRST, LADDERS]) as opened:
        opened.append(EVENTS)
        opened.work()
        pruned(opened)
        yield opened


def feed(scene: Scene, events: list[bytes]) -> None:
    scene.append(events)
    scene.work()


def unheard(done: int, total: int) -> None:
    """Take progress and say nothing."""


def complete(scene: Scene) -> None:
    for number in (1, 2):
        backfill(scene.workshop, "versions", number, "tester", "a test", unheard)


def refunded_twice(payload: bytes) -> bool:
    return [step["status"] for step in json.loads(payload)["history"][-2:]] == ["REFUNDED", "REFUNDED"]


@pytest.mark.parametrize("settled_first", [False, True])
@pytest.mark.parametrize("completed_first", [False, True])
def test_versions_that_started_meanwhile(scene: Scene, settled_first: bool, completed_first: bool) -> None:
    """What lies before a version's start is in its past, and what lies behind it is added once, in any order."""
    first = [one for one in LATE if not refunded_twice(one)]
    second = [one for one in LATE if refunded_twice(one)]
    assert len(second) > 20
    feed(scene, first)
    if settled_first:
        settled(scene)
    put_campaigns(scene.store, [BOTH])
    feed(scene, second)
    if completed_first:
        complete(scene)
        assert verified(scene).is_clean
    assert settled(scene).left == 0
    assert PRUNED not in reasons(scene)
    complete(scene)
    assert verified(scene).is_clean
    assert stored_figures(scene.store) == kept(scene, oracle_of([*EVENTS, *first, *second]))


def test_sent_again(scene: Scene) -> None:
    """An event that was taken out of quarantine and appended again is settled under its new position."""
    put_campaigns(scene.store, [BOTH])
    complete(scene)
    feed(scene, LATE)
    waiting = [one for one in scene.store.quarantine(None, 10_000) if one.reason == PRUNED]
    again = [one.payload for one in waiting[::2]]
    scene.store.release([(one.partition, one.offset) for one in waiting[::2]])
    feed(scene, again)
    settled(scene)
    assert PRUNED not in reasons(scene)
    assert verified(scene).is_clean
    assert stored_figures(scene.store) == kept(scene, oracle_of([*EVENTS, *LATE, *again]))


def test_more_comes_between(scene: Scene) -> None:
    """What a worker puts into quarantine after a settling has looked waits for the next one, and is exact meanwhile."""
    put_campaigns(scene.store, [BOTH])
    complete(scene)
    first = [one for one in LATE if not refunded_twice(one)]
    second = [one for one in LATE if refunded_twice(one)]
    feed(scene, first)

    def more() -> None:
        disarm("settling")
        feed(scene, second)

    arm("settling", more)
    settled(scene)
    assert reasons(scene)[PRUNED] > 20
    assert verified(scene).is_clean
    settled(scene)
    assert PRUNED not in reasons(scene)
    assert verified(scene).is_clean
    assert stored_figures(scene.store) == kept(scene, oracle_of([*EVENTS, *first, *second]))


def test_an_id_that_is_used_again(scene: Scene) -> None:
    """A pruned transaction's id with another, later beginning is counted until a verification finds and heals it."""
    put_campaigns(scene.store, [BOTH])
    complete(scene)
    old = json.loads(LATE[0])
    step = {"status": "COMPLETED", "at": "2011-09-01T00:00:00Z", "amount": 500}
    feed(scene, [json.dumps({**old, "history": [step]}).encode()])
    report = verified(scene)
    assert [(one.user_id, one.transactions) for one in report.findings] == [
        (old["user_id"], [old["transaction_id"]])
    ]
    repair(scene.workshop, suspects_of(report), "tester", lambda _: None)
    assert verified(scene).is_clean
    assert stored_figures(scene.store) == kept(scene, oracle_of(EVENTS))


def test_the_log_is_trimmed_up_to_the_horizon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was appended before the horizon goes from an embedded log, and nothing else."""
    with opened_scene(tmp_path, [FIRST, LADDERS]) as scene:
        monkeypatch.setattr(scene.log, "_clock", lambda: 1_307_000_000_000_000)
        feed(scene, EVENTS[:900])
        ends = scene.log.ends()
        monkeypatch.setattr(scene.log, "_clock", lambda: 1_316_000_000_000_000)
        feed(scene, EVENTS[900:])
        assert pruned(scene).starts == ends
        assert scene.log.starts() == ends
        positions = starmap(Position, ends.items())
        assert {scene.log.appended_at(one) for one in positions} == {1_316_000_000_000_000}
        assert len(ends) == PARTITIONS
        assert verified(scene).is_clean
