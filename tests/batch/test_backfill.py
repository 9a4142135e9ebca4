"""A version that starts amid events gets its past from the lake, beside the live traffic, each user once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batch.scenes import Scene, opened_scene
from batch.test_verify import TRAFFIC, events_of, verified
from campaign_pairs import FIRST_VERSION, LADDER, VERSIONS
from harness import put_campaigns, stored_figures
from oracle import Oracle
from rung.batch.proof.backfill import Backfilled, backfill
from rung.campaign.catalog import Catalog, CatalogRefused
from rung.faultpoints import arm, disarm
from rung.store.audit import decode_entry
from rung.store.lmdb import LmdbStore
from rung.store.port import Overtaken

SMALL = replace(TRAFFIC, users=200, transactions=1_500)
LATER = replace(SMALL, seed=13, starts_at=1_306_800_000_000_000)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with opened_scene(tmp_path, [FIRST_VERSION, LADDER]) as opened:
        yield opened


def complete(scene: Scene, number: int) -> bool:
    return Catalog.decode(scene.store.catalog()[1]).version("versions", number).complete


def _ignored(done: int, total: int) -> None:
    """Take progress and say nothing."""


def past_of(scene: Scene, number: int) -> Backfilled:
    return backfill(scene.workshop, "versions", number, "tester", "a test", _ignored)


def test_the_past_is_added_while_events_flow(scene: Scene) -> None:
    """Two versions applied amid events end with the figures of the law, and say until then that they are partial."""
    events, more = events_of(SMALL), events_of(LATER)
    scene.append(events)
    scene.work()
    with scene.traffic(more):
        put_campaigns(scene.store, [VERSIONS])
        assert not complete(scene, 1)
        assert not complete(scene, 2)
        report = verified(scene)
        assert report.is_clean
        assert report.incomplete == ["versions/1", "versions/2"]
        for number in (1, 2):
            done = past_of(scene, number)
            assert done.users > 0
            assert done.before == 0
            assert complete(scene, number)
        assert verified(scene).is_clean
    assert verified(scene).is_clean
    oracle = Oracle([VERSIONS.oracle, LADDER.oracle]).apply_all([*events, *more])
    assert stored_figures(scene.store) == oracle.figures()
    assert past_of(scene, 1) == Backfilled(0, 0)
    entries = [decode_entry(record) for record in scene.store.audit(0, 10)]
    assert [(entry.action, entry.subject) for entry in entries] == [
        ("batch.backfill", "versions/1"),
        ("batch.backfill", "versions/2"),
    ]


@pytest.mark.parametrize("point", ["past_aggregated", "backfilling", "backfilled"])
def test_cut_short_and_done_again(scene: Scene, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a backfill ends early, the version stays partial, and the next one completes it, adding nothing twice."""
    monkeypatch.setattr("rung.batch.proof.backfill.USERS_AT_ONCE", 30)
    events = events_of(SMALL)
    scene.append(events)
    scene.work()
    put_campaigns(scene.store, [VERSIONS])
    passed = iter(range(100))

    def end_early() -> None:
        # The third chunk, so that some users have their past and others do not.
        if point != "backfilling" or next(passed) == 2:
            raise KeyboardInterrupt

    arm(point, end_early)
    try:
        with pytest.raises(KeyboardInterrupt):
            past_of(scene, 2)
    finally:
        disarm(point)
    assert not complete(scene, 2)
    done = past_of(scene, 2)
    had = {"past_aggregated": 0, "backfilling": 60, "backfilled": done.users}
    assert done.before == had[point]
    past_of(scene, 1)
    assert verified(scene).is_clean
    oracle = Oracle([VERSIONS.oracle, LADDER.oracle]).apply_all(events)
    assert stored_figures(scene.store) == oracle.figures()


def test_users_that_change_meanwhile(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a worker writes between a backfill's read and its write, it reads again, and adds to what is there then."""
    events, more = events_of(SMALL), events_of(LATER)
    scene.append(events)
    scene.work()
    put_campaigns(scene.store, [VERSIONS])
    refused: list[Overtaken] = []
    commit: Callable[..., None] = LmdbStore.commit

    def committing(store: LmdbStore, change: object) -> None:
        try:
            commit(store, change)
        except Overtaken as overtaken:
            refused.append(overtaken)
            raise

    def overtake() -> None:
        disarm("backfilling")
        scene.append(more)
        scene.work()

    monkeypatch.setattr(LmdbStore, "commit", committing)
    arm("backfilling", overtake)
    past_of(scene, 2)
    past_of(scene, 1)
    assert len(refused) == 1
    assert verified(scene).is_clean
    oracle = Oracle([VERSIONS.oracle, LADDER.oracle]).apply_all([*events, *more])
    assert stored_figures(scene.store) == oracle.figures()


def test_no_such_version(scene: Scene) -> None:
    """A version that is not applied is named, with those that are."""
    with pytest.raises(CatalogRefused, match="campaign versions has no version 7; there are: 0"):
        past_of(scene, 7)
