"""Plans transactions and puts their events into the order of arrival."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rung.traffic.settings import COMPLETION_SECONDS_MAX, SECOND, TrafficCounts, TrafficSettings
from rung.traffic.text import (
    CANCELED,
    COMPLETED,
    CREATED,
    EXPIRED,
    FAILED,
    ID_MAKERS,
    REFUNDED,
    ROW,
    STEPS_MAX,
    Booleans,
    Integers,
    Rows,
    Writer,
    combinations,
    times,
    user_id,
)

BLOCK_TRANSACTIONS = 32_768
DUPLICATE_DELAY_MAX = 60 * SECOND

POISON: tuple[str, ...] = (
    '{{"transaction_id":"poison-{0}","user_id":"{1}","history":[{{"status":"CREATED"',
    '["poison-{0}","{1}"]',
    '{{"transaction_id":"poison-{0}","history":[{{"status":"CREATED","at":"{2}","amount":1}}]}}',
    '{{"transaction_id":"poison-{0}","user_id":"{1}","history":[{{"status":"BOUGHT","at":"{2}","amount":1}}]}}',
    '{{"transaction_id":"poison-{0}","user_id":"{1}","history":[{{"status":"CREATED","at":"{2}","amount":-1}}]}}',
    '{{"transaction_id":"poison-{0}","user_id":"{1}","history":[{{"status":"CREATED","at":"{2}","amount":1.5}}]}}',
    '{{"transaction_id":"poison-{0}","user_id":"{1}","history":[{{"status":"CREATED","at":"noon","amount":1}}]}}',
    '{{"transaction_id":"poison-{0}","user_id":"{1}","history":[{{"status":"REFUNDED","at":"{2}","amount":1}}]}}',
    '{{"transaction_id":"poison-{0}","user_id":"{1}","history":[]}}',
)
"""Events that must be quarantined, to be filled with a number, a user id and a time."""


def generate(settings: TrafficSettings, counts: TrafficCounts | None = None) -> Iterator[list[bytes]]:
    """Yield the events in the order of their arrival, `chunk_events` at a time (the last time fewer).

    Args:
        settings: what traffic to make.
        counts: receives what the traffic really contains.
    """
    waiting: list[bytes] = []
    counts = TrafficCounts() if counts is None else counts
    for payloads in _Traffic(settings, counts).payloads():
        counts.events += len(payloads)
        waiting += payloads
        full = len(waiting) - len(waiting) % settings.chunk_events
        for start in range(0, full, settings.chunk_events):
            yield waiting[start : start + settings.chunk_events]
        del waiting[:full]
    if waiting:
        yield waiting


class _Traffic:
    """One run: plans transactions block by block and writes their events in the order of arrival."""

    def __init__(self, settings: TrafficSettings, counts: TrafficCounts) -> None:
        self._settings = settings
        self._counts = counts
        self._attributes = combinations(settings.attributes)
        self._user_attributes = combinations(settings.user_attributes)
        self._write = Writer(self._attributes)
        self._choose_users = _user_choice(settings)
        self._extras: dict[int, bytes] = {}
        self._extra_numbers = itertools.count()

    def payloads(self) -> Iterator[list[bytes]]:
        """Yield the events in the order of arrival, in portions of no particular size."""
        carried = np.empty(0, ROW)
        for first in range(0, self._settings.transactions, BLOCK_TRANSACTIONS):
            end = min(first + BLOCK_TRANSACTIONS, self._settings.transactions)
            rows = np.concatenate([carried, self._block(first, end)])
            # No event of a later block is sent before that block's first transaction is created.
            due = rows["sent_at"] < self._created_at(np.array([end]))[0]
            carried = rows[~due]
            yield from self._written(rows[due])
        yield from self._written(carried)

    def _written(self, rows: Rows) -> Iterator[list[bytes]]:
        ordered = rows[np.argsort(rows["sent_at"], kind="stable")]
        for start in range(0, len(ordered), BLOCK_TRANSACTIONS):
            yield self._write(ordered[start : start + BLOCK_TRANSACTIONS], self._extras)

    def _created_at(self, numbers: Integers) -> Integers:
        gap = SECOND / self._settings.transactions_per_second
        return self._settings.starts_at + (numbers * gap).astype(np.int64)

    def _block(self, first: int, end: int) -> Rows:
        """Return every event of the transactions numbered from `first` to just before `end`."""
        random = np.random.Generator(np.random.PCG64([self._settings.seed, first]))
        plan = self._plan(random, np.arange(first, end))
        rows = self._sent(random, plan)
        return np.concatenate([rows, *self._extra_rows(random, plan, first)])

    def _plan(self, random: np.random.Generator, numbers: Integers) -> Rows:
        """Return each transaction with its whole history."""
        settings, count = self._settings, len(numbers)
        plan = np.zeros(count, ROW)
        created_at = self._created_at(numbers)
        plan["user"] = self._choose_users(random, count)
        plan["combination"] = random.integers(0, len(self._attributes), count)
        plan["id"] = ID_MAKERS[settings.id_kind](random, created_at // 1000)

        span = settings.amount_max - settings.amount_min + 1
        skew = random.integers(0, 1 << 10, count) * random.integers(0, 1 << 10, count)
        amount = settings.amount_min + ((span * skew) >> 20)
        status, at, amounts = plan["status"], plan["at"], plan["amount"]
        status[:, 0], at[:, 0], amounts[:, 0] = CREATED, created_at, amount
        at[:, 1] = created_at + random.integers(1, COMPLETION_SECONDS_MAX * SECOND, count)
        status[:, 1], amounts[:, 1] = COMPLETED, amount
        plan["steps"] = 2

        fate = random.random(count)
        failed = fate < settings.failure_share
        status[failed, 1] = np.where(random.integers(0, 2, count)[failed] == 1, FAILED, EXPIRED)
        canceled = ~failed & (fate < settings.failure_share + settings.cancel_share)
        refunded = ~failed & ~canceled
        refunded &= fate < settings.failure_share + settings.cancel_share + settings.refund_share

        later = np.sort(random.integers(1, settings.refund_seconds_max * SECOND, (count, 2)), axis=1)
        at[:, 2:] = at[:, 1:2] + later
        status[canceled, 2], amounts[canceled, 2] = CANCELED, amount[canceled]
        # A third each: all at once, a part, a part and then the rest.
        manner = random.integers(0, 3, count)
        part = (amount * random.integers(1, 1 << 10, count)) >> 10
        status[refunded, 2] = REFUNDED
        amounts[refunded, 2] = np.where(manner == 0, amount, part)[refunded]
        twice = refunded & (manner == 2)
        status[twice, 3], amounts[twice, 3] = REFUNDED, (amount - part)[twice]
        plan["steps"] += (canceled | refunded).astype(np.int64) + twice

        self._counts.transactions += count
        self._counts.refunds += int(np.count_nonzero(refunded)) + int(np.count_nonzero(twice))
        return plan

    def _sent(self, random: np.random.Generator, plan: Rows) -> Rows:
        """Return the events as they are sent: some lost, some late, some twice, some false."""
        settings, count = self._settings, len(plan)
        steps = np.arange(1, STEPS_MAX + 1)
        at: Integers = plan["at"]
        lengths: Integers = plan["steps"][:, None]
        planned: Booleans = steps <= lengths
        last: Booleans = steps == lengths
        planned[:, 0] &= settings.created_events | last[:, 0]
        shape = planned.shape
        lost: Booleans = planned & ~last & (random.random(shape) < settings.gap_share)
        exists: Booleans = planned & ~lost
        sent_at = at + _lateness(random, settings, shape)
        covered_from = np.where(exists, sent_at, np.iinfo(np.int64).max)[:, ::-1]
        covered_from = np.minimum.accumulate(covered_from, axis=1)[:, ::-1]
        reordered = exists[:, :-1] & (sent_at[:, :-1] > covered_from[:, 1:])

        twice: Booleans = exists & (random.random(shape) < settings.duplicate_share)
        repeated_at = sent_at + random.integers(0, DUPLICATE_DELAY_MAX, shape)
        quiet_from = np.maximum(np.where(exists, sent_at, 0), np.where(twice, repeated_at, 0)).max(axis=1)

        false = self._conflicts(random, plan, random.random(count) < settings.conflict_share, quiet_from + 1)
        self._counts.lost += int(np.count_nonzero(lost))
        self._counts.reordered += int(np.count_nonzero(reordered))
        self._counts.duplicates += int(np.count_nonzero(twice))
        self._counts.conflicts += len(false)
        events = [_events(plan, exists, sent_at), _events(plan, twice, repeated_at), false]
        return np.concatenate(events)

    def _conflicts(
        self, random: np.random.Generator, plan: Rows, chosen: Booleans, sent_at: Integers
    ) -> Rows:
        """Return one contradiction to each chosen transaction, sent when all of its events have been."""
        rows = plan[chosen]
        rows["sent_at"] = sent_at[chosen]
        manner = random.integers(0, 3, len(plan))[chosen]
        attributes = (manner == 1) & (len(self._attributes) > 1)
        users = (manner == 2) & (self._settings.users > 1)
        rows["combination"][attributes] = (rows["combination"][attributes] + 1) % len(self._attributes)
        rows["user"][users] = (rows["user"][users] + 1) % self._settings.users
        history = ~attributes & ~users
        rows["amount"][history, 0] += 1
        rows["steps"][history] = 1
        return rows

    def _extra_rows(self, random: np.random.Generator, plan: Rows, first: int) -> list[Rows]:
        """Return the events that belong to no transaction; their bytes wait until they are sent."""
        settings, count = self._settings, len(plan)
        poison = np.flatnonzero(random.random(count) < settings.poison_share)
        manner: list[int] = random.integers(0, len(POISON), count).tolist()
        known = np.flatnonzero(random.random(count) < settings.user_attribute_share)
        combination = random.integers(0, len(self._user_attributes), count)
        late = _lateness(random, settings, (2, count))
        created_at: Integers = plan["at"][:, 0]
        users: list[int] = plan["user"].tolist()
        self._counts.poison += len(poison)
        self._counts.user_attributes += len(known)
        written_at: list[bytes] = times(created_at).tolist()
        bad = [
            POISON[manner[i]].format(first + i, user_id(users[i]), written_at[i].decode()).encode()
            for i in poison.tolist()
        ]
        attributes = [
            b'{"user_id":"%b","sequence":%d,"user_attributes":%b}'
            % (user_id(users[i]).encode(), first + i, self._user_attributes[combination[i]])
            for i in known.tolist()
        ]
        return [
            self._extra(created_at[poison] + late[0][poison], bad),
            self._extra(created_at[known] + late[1][known], attributes),
        ]

    def _extra(self, sent_at: Integers, payloads: Sequence[bytes]) -> Rows:
        rows = np.zeros(len(payloads), ROW)
        rows["sent_at"] = sent_at
        for i, payload in enumerate(payloads):
            number = next(self._extra_numbers)
            rows["extra"][i] = number
            self._extras[number] = payload
        return rows


def _lateness(random: np.random.Generator, settings: TrafficSettings, shape: tuple[int, ...]) -> Integers:
    return (random.random(shape) * settings.reorder_seconds * SECOND).astype(np.int64)


def _events(plan: Rows, chosen: Booleans, sent_at: Integers) -> Rows:
    """Return an event for each chosen (transaction, number of steps - 1)."""
    transaction, step = np.nonzero(chosen)
    rows = plan[transaction]
    rows["steps"] = step + 1
    rows["sent_at"] = sent_at[transaction, step]
    return rows


def _user_choice(settings: TrafficSettings) -> Callable[[np.random.Generator, int], Integers]:
    if settings.zipf_exponent == 0:
        return lambda random, count: random.integers(0, settings.users, count)
    ranks = np.arange(1, settings.users + 1, dtype=np.float64)
    shares: NDArray[np.float64] = np.cumsum(np.power(ranks, -settings.zipf_exponent))
    whole = float(shares[-1])

    def choose(random: np.random.Generator, count: int) -> Integers:
        draws: NDArray[np.float64] = random.random(count) * whole
        return np.searchsorted(shares, draws, side="right").clip(max=settings.users - 1)

    return choose
