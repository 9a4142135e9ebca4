"""An event loop in a thread, for proxies that live beside the code under test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import uvloop

LOOPBACK: Final = "127.0.0.1"
_WAIT_SECONDS_MAX: Final = 30.0
_Result = TypeVar("_Result")


class LoopThread:
    """A loop of uvloop in a thread. What a coroutine raised, `run` raises; what a callback raised, `close`."""

    def __init__(self, name: str) -> None:
        self.loop = uvloop.new_event_loop()
        self._errors: list[BaseException] = []
        self.loop.set_exception_handler(self._keep)
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine in the loop, and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(_WAIT_SECONDS_MAX)

    def close(self) -> None:
        """End every task, the thread and the loop."""
        self.run(self._end_tasks())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_WAIT_SECONDS_MAX)
        self.loop.close()
        if self._errors:
            raise self._errors[0]

    async def _end_tasks(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(
                outcome, (asyncio.CancelledError, OSError)
            ):
                self._errors.append(outcome)

    def _keep(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._errors.append(error if isinstance(error, BaseException) else RuntimeError(context["message"]))
