"""What changed in the steps that a user has met: the messages, with ids that are the same each time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from rung.status.view import CountingStatus

REACHED: Final = "step.reached"
LOST: Final = "step.lost"


class Ladder(NamedTuple):
    """One user's steps in one counting period, as one version has them."""

    campaign: str
    version: int
    period: str
    user_id: str

    @property
    def key(self) -> bytes:
        """What names it where no user may be named: 32 bytes."""
        return hashlib.sha256(msgspec.json.encode(self)).digest()


class Change(NamedTuple):
    """A message: its id, and its body as it is sent."""

    message_id: str
    body: bytes


class _Data(msgspec.Struct):
    user_id: str
    campaign: str
    version: int
    period: str
    step: str
    occurrence: int


class _Body(msgspec.Struct):
    type: str
    timestamp: str
    data: _Data


def changes(
    ladder: Ladder, counts: Mapping[str, int], counting: CountingStatus, at: str
) -> Iterator[tuple[str, int, Change]]:
    """Yield each step that changed, how often it has changed by now, and its message.

    Args:
        ladder: Whose steps these are.
        counts: How often each step has changed so far; it was met if that is odd.
        counting: The steps as they are.
        at: When they were looked at, in RFC 3339.
    """
    for step in counting.steps:
        count = counts.get(step.name, 0)
        if step.met == (count % 2 == 1):
            continue
        occurrence = count + 1
        data = _Data(ladder.user_id, ladder.campaign, ladder.version, ladder.period, step.name, occurrence)
        body = _Body(REACHED if step.met else LOST, at, data)
        yield step.name, occurrence, Change(_message_id(data), msgspec.json.encode(body))


def _message_id(data: _Data) -> str:
    """Return the id: it hangs on what happened alone, so a receiver knows a message that comes again."""
    return f"msg_{hashlib.sha256(msgspec.json.encode(data)).hexdigest()[:32]}"
