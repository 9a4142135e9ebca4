"""A prune forgets what is old and nothing else, and what comes of it later is settled from the lake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batch.pruning import (
    LATER,
    PAIRS,
    PRUNED,
    SMALL,
    events_of,
    is_exact,
    late_events,
    pruned,
    reasons,
    settled,
    verified,
)
from batch.scenes import Scene, opened_scene
from rung.faultpoints import arm, disarm
from rung.store.audit import decode_entry


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with opened_scene(tmp_path, PAIRS) as opened:
        yield opened


def records(scene: Scene) -> int:
    with scene.store.survey() as survey:
        return sum(len(chunk) for chunk in survey.transactions())


def test_what_is_old_goes_and_all_else_stays(scene: Scene) -> None:
    """Transactions and figures of before the horizon go; what is left is exact, and a second prune finds nothing."""
    events = [*events_of(SMALL), *events_of(LATER)]
    scene.append(events)
    scene.work()
    before = records(scene)
    done = pruned(scene)
    assert done.swept.transactions > 1_000
    assert records(scene) == before - done.swept.transactions
    assert verified(scene).is_clean
    assert is_exact(scene, events)
    again = pruned(scene)
    assert (again.swept.transactions, again.swept.users, again.waiting) == (0, 0, 0)
    entry = decode_entry(scene.store.audit(0, 10)[-1])
    assert (entry.action, entry.who, entry.subject) == ("prune", "tester", "before 2011-07-31T00:00:00Z")


def test_late_events_are_settled(scene: Scene) -> None:
    """Duplicates, refunds, new and contradicting events of pruned transactions end as if nothing had been pruned."""
    events = [*events_of(SMALL), *events_of(LATER)]
    scene.append(events)
    scene.work()
    pruned(scene)
    late = late_events(events_of(SMALL), 60)
    conflicts = reasons(scene).get("history_conflict", 0)
    scene.append(late)
    scene.work()
    waiting = reasons(scene)[PRUNED]
    assert waiting == len(late)
    assert verified(scene).is_clean
    done = settled(scene)
    assert done.left == 0
    assert done.released + done.conflicts == waiting
    assert done.conflicts == reasons(scene)["history_conflict"] - conflicts > 30
    assert done.transactions > 40
    assert PRUNED not in reasons(scene)
    assert verified(scene).is_clean
    assert is_exact(scene, [*events, *late])
    assert settled(scene).released == 0


@pytest.mark.parametrize("point", ["horizon_moved", "pruning", "settling", "settled"])
def test_cut_short_and_done_again(scene: Scene, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a prune ends early, verification is clean, and the next one completes it."""
    monkeypatch.setattr("rung.batch.retention.sweep.RECORDS_AT_ONCE", 100)
    monkeypatch.setattr("rung.batch.retention.settle_pruned.EVENTS_AT_ONCE", 20)
    events = [*events_of(SMALL), *events_of(LATER)]
    late = late_events(events_of(SMALL), 30)
    scene.append(events)
    scene.work()
    if point in {"settling", "settled"}:
        pruned(scene)
        scene.append(late)
        scene.work()
    passed = iter(range(1_000))

    def end_early() -> None:
        if point == "horizon_moved" or next(passed) == 2:
            raise KeyboardInterrupt

    arm(point, end_early)
    try:
        with pytest.raises(KeyboardInterrupt):
            pruned(scene)
    finally:
        disarm(point)
    assert verified(scene).is_clean
    if point not in {"settling", "settled"}:
        scene.append(late)
        scene.work()
        assert verified(scene).is_clean
    pruned(scene)
    assert PRUNED not in reasons(scene)
    assert verified(scene).is_clean
    assert is_exact(scene, [*events, *late])


def test_while_events_flow(scene: Scene) -> None:
    """A prune beside live traffic, old events among it, loses nothing and counts nothing twice."""
    events = [*events_of(SMALL), *events_of(LATER)[:900]]
    more = [*late_events(events_of(SMALL), 60), *events_of(LATER)[900:]]
    scene.append(events)
    scene.work()
    with scene.traffic(more):
        assert pruned(scene).swept.transactions > 1_000
        assert verified(scene).is_clean
        settled(scene)
        assert verified(scene).is_clean
    settled(scene)
    assert PRUNED not in reasons(scene)
    assert verified(scene).is_clean
    assert is_exact(scene, [*events, *more])
