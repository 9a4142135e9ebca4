"""Histories as columns: the steps of many transactions in three flat arrays, and their rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rung.transaction.reasons import Reason

STATUSES: Final = ("CREATED", "AUTHORIZED", "COMPLETED", "REFUNDED", "CANCELED", "FAILED", "EXPIRED")
"""Every status; a status code is its index here, and part of the stored format."""

COMPLETED: Final = STATUSES.index("COMPLETED")
REFUNDED: Final = STATUSES.index("REFUNDED")
ENDED: Final = tuple(STATUSES.index(status) for status in ("CANCELED", "FAILED", "EXPIRED"))
"""The codes of the statuses that end a transaction: it contributes nothing from there on."""

AMOUNT_MAX: Final = 10**12
"""The largest amount of a step, in minor units: ten million such purchases fit 64 bits."""

Integers: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


def spans(starts: Integers, lengths: Integers) -> Integers:
    """Return the concatenated index ranges `starts[i] .. starts[i] + lengths[i]`."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(total)


@dataclass(frozen=True, slots=True)
class Histories:
    """Many histories: the i-th has `lengths[i]` steps from `starts[i]` on.

    `statuses` (uint8 codes), `ats` (microseconds since the epoch) and `amounts` (minor units) are
    flat over all steps.
    """

    starts: Integers
    lengths: Integers
    statuses: NDArray[np.uint8]
    ats: Integers
    amounts: Integers

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def of_lengths(
        cls, lengths: Integers, statuses: NDArray[np.uint8], ats: Integers, amounts: Integers
    ) -> Histories:
        """Return histories whose steps follow one another without gaps."""
        return cls(np.cumsum(lengths) - lengths, lengths, statuses, ats, amounts)

    def take(self, rows: Integers) -> Histories:
        """Return chosen histories in the order of `rows`, with their steps packed."""
        lengths = self.lengths[rows]
        steps = spans(self.starts[rows], lengths)
        return Histories.of_lengths(lengths, self.statuses[steps], self.ats[steps], self.amounts[steps])

    def followed_by(self, other: Histories) -> Histories:
        """Return these histories and then the other ones."""
        return Histories(
            np.concatenate([self.starts, other.starts + len(self.statuses)]),
            np.concatenate([self.lengths, other.lengths]),
            np.concatenate([self.statuses, other.statuses]),
            np.concatenate([self.ats, other.ats]),
            np.concatenate([self.amounts, other.amounts]),
        )

    def begin_with(self, rows: Integers, prefixes: Integers) -> Mask:
        """Tell for each pair whether history `rows[i]` begins with all of history `prefixes[i]`."""
        lengths = self.lengths[prefixes]
        fits = lengths <= self.lengths[rows]
        compared = np.where(fits, lengths, 0)
        left = spans(self.starts[rows], compared)
        right = spans(self.starts[prefixes], compared)
        differs = self.statuses[left] != self.statuses[right]
        differs |= self.ats[left] != self.ats[right]
        differs |= self.amounts[left] != self.amounts[right]
        if not differs.any():
            return fits
        pairs = np.repeat(np.arange(len(rows)), compared)
        fits[pairs[differs]] = False
        return fits

    def broken_rules(self) -> list[tuple[Mask, Reason]]:
        """Tell for each rule which histories break it; a rule that none breaks is left out.

        The histories must be packed (`of_lengths`) and not empty.
        """
        if len(self) == 0:
            return []
        count = len(self)
        owners = np.repeat(np.arange(count), self.lengths)
        within = np.arange(len(self.statuses)) - np.repeat(self.starts, self.lengths)
        completed = self.statuses == COMPLETED
        refunded = self.statuses == REFUNDED
        ended = self.statuses >= ENDED[0]
        never = np.iinfo(np.int64).max
        completions = np.bincount(owners[completed], minlength=count)
        completed_at = np.full(count, never)
        np.minimum.at(completed_at, owners[completed], within[completed])
        broken = [(completions > 1, Reason.COMPLETED_TWICE)]
        if ended.any():
            ended_at = np.full(count, never)
            np.minimum.at(ended_at, owners[ended], within[ended])
            broken.append(((completions > 0) & (ended_at < completed_at), Reason.COMPLETED_AFTER_END))
        if refunded.any():
            early = np.zeros(count, dtype=np.bool_)
            early[owners[refunded & (within < completed_at[owners])]] = True
            broken.append((early, Reason.REFUND_BEFORE_COMPLETION))
            # Amounts are at most 10^12 and an event at most 64 KiB, so these sums fit 64 bits.
            gross = np.zeros(count, dtype=np.int64)
            np.maximum.at(gross, owners[completed], self.amounts[completed])
            refunds = np.zeros(count, dtype=np.int64)
            np.add.at(refunds, owners[refunded], self.amounts[refunded])
            broken.append((refunds > gross, Reason.REFUND_ABOVE_AMOUNT))
        return [(mask, reason) for mask, reason in broken if mask.any()]


@dataclass(frozen=True, slots=True)
class StoredTransactions:
    """What is known of transactions before a batch, as columns; an unknown one has no steps.

    `users` and `attributes` are the digests of `TransactionEvents`.
    """

    users: NDArray[np.uint64]
    attributes: NDArray[np.uint64]
    histories: Histories
