"""What comparing versions gives, as plain values: for reports, tables and JSON. Money is in minor units."""

from __future__ import annotations

import msgspec


class Money(msgspec.Struct, frozen=True):
    """An amount, and the interval in which 95 of 100 such sets of users would have it.

    The interval is a bootstrap over users: it tells how much hangs on few of them.
    """

    amount: int
    low: int
    high: int


class StepUsers(msgspec.Struct, frozen=True):
    """A step (its condition as text; None: met by everyone), and how many users meet it."""

    step: str
    when: str | None
    add_percent: str
    on: str | None
    users: int


class RateUsers(msgspec.Struct, frozen=True):
    """How many users have a rate, or a difference between two rates."""

    percent: str
    users: int


class NearThreshold(msgspec.Struct, frozen=True):
    """A comparison in a step's condition, and where users stand around the value at which it turns.

    Attributes:
        step, condition: The step's name, and the comparison.
        threshold: At this value the comparison is not what it is at one below.
        margin: What is near: a tenth of the threshold, and one at least.
        below, above: The users with threshold - margin <= value < threshold <= value < threshold + margin.
        histogram: The users by tenths of the threshold; the last has those at twice it and above.
    """

    step: str
    condition: str
    threshold: int
    margin: int
    below: int
    above: int
    histogram: list[int]


class Outcome(msgspec.Struct, frozen=True):
    """What one version makes of one counting period.

    Attributes:
        campaign, version, identity: The version.
        currency: Of the amounts.
        basis: `measured`, `projected` or `partial` (`rung.batch.forecast.basis.BasisKind`).
        purchases_in: The period whose purchases earn the rates.
        purchases, spent: How many those are, and their amount after refunds.
        cash_back: What they earn.
        steps, rates: Users by step, and by rate without the steps that have `on`.
        thresholds: Users near each.
    """

    campaign: str
    version: int
    identity: str
    currency: str
    basis: str
    purchases_in: str
    purchases: int
    spent: int
    cash_back: Money
    steps: list[StepUsers]
    rates: list[RateUsers]
    thresholds: list[NearThreshold]


class StepMoves(msgspec.Struct, frozen=True):
    """How many users gain, lose and keep a step; a version without a step of this name gives it to nobody."""

    step: str
    gained: int
    lost: int
    kept: int


class Moves(msgspec.Struct, frozen=True):
    """What changes for users from one version to another one.

    Attributes:
        up, down, same: How many users have a higher, a lower and the same rate.
        steps: By step.
        rates: How many users have which difference of the rate, in percentage points.
        cash_back: The difference of the cash back.
    """

    up: int
    down: int
    same: int
    steps: list[StepMoves]
    rates: list[RateUsers]
    cash_back: Money


class Compared(msgspec.Struct, frozen=True):
    """A counting period under a version (`after`), and under the one it is compared with, if there is one.

    Attributes:
        period: The counting period.
        whole: Whether it has ended, and the lake has what came after it.
        users: Those with a figure in it under one of the versions, and those whose purchases earn cash back.
    """

    period: str
    whole: bool
    users: int
    before: Outcome | None
    after: Outcome
    moves: Moves | None


class Standing(msgspec.Struct, frozen=True):
    """A user under one version: measures, the names of met steps, the rate and the cash back."""

    measures: dict[str, int]
    met: list[str]
    percent: str
    cash_back: int


class Example(msgspec.Struct, frozen=True):
    """A user whose rate changes."""

    user_id: str
    before: Standing
    after: Standing
