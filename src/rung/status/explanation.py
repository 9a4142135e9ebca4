"""What an explanation of a user's figures consists of, as values that encode to JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """Whether a transaction counts in a period, and why not."""

    COUNTED = "counted"
    BELOW_CONDITION = "below_condition"
    NOT_COMPLETED = "not_completed"
    CANCELED = "canceled"
    FAILED = "failed"
    EXPIRED = "expired"
    REFUNDED_IN_FULL = "refunded_in_full"
    OTHER_PERIOD = "other_period"
    BEFORE_VERSION = "before_version"
    CONFLICT = "conflict"


class StepView(msgspec.Struct, frozen=True):
    """One step of a history; `amount` is in minor units."""

    status: str
    at: str
    amount: int


class ExplainedTransaction(msgspec.Struct, frozen=True):
    """One transaction of the user.

    `contributions` has every measure; a distinct measure has the net count of this transaction's
    value. `below_condition` names the measures whose condition it does not meet, if it counts at
    all in the period. `detail` says more where the reason alone does not.
    """

    transaction_id: str
    reason: Verdict
    contributions: Mapping[str, int]
    below_condition: tuple[str, ...]
    detail: str
    history: tuple[StepView, ...]
    partition: int
    offset: int


class RejectedEvent(msgspec.Struct, frozen=True):
    """An event of the user that was not applied."""

    partition: int
    offset: int
    reason: str
    detail: str


class ClosedView(msgspec.Struct, frozen=True):
    """What a user has earned in a closed period, whatever came later: the rate, and the steps met."""

    rate_percent: str
    met: tuple[str, ...]


class Explanation(msgspec.Struct, frozen=True):
    """The transactions behind a user's figures in one period.

    `measures` are the sums over the transactions, `stored` the figures that the user is shown;
    `exact` says that they are equal. `partial` versions do not count events before they were applied.
    `closed` is None unless the period is closed with the version.
    """

    user_id: str
    campaign: str
    period: str
    version: int
    partial: bool
    exact: bool
    measures: Mapping[str, int]
    stored: Mapping[str, int]
    transactions: tuple[ExplainedTransaction, ...]
    rejected: tuple[RejectedEvent, ...]
    closed: ClosedView | None


@dataclass(frozen=True, slots=True)
class UserEvents:
    """A user's events in one partition, in the order of their offsets, up to what is applied.

    `unreadable` maps the index of an event of an unknown form to what it says of itself.
    """

    partition: int
    offsets: Sequence[int]
    payloads: Sequence[bytes]
    unreadable: Mapping[int, str] = field(default_factory=dict[int, str])
