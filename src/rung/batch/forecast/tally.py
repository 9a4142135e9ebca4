"""Counts users by their standings under one version or two, partition after partition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rung.batch.forecast.basis import Basis
from rung.batch.forecast.numbers import (
    Compared,
    Money,
    Moves,
    NearThreshold,
    Outcome,
    RateUsers,
    StepMoves,
    StepUsers,
)
from rung.batch.forecast.thresholds import BINS, thresholds_of
from rung.batch.settlement.cash_back import rate_scale
from rung.campaign.calendar import Period
from rung.campaign.catalog import CountedVersion
from rung.status.ladder import percent_text
from rung.transaction.history import Integers

REPLICATES: Final = 200
_LOW, _HIGH = 0.025, 0.975
_SEED: Final = 20_200_401
_CHUNK_USERS: Final = 20_000

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Case:
    """One version in one counting period, and whose purchases earn its rates."""

    counted: CountedVersion
    period: Period
    basis: Basis


@dataclass(frozen=True, slots=True)
class Rows:
    """The users of a partition under one case, in the order of their ids.

    Attributes:
        met: For each step, whether each user meets it.
        rate: The percentage of each user, times the version's `rate_scale`.
        cash_back: Of each user, in minor units.
        near: Rows of `rung.batch.forecast.thresholds.near_sql`.
        purchases, spent: How many purchases earn, and their amount.
    """

    met: Sequence[Booleans]
    rate: Integers
    cash_back: Integers
    near: Sequence[Mapping[str, Any]]
    purchases: int
    spent: int


@dataclass(slots=True)
class _Total:
    """A sum over users, and the sums over users drawn again: each as often as a Poisson number says."""

    amount: int = 0
    replicates: Floats = field(default_factory=lambda: np.zeros(REPLICATES))

    def money(self) -> Money:
        low, high = np.quantile(self.replicates, [_LOW, _HIGH], method="inverted_cdf")
        return Money(self.amount, round(float(low)), round(float(high)))


class _SideTally:
    """The counts of one case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.steps = case.counted.version.reward.steps
        self.thresholds = thresholds_of(case.counted.version)
        self.scale = rate_scale(case.counted.version.reward)
        self.met = [0] * len(self.steps)
        self.rates: Counter[int] = Counter()
        self.bins = np.zeros((len(self.thresholds), BINS + 1), dtype=np.int64)
        self.below = [0] * len(self.thresholds)
        self.above = [0] * len(self.thresholds)
        self.purchases = 0
        self.spent = 0
        self.total = _Total()

    def add(self, rows: Rows) -> None:
        for index, met in enumerate(rows.met):
            self.met[index] += int(np.count_nonzero(met))
        self.rates.update(_counts(rows.rate))
        for row in rows.near:
            index = int(row["threshold"])
            self.bins[index, int(row["bin"])] += int(row["users"])
            self.below[index] += int(row["below"])
            self.above[index] += int(row["above"])
        self.purchases += rows.purchases
        self.spent += rows.spent
        self.total.amount += sum(rows.cash_back.tolist())

    def outcome(self) -> Outcome:
        counted, basis = self.case.counted, self.case.basis
        return Outcome(
            counted.campaign.name,
            counted.version.number,
            counted.version.identity,
            counted.campaign.currency,
            basis.kind.value,
            str(basis.period),
            self.purchases,
            self.spent,
            self.total.money(),
            [
                StepUsers(
                    step.name,
                    None if step.when is None else step.when.text,
                    percent_text(step.add_percent),
                    None if step.on is None else step.on.text,
                    users,
                )
                for step, users in zip(self.steps, self.met, strict=True)
            ],
            [
                RateUsers(percent_text(Decimal(rate) / self.scale), users)
                for rate, users in sorted(self.rates.items())
            ],
            [
                NearThreshold(
                    self.steps[one.step].name,
                    one.condition,
                    one.value,
                    one.margin,
                    self.below[index],
                    self.above[index],
                    self.bins[index].tolist(),
                )
                for index, one in enumerate(self.thresholds)
            ],
        )


