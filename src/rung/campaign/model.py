"""What a campaign spec means once it is read and checked: immutable, typed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from rung.campaign.calendar import Calendar, Period
from rung.campaign.expression import Expression
from rung.campaign.schedule import Schedule, Span

KEEP_MONTHS = 13
"""How long a campaign's transactions may come again or be refunded, if its spec does not say."""


class AttributeType(StrEnum):
    """The type that a spec declares for an attribute."""

    STRING = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"


class MeasureKind(StrEnum):
    """How a measure folds purchases; each kind is invertible."""

    COUNT = "count"
    SUM = "sum"
    DISTINCT = "distinct"


class PostTo(StrEnum):
    """The period that a refund changes: the purchase's or the refund's own."""

    PURCHASE = "purchase"
    REFUND = "refund"


class Effective(StrEnum):
    """The period in which an earned rate applies, seen from the counting period."""

    NEXT = "next"
    SAME = "same"


class Rounding(StrEnum):
    """How a reward below one minor unit is rounded, per transaction."""

    DOWN = "down"
    UP = "up"
    HALF_UP = "half_up"
    HALF_EVEN = "half_even"


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure counted per user and period.

    `expression` is the condition of a count, the value of a sum, or the attribute (or `day`, the
    local day of the purchase) whose values a distinct counts. `where` limits the purchases looked at.
    """

    name: str
    kind: MeasureKind
    expression: Expression
    where: Expression | None


@dataclass(frozen=True, slots=True)
class Step:
    """One rung of the ladder. Without `when` it is met by everyone; `on` limits its purchases."""

    name: str
    when: Expression | None
    add_percent: Decimal
    on: Expression | None


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that one transaction, or one period, can earn, in minor units."""

    per_transaction: int | None
    per_period: int | None


@dataclass(frozen=True, slots=True)
class Reward:
    """The base rate and the steps that add to it; rates are exact percentages."""

    base_percent: Decimal
    steps: tuple[Step, ...]
    cap: Cap
    rounding: Rounding


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable rule set. `identity` is the SHA-256 (hex) of its canonical form.

    `counts_from` is the first period that the spec has it count and serve. Without one the spec has it count
    every period and serve none; later the campaign's schedule may give it some.
    """

    number: int
    counts_from: Period | None
    measures: tuple[Measure, ...]
    post_to: PostTo
    reward: Reward
    identity: str


@dataclass(frozen=True, slots=True)
class Campaign:
    """A named promotion. `versions` are in the order of their numbers and of their `counts_from`.

    `counts_until` is the last counting period; None while the campaign is open-ended. `schedule` says which
    version serves from which period on: as the versions' `counts_from` have it, until the catalog moves it.
    `keep_months` is how long transactions and figures are kept at least: within it duplicates and refunds are
    known at once.
    """

    name: str
    calendar: Calendar
    currency: str
    effective: Effective
    attributes: Mapping[str, AttributeType]
    user_attributes: Mapping[str, AttributeType]
    versions: tuple[Version, ...]
    counts_until: Period | None
    schedule: Schedule
    keep_months: int = KEEP_MONTHS

    def version_counting(self, period: Period) -> Version | None:
        """Return the version that serves a counting period, or None outside the campaign."""
        if self.counts_until is not None and period > self.counts_until:
            return None
        number = self.schedule.version_at(period)
        return next((version for version in self.versions if version.number == number), None)

    def spans(self) -> tuple[Span, ...]:
        """Return which version serves which periods, in order; a version that has none is a shadow."""
        return self.schedule.spans(self.counts_until)
