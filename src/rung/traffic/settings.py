"""What synthetic traffic to make, and what it turned out to contain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum

COMBINATIONS_MAX = 65_536
SECOND = 1_000_000
COMPLETION_SECONDS_MAX = 30
AMOUNT_MAX = 10**12
TIME_MAX = 4_102_444_800 * SECOND
"""2100-01-01T00:00Z: a later time is not an event's."""

Value = str | int | bool


class IdKind(StrEnum):
    """The form of the transaction ids. Stores are faster on time-ordered ones."""

    ULID = "ulid"
    UUID7 = "uuid7"
    RANDOM = "random"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSettings:
    """What traffic to make. A share is a fraction of the transactions from 0 to 1, unless said otherwise.

    Attributes:
        seed: chooses the random streams.
        transactions: how many transactions there are.
        users: how many users share them.
        starts_at: when the first one is created, in microseconds since the epoch.
        transactions_per_second: the rate in event time.
        zipf_exponent: how unevenly users buy: 0 is evenly, 1 gives user k a part that is proportional to 1/k.
        id_kind: the form of the transaction ids.
        amount_min: the smallest amount, in minor units.
        amount_max: the largest; small amounts are more frequent.
        created_events: whether CREATED is an event of its own, or only the first step of the next one.
        refund_share: refunded, in part or in full, in one step or two.
        refund_seconds_max: the longest time from a purchase to a refund.
        failure_share: FAILED or EXPIRED instead of COMPLETED.
        cancel_share: CANCELED after COMPLETED.
        duplicate_share: share of the events that are sent once more, up to a minute later.
        reorder_seconds: each event is late by up to this time.
        gap_share: share of the events that are lost, among those that a later one covers.
        conflict_share: followed by an event that contradicts the transaction. One that changes the user may
            stand in another partition, so there is no order between the two.
        poison_share: accompanied by an event that no transaction can be read from.
        user_attribute_share: accompanied by an event with the user's attributes.
        attributes: the values that each attribute of a transaction may have.
        user_attributes: the values that each attribute of a user may have.
        chunk_events: how many events are handed out at a time.
    """

    seed: int
    transactions: int
    users: int
    starts_at: int
    transactions_per_second: float
    zipf_exponent: float = 0.0
    id_kind: IdKind = IdKind.ULID
    amount_min: int = 100
    amount_max: int = 50_000
    created_events: bool = True
    refund_share: float = 0.0
    refund_seconds_max: int = 40 * 86_400
    failure_share: float = 0.0
    cancel_share: float = 0.0
    duplicate_share: float = 0.0
    reorder_seconds: float = 0.0
    gap_share: float = 0.0
    conflict_share: float = 0.0
    poison_share: float = 0.0
    user_attribute_share: float = 0.0
    attributes: Mapping[str, Sequence[Value]] = field(default_factory=dict[str, Sequence[Value]])
    user_attributes: Mapping[str, Sequence[Value]] = field(default_factory=dict[str, Sequence[Value]])
    chunk_events: int = 10_000

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            ValueError: a setting is out of its range; the text names it.
        """
        for name in (f.name for f in fields(self) if f.name.endswith("_share")):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a fraction from 0 to 1, not {getattr(self, name)}")
        for name in ("transactions", "users", "chunk_events"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("seed", "zipf_exponent", "reorder_seconds", "starts_at"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, and {getattr(self, name)} is")
        if self.refund_seconds_max < 1:
            raise ValueError(f"refund_seconds_max must be at least 1, not {self.refund_seconds_max}")
        if not 0 < self.amount_min <= self.amount_max <= AMOUNT_MAX:
            raise ValueError(
                f"amounts must satisfy 0 < amount_min <= amount_max <= {AMOUNT_MAX}, "
                f"not {self.amount_min} and {self.amount_max}"
            )
        if not self.transactions_per_second > 0:
            raise ValueError(f"transactions_per_second must be above 0, not {self.transactions_per_second}")
        if self.failure_share + self.cancel_share + self.refund_share > 1:
            raise ValueError("failure_share, cancel_share and refund_share must not exceed 1 together")
        for name in ("attributes", "user_attributes"):
            lists: Mapping[str, Sequence[Value]] = getattr(self, name)
            for attribute, values in lists.items():
                if not values:
                    raise ValueError(f"{name}: {attribute} has no values to choose from")
            combinations = math.prod(len(values) for values in lists.values())
            if combinations > COMBINATIONS_MAX:
                raise ValueError(f"{name}: {combinations} combinations of values, at most {COMBINATIONS_MAX}")
        if self.user_attribute_share > 0 and not self.user_attributes:
            raise ValueError("user_attribute_share needs user_attributes to choose from")
        lasts = self.transactions / self.transactions_per_second
        lasts += COMPLETION_SECONDS_MAX + self.refund_seconds_max
        if self.starts_at + lasts * SECOND >= TIME_MAX:
            raise ValueError("the traffic runs past 2099: raise transactions_per_second or start earlier")


@dataclass(slots=True)
class TrafficCounts:
    """What the traffic really contains; complete when the last chunk has been taken.

    `events` is all that was handed out, `reordered` those behind a later event of their transaction,
    `lost` those that were left out.
    """

    events: int = 0
    transactions: int = 0
    refunds: int = 0
    duplicates: int = 0
    reordered: int = 0
    lost: int = 0
    conflicts: int = 0
    poison: int = 0
    user_attributes: int = 0