class Tally:
    """The counts of one counting period under a version, and under the one it is compared with."""

    def __init__(self, before: Case | None, after: Case, *, whole: bool) -> None:
        """Begin with no user; `whole` tells whether the period is."""
        self._before = None if before is None else _SideTally(before)
        self._after = _SideTally(after)
        self._whole = whole
        self._users = 0
        self._differences: Counter[int] = Counter()
        self._moves: dict[str, list[int]] = {}
        for side in (self._before, self._after):
            for step in () if side is None else side.steps:
                self._moves.setdefault(step.name, [0, 0, 0])
        self._difference = _Total()

    def add(self, partition: int, before: Rows | None, after: Rows) -> None:
        """Add the users of a partition: the same ones in both."""
        self._users += len(after.rate)
        self._after.add(after)
        sides = [(self._after.total, after.cash_back)]
        if self._before is not None:
            assert before is not None
            self._before.add(before)
            self._add_moves(self._before, before, after)
            sides += [
                (self._before.total, before.cash_back),
                (self._difference, after.cash_back - before.cash_back),
            ]
        _draw_again(partition, sides)

    def compared(self) -> Compared:
        """Return the counts."""
        moves = None
        if self._before is not None:
            self._difference.amount = self._after.total.amount - self._before.total.amount
            moves = self._moved(max(self._before.scale, self._after.scale))
        return Compared(
            str(self._after.case.period),
            self._whole,
            self._users,
            None if self._before is None else self._before.outcome(),
            self._after.outcome(),
            moves,
        )

    def _add_moves(self, side: _SideTally, before: Rows, after: Rows) -> None:
        self._differences.update(_counts(rate_differences(side.case, before, self._after.case, after)))
        nobody = np.zeros(len(after.rate), dtype=np.bool_)
        met_before = {step.name: met for step, met in zip(side.steps, before.met, strict=True)}
        met_after = {step.name: met for step, met in zip(self._after.steps, after.met, strict=True)}
        for name, counts in self._moves.items():
            had, has = met_before.get(name, nobody), met_after.get(name, nobody)
            for index, found in enumerate((has & ~had, had & ~has, had & has)):
                counts[index] += int(np.count_nonzero(found))

    def _moved(self, scale: int) -> Moves:
        found = self._differences
        return Moves(
            sum(users for difference, users in found.items() if difference > 0),
            sum(users for difference, users in found.items() if difference < 0),
            found[0],
            [StepMoves(name, *counts) for name, counts in self._moves.items()],
            [
                RateUsers(signed_percent(Decimal(difference) / scale), users)
                for difference, users in sorted(found.items())
                if users
            ],
            self._difference.money(),
        )


def rate_differences(before_case: Case, before: Rows, after_case: Case, after: Rows) -> Integers:
    """Return how much higher each user's rate is after than before, times the larger of both scales."""
    scales = [rate_scale(case.counted.version.reward) for case in (before_case, after_case)]
    scale = max(scales)
    return after.rate * (scale // scales[1]) - before.rate * (scale // scales[0])


def signed_percent(percent: Decimal) -> str:
    """Return a difference of rates as text: "+0.5", "-1.0", "0.0"."""
    text = percent_text(percent)
    return f"+{text}" if percent > 0 else text


def _counts(values: Integers) -> dict[int, int]:
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _draw_again(partition: int, sides: Sequence[tuple[_Total, Integers]]) -> None:
    """Add what the users of a partition earn to the replicates, the same draw for all sides.

    A user who earns nothing on any side is drawn in vain, and left out.
    """
    earning = np.zeros(len(sides[0][1]), dtype=np.bool_)
    for _, earned in sides:
        earning |= earned != 0
    generator = np.random.default_rng([_SEED, partition])
    rows = np.flatnonzero(earning)
    for start in range(0, len(rows), _CHUNK_USERS):
        chunk = rows[start : start + _CHUNK_USERS]
        draws = generator.poisson(1.0, (len(chunk), REPLICATES)).astype(np.float64)
        for total, earned in sides:
            total.replicates += earned[chunk].astype(np.float64) @ draws
