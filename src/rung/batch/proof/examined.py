"""What an examination says of a user: what is due, what is there, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from rung.transaction.reasons import Explained

Figures: TypeAlias = "Counter[tuple[int, int, int]]"
"""(series, period ordinal, token) -> value; those that are zero are left out."""


class Cause(Explained):
    """Why a user's records are not what the lake gives."""

    MISSED_EVENT = (
        "missed_event",
        "The records and the figures lack the same events, as if they had never come.",
    )
    TRANSACTION_BEHIND = (
        "transaction_behind",
        "A transaction's record is missing or too short, and the figures hold its events.",
    )
    TRANSACTION_ALTERED = "transaction_altered", "A transaction's record contradicts its events."
    TRANSACTION_UNKNOWN = "transaction_unknown", "A transaction's record has no event."
    SUM_MISMATCH = "sum_mismatch", "The figures are not the sum of what the records contribute."
    WRONG_VERSION = "wrong_version", "The figures of a version are those that another version's rules give."
    ATTRIBUTES = "attributes", "The user's attributes are not those that were told last."
    CLOSED_STEPS = "closed_steps", "What is kept of a closed period's steps is not what its result says."
    UNKNOWN = "unknown", "Records and figures are wrong, and do not explain each other."


@dataclass(frozen=True, slots=True)
class Examined:
    """A user as of an offset.

    Attributes:
        user_id, partition: The user.
        offset: The offset up to which the record claims to hold the user's events.
        causes: What is wrong; empty if nothing is.
        expected, found: The figures that the lake gives and those stored, of the versions that are compared;
            and the marks that the results of closed periods give, and those stored.
        transactions: The ids of transactions whose record is wrong.
        record, attributes: What is stored.
        due_attributes: The record of attributes that is due (None: none).
        stored: The record of each transaction, by its id, as it was read.
        due: The record that is due for each (None: none).
    """

    user_id: str
    partition: int
    offset: int
    causes: tuple[Cause, ...]
    expected: Figures
    found: Figures
    transactions: tuple[str, ...]
    record: bytes | None
    attributes: bytes | None
    due_attributes: bytes | None
    stored: Mapping[str, bytes | None] = field(default_factory=dict[str, "bytes | None"])
    due: Mapping[str, bytes | None] = field(default_factory=dict[str, "bytes | None"])

    @property
    def drift(self) -> Figures:
        """What has to be added to the stored figures."""
        drift: Figures = Counter(self.expected)
        drift.subtract(self.found)
        return without_zeros(drift)


def without_zeros(values: Figures) -> Figures:
    """Return figures without those that are zero."""
    return Counter({key: value for key, value in values.items() if value != 0})
