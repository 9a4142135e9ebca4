"""Asking what may be far away without holding up the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rung.status.away import Shared


def test_what_is_near_is_asked_at_once() -> None:
    """What is not remote is asked in the loop's own thread, each time."""
    asked: list[threading.Thread] = []
    shared = Shared(lambda: asked.append(threading.current_thread()), is_remote=False)

    async def ask() -> None:
        await asyncio.gather(shared(), shared())

    asyncio.run(ask())
    assert asked == [threading.current_thread()] * 2


def test_one_question_for_all() -> None:
    """Whoever asks while an answer is under way gets that one; whoever asks later gets a new one."""
    release = threading.Event()
    count = 0

    def answer() -> int:
        nonlocal count
        count += 1
        assert release.wait(10)
        return count

    async def ask() -> None:
        shared = Shared(answer, is_remote=True)
        asking = [asyncio.create_task(shared()) for _ in range(5)]
        await asyncio.sleep(0)
        asking[0].cancel()
        release.set()
        results = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == [1, 1, 1, 1]
        assert await shared() == 2

    asyncio.run(ask())


def test_an_error_is_told_to_all() -> None:
    """An answer that fails fails for all who wait for it, and the next question is asked anew."""
    errors = [ValueError("first")]

    def answer() -> int:
        if errors:
            raise errors.pop()
        return 7

    async def ask() -> None:
        shared = Shared(answer, is_remote=True)
        results = await asyncio.gather(shared(), shared(), return_exceptions=True)
        assert [str(result) for result in results] == ["first", "first"]
        assert await shared() == 7

    asyncio.run(ask())
    with pytest.raises(ValueError, match="near"):
        asyncio.run(Shared(_fail, is_remote=False)())


def _fail() -> None:
    raise ValueError("near")
