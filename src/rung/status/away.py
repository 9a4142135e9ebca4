"""Asking what may be far away without holding up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")


class Shared(Generic[_Answer]):
    """Asks a question in a thread, and once for all who ask while an answer is under way.

    However many ask, one thread is taken; an answer is as old as the question at most.
    """

    def __init__(self, ask: Callable[[], _Answer], *, is_remote: bool) -> None:
        """Take the question; one that is not remote is asked in the loop. For one event loop."""
        self._ask = ask
        self._is_remote = is_remote
        self._asking: asyncio.Task[_Answer] | None = None

    async def __call__(self) -> _Answer:
        """Return the answer, or raise what the question raises."""
        if not self._is_remote:
            return self._ask()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(asyncio.to_thread(self._ask))
        # One request that is given up does not take the answer from the others.
        return await asyncio.shield(self._asking)
