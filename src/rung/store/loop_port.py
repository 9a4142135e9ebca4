"""The part of the store port that statuses need, for those who have an event loop: a store may offer it, too.

A store on servers answers sooner in the loop of those who ask than by way of a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rung.store.port import Standing


class StandingsInLoop(Protocol):
    """Reads a store in the event loop that it is first used in.

    `read` may raise `StoreError`, or `StoreBusy` when the store cannot be reached.
    """

    async def read(self, users: Sequence[tuple[bytes, int]]) -> Sequence[Standing]:
        """Return the standing of each (user id, partition); see `Store.standings`."""
        ...

    async def close(self) -> None:
        """Release what is held. Closing twice is fine."""
        ...
