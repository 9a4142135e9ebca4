"""Decoding events each of which is judged by what is declared at its position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rung.campaign.declared import NOTHING_DECLARED, Declared
from rung.transaction.events import Batch, decode, joined


def decode_judged(
    payloads: Sequence[bytes], declared: Iterable[tuple[int, Declared]], unreadable: Mapping[int, str]
) -> Batch:
    """Decode and validate events; see `rung.transaction.events.decode`.

    Args:
        payloads: The events.
        declared: How many of them follow one another with the same declared, and what that is.
        unreadable: The rows that are rejected without a look at them, each with the reason.
    """
    runs: list[tuple[int, Declared]] = []
    for count, judge in declared:
        if runs and runs[-1][1] == judge:
            runs[-1] = runs[-1][0] + count, judge
        else:
            runs.append((count, judge))
    if len(runs) <= 1:
        judge = runs[0][1] if runs else NOTHING_DECLARED
        return decode(payloads, judge.attributes, judge.user_attributes, unreadable)
    first = 0
    parts: list[Batch] = []
    for count, judge in runs:
        own = {row - first: text for row, text in unreadable.items() if first <= row < first + count}
        part = decode(payloads[first : first + count], judge.attributes, judge.user_attributes, own)
        parts.append(_moved(part, first))
        first += count
    return Batch(
        joined([part.transactions for part in parts]),
        [event for part in parts for event in part.user_attributes],
        [rejection for part in parts for rejection in part.rejections],
    )


def _moved(batch: Batch, rows: int) -> Batch:
    """Return a batch whose rows begin with another one than 0."""
    return Batch(
        replace(batch.transactions, rows=batch.transactions.rows + rows),
        [event._replace(row=event.row + rows) for event in batch.user_attributes],
        [replace(found, row=found.row + rows) for found in batch.rejections],
    )
