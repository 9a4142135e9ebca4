"""A campaign whose periods are closed, and what statuses tell of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace

from batch.scenes import Scene
from batch.settling import LATER, found, instant, nothing, rows
from batch.test_close import NOT_COMPARED, bought, told
from campaign_pairs import Pair
from rung.batch.proof.report import Report
from rung.batch.proof.verify import verify
from rung.batch.settlement.close import Closing, Grace, close
from rung.batch.settlement.closed import Closed
from rung.batch.settlement.grants import grant
from rung.status.evaluate import Evaluator
from rung.status.view import CampaignStatus, State
from rung.transaction.routing import partition_of

CLOSING = Closing("tester", Grace(), 60.0, nothing)
SPEC = """
campaign: step
timezone: Asia/Tokyo
currency: JPY
user_attributes: {premium: boolean, points: integer}
versions:
  - version: 1
    counts_from: 2020-01
    measures: {payments: {count: "amount >= 100"}, total: {sum: amount}, days: {distinct: day}}
    reward:
      base_percent: "1"
      steps:
        - {name: newcomer, when: "payments < 2", add_percent: "0.25"}
        - {name: two, when: "payments >= 2 AND days >= 2", add_percent: "0.5"}
        - {name: gold, when: "user.premium OR user.points >= 5", add_percent: "2.5"}
        - {name: all, add_percent: "0.125"}
"""
"""Somebody of whom nothing is known meets the first and the last step, and others may not."""

PAIR = Pair(SPEC, NOT_COMPARED)


def later() -> int:
    """Return a time long after all periods."""
    return instant(LATER)


def closed(scene: Scene, text: str, closing: Closing = CLOSING) -> tuple[Closed, bool]:
    campaign, period = found(scene.workshop, "step", text)
    return close(scene.workshop, campaign, period, closing, nothing, nothing)


def feed(scene: Scene, events: list[bytes]) -> None:
    scene.append(events)
    scene.work()


def verified(scene: Scene) -> Report:
    return verify(scene.workshop, "20310101T000000", nothing)


def shown(scene: Scene, user: str, at: str) -> CampaignStatus:
    """Return a user's status at a time."""
    partition = partition_of(user.encode(), scene.log.partitions)
    standing = scene.store.standing(user.encode(), partition)
    evaluator = Evaluator(scene.workshop.catalog())
    (campaign,) = evaluator.status(user, partition, standing, instant(at), "step").campaigns
    return campaign


@dataclass(frozen=True)
class Told:
    """What a status tells of the period that was counted."""

    state: State
    rate: str
    met: tuple[str, ...]


def earned(scene: Scene, user: str, at: str) -> Told:
    """Return what a user is told of the rate in force at a time."""
    effective = shown(scene, user, at).effective
    assert effective is not None
    met = tuple(step.name for step in effective.steps if step.met)
    return Told(effective.state, effective.rate_percent, met)


def told_by(result: Closed) -> dict[str, Told]:
    """Return what each user of a closed result has to be told."""
    steps = result.counted.version.reward.steps
    return {
        str(row["user_id"]): Told(
            State.CLOSED,
            str(row["rate_percent"]),
            tuple(step.name for step in steps if row[f"step.{step.name}"]),
        )
        for row in rows(result.files)
    }


def users_of(count: int) -> list[str]:
    return [f"user{number}" for number in range(count)]


def january(seed: random.Random, users: Iterable[str]) -> list[bytes]:
    """Return purchases of January and attributes, of most of the users."""
    events: list[bytes] = []
    for user in users:
        events += [
            bought(f"{user}-{number}", f"2024-01-{seed.randint(1, 31):02}T12:00:00+09:00", user, 1_000)
            for number in range(seed.randint(0, 4))
        ]
        if seed.random() < 0.6:
            events.append(told(user, 1, premium=seed.random() < 0.5, points=seed.randint(0, 9)))
    return events


def what_comes_later(seed: random.Random, events: Iterable[bytes], users: Iterable[str]) -> list[bytes]:
    """Return refunds of purchases, late purchases, other attributes, new users, and purchases of February."""
    later_events: list[bytes] = []
    for payload in events:
        event = json.loads(payload)
        if "history" in event and seed.random() < 0.5:
            refund = {"status": "REFUNDED", "at": "2024-03-09T12:00:00+09:00", "amount": 1_000}
            later_events.append(json.dumps({**event, "history": [*event["history"], refund]}).encode())
    for user in users:
        if seed.random() < 0.5:
            later_events.append(told(user, 2, premium=seed.random() < 0.5, points=seed.randint(0, 9)))
        later_events += [
            bought(f"{user}-late-{number}", "2024-01-09T10:00:00+09:00", user, 1_000)
            for number in range(seed.randint(0, 2))
        ]
        later_events.append(bought(f"{user}-feb", "2024-02-10T10:00:00+09:00", user, 8_000))
    return later_events


def granted_rates(scene: Scene, text: str) -> dict[str, str]:
    """Return the rate at which each user's purchases of an effective period are paid."""
    granted = grant(scene.workshop, *found(scene.workshop, "step", text), "tester")
    return {str(row["user_id"]): str(row["rate_percent"]) for row in rows(*granted.files)}


def with_spec(spec: str) -> Pair:
    return replace(PAIR, spec=spec)
