"""The same on a store that is changed user by user: verification, repair and backfill on DynamoDB Local."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batch.scenes import PARTITIONS, Scene, opened_scene
from batch.tampering import TAMPERS, tamper, victims_of
from batch.test_backfill import past_of
from batch.test_verify import TRAFFIC, causes_by_user, events_of, verified
from campaign_pairs import FIRST_VERSION, LADDER, VERSIONS
from harness import decode_catalog, put_campaigns, stored_figures
from oracle import Oracle
from rung.batch.proof.repair import repair, suspects_of
from rung.store.dynamodb.store import DynamoStore
from rung.store.port import Overtaken
from rung.transaction.routing import partition_of
from store.dynamodb_local import made, new_settings

SMALL = replace(TRAFFIC, users=150, transactions=600)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    store = DynamoStore.open(made(new_settings()))
    with opened_scene(tmp_path, [FIRST_VERSION, LADDER], store=store) as opened:
        yield opened


@pytest.mark.timeout(300)
def test_damage_is_found_and_healed_while_events_flow(scene: Scene) -> None:
    """Users whose records hold more than their partition says are compared as of just that."""
    seed = random.Random(3)
    events = events_of(SMALL)
    scene.append(events)
    scene.work()
    catalog = decode_catalog(scene.store.catalog()[1])
    due: dict[str, str] = {}
    for victim in victims_of(scene.store):
        damaging, cause = TAMPERS[seed.choice(sorted(TAMPERS))]
        damage = damaging(victim, catalog, seed) if seed.random() < 0.3 else None
        if damage is not None:
            tamper(scene.store, victim, damage, partition_of(victim.user_id, PARTITIONS))
            due[victim.user_id.decode()] = cause
    assert len(due) > 20
    later = replace(SMALL, seed=12, user_attribute_share=0.0, starts_at=1_306_800_000_000_000)
    more = events_of(later)
    with scene.traffic(more):
        report = verified(scene)
        assert causes_by_user(report) == due
        done = repair(scene.workshop, suspects_of(report), "tester", lambda _: None)
        assert {one.user_id for one in done.healed} == due.keys()
        assert verified(scene).is_clean
        put_campaigns_in_time(scene)
        assert past_of(scene, 1).users > 0
        assert past_of(scene, 2).users > 0
        assert verified(scene).is_clean
    assert verified(scene).is_clean
    oracle = Oracle([VERSIONS.oracle, LADDER.oracle]).apply_all([*events, *more])
    assert stored_figures(scene.store) == oracle.figures()


def put_campaigns_in_time(scene: Scene) -> None:
    """Apply the later versions between two batches of the worker."""
    for _ in range(200):
        try:
            put_campaigns(scene.store, [VERSIONS])
        except Overtaken:
            continue
        return
    raise AssertionError("the worker came first every time")
