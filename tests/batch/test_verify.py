"""Verification finds every difference and no other, names its cause, and repair heals all of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from batch.scenes import PARTITIONS, Scene, opened_scene
from batch.tampering import TAMPERS, Damage, tamper, victims_of
from campaign_pairs import PAIRS
from harness import decode_catalog, stored_figures
from oracle import Oracle
from rung.batch.proof.repair import plan_repair, repair, suspects_of
from rung.batch.proof.report import Report
from rung.batch.proof.verify import verify
from rung.store.audit import decode_entry
from rung.traffic import TrafficSettings, generate
from rung.transaction.routing import partition_of
from strategies import ATTRIBUTE_VALUES, USER_ATTRIBUTE_VALUES

USERS = 1_000
TRAFFIC = TrafficSettings(
    seed=11,
    transactions=5_000,
    users=USERS,
    starts_at=1_304_208_000_000_000,
    transactions_per_second=0.0005,
    refund_share=0.2,
    failure_share=0.05,
    cancel_share=0.05,
    duplicate_share=0.1,
    gap_share=0.2,
    poison_share=0.01,
    user_attribute_share=0.2,
    attributes=ATTRIBUTE_VALUES,
    user_attributes=USER_ATTRIBUTE_VALUES,
)


def events_of(settings: TrafficSettings) -> list[bytes]:
    return list(chain.from_iterable(generate(settings)))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with opened_scene(tmp_path, PAIRS) as opened:
        yield opened


def verified(scene: Scene) -> Report:
    return verify(scene.workshop, str(scene.workshop.clock()), lambda _: None)


def damage_some(scene: Scene, seed: random.Random, share: float) -> dict[str, str]:
    """Damage a share of the users, each in one way, and return the cause that each has to be given."""
    catalog = decode_catalog(scene.store.catalog()[1])
    due: dict[str, str] = {}
    for victim in victims_of(scene.store):
        if seed.random() >= share:
            continue
        damaging, cause = TAMPERS[seed.choice(sorted(TAMPERS))]
        damage = damaging(victim, catalog, seed)
        if damage is not None:
            tamper(scene.store, victim, damage, partition_of(victim.user_id, PARTITIONS))
            due[victim.user_id.decode()] = cause
    return due


def causes_by_user(report: Report) -> dict[str, str]:
    assert all(len(finding.causes) == 1 for finding in report.findings)
    return {finding.user_id: finding.causes[0] for finding in report.findings}


@pytest.mark.parametrize("live", [False, True])
def test_every_damaged_user_is_found_and_no_other(scene: Scene, live: bool) -> None:
    """Of 1,000 users some are damaged, in ten ways: each is found with its cause, healed, and stays healed."""
    seed = random.Random(5)
    scene.append(first := events_of(TRAFFIC))
    scene.work()
    assert verified(scene).is_clean
    due = damage_some(scene, seed, 0.4)
    assert set(due.values()) == {cause for _, cause in TAMPERS.values()}
    assert len(due) > 200
    # No attributes in the traffic: to be told anew heals damaged ones.
    later = replace(TRAFFIC, seed=12, transactions=3_000, user_attribute_share=0.0)
    more = events_of(replace(later, starts_at=1_306_800_000_000_000))
    with scene.traffic(more) if live else nullcontext():
        report = verified(scene)
        assert causes_by_user(report) == due
        assert report.causes == {
            cause: list(due.values()).count(cause) for cause in sorted(set(due.values()))
        }
        planned = plan_repair(scene.workshop, suspects_of(report))
        assert {one.user_id for one in planned.healed} == due.keys()
        done = repair(scene.workshop, suspects_of(report), "tester", lambda _: None)
        assert {one.user_id for one in done.healed} == due.keys()
        assert repair(scene.workshop, suspects_of(report), "tester", lambda _: None).healed == []
        assert verified(scene).is_clean
    assert verified(scene).is_clean
    oracle = Oracle([pair.oracle for pair in PAIRS]).apply_all([*first, *(more if live else [])])
    assert stored_figures(scene.store) == oracle.figures()
    entries = [decode_entry(record) for record in scene.store.audit(0, 10)]
    assert [(entry.action, entry.who) for entry in entries] == [("batch.repair", "tester")]


def test_events_that_were_never_applied(scene: Scene) -> None:
    """A user who lacks events altogether, in records and figures alike, has missed events."""
    events = events_of(TRAFFIC)
    scene.append(events[:4_000])
    scene.work()
    before = {victim.user_id: victim for victim in victims_of(scene.store)}
    scene.append(events[4_000:])
    scene.work()
    due: dict[str, str] = {}
    for victim in victims_of(scene.store):
        earlier = before.get(victim.user_id)
        if earlier is None or earlier.figures == victim.figures or len(due) >= 50:
            continue
        records = {
            key: earlier.transactions.get(key)
            for key, record in victim.transactions.items()
            if earlier.transactions.get(key) != record
        }
        tamper(
            scene.store, victim, Damage(records, (earlier.figures,)), partition_of(victim.user_id, PARTITIONS)
        )
        due[victim.user_id.decode()] = "missed_event"
    report = verified(scene)
    assert causes_by_user(report) == due
    assert len(due) == 50
    repair(scene.workshop, suspects_of(report), "tester", lambda _: None)
    assert verified(scene).is_clean
    assert stored_figures(scene.store) == Oracle([pair.oracle for pair in PAIRS]).apply_all(events).figures()


def test_a_record_of_nobody_is_found_and_removed(scene: Scene) -> None:
    """A transaction's record whose user the lake does not know is reported by itself, and removed."""
    scene.append(events_of(TRAFFIC))
    scene.work()
    victim = next(one for one in victims_of(scene.store) if one.transactions)
    key, record = next(iter(victim.transactions.items()))
    foreign = record[:3] + bytes(8) + record[11:]
    tamper(scene.store, victim, Damage({b"nobodys": foreign}), partition_of(victim.user_id, PARTITIONS))
    report = verified(scene)
    assert (report.strangers, report.findings) == (["nobodys"], [])
    repair(scene.workshop, suspects_of(report), "tester", lambda _: None)
    assert scene.store.transactions([b"nobodys", key]) == [None, record]
    assert verified(scene).is_clean
