"""Marks: figures of series 0, which no measure has. Each says of a user what no measure does.

That a user has a correction is a mark (`rung.store.corrections`): of period 0, with the correction's token.

Which steps a user has met in a closed period are marks, too, of that period: they are stored with the user's
figures, in any store, move with them, and a reader of the period comes upon them. A bit is set for each step
in which the user differs from one of whom nothing was known at the close. Most users need no mark, and one
without any has what somebody has who came later.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import xxhash

from rung.campaign.counted import CountedVersion

MARKS: Final = 0
"""The series of the marks; those of measures are above it."""

STEPS_OF_MARK: Final = 60
"""How many steps one mark tells of: a figure has room for so many bits."""


class StepsMark(NamedTuple):
    """A mark of a version's steps: its token, and the index of the first step that it tells of."""

    token: int
    first: int


def token_of(mark_id: str) -> int:
    """Return the token of a mark, which is never 0."""
    return xxhash.xxh3_64_intdigest(mark_id.encode()) | 1


def steps_marks(counted: CountedVersion) -> Iterator[StepsMark]:
    """Yield the marks that tell of a version's steps in each of the periods that are closed with it."""
    version = counted.version
    for first in range(0, len(version.reward.steps), STEPS_OF_MARK):
        mark_id = f"closed/{counted.campaign.name}/{version.number}/{version.identity}/{first}"
        yield StepsMark(token_of(mark_id), first)
