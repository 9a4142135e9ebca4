"""Both clients behind one face, so that one suite tests them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, TypeAlias, cast

from rung.client import AsyncClient, Client

Make: TypeAlias = Callable[..., Client]
"""Makes a client; the arguments are those of `Client`."""


class Awaited:
    """An `AsyncClient` whose questions are awaited in an event loop of its own, one after the other."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(*arguments, **named)
        self._watched: list[Generator[object]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a question that can be asked without an event loop."""
        question = getattr(self._client, name)

        def asked(*arguments: Any, **named: Any) -> Any:
            asking = question(*arguments, **named)
            if inspect.iscoroutine(asking):
                return self._runner.run(asking)
            self._watched.append(self._each(asking))
            return self._watched[-1]

        return asked

    def __repr__(self) -> str:
        return repr(self._client)

    def close(self) -> None:
        """Leave what is watched, and close the connections and the event loop."""
        for one in self._watched:
            one.close()
        self._runner.run(self._client.aclose())
        self._runner.close()

    def _each(self, shown: AsyncIterator[object]) -> Generator[object]:
        ended = object()

        async def following() -> object:
            return await anext(shown, ended)

        async def close() -> None:
            await cast("Any", shown).aclose()

        try:
            while (one := self._runner.run(following())) is not ended:
                yield one
        finally:
            self._runner.run(close())


FACES: dict[str, Make] = {"Client": Client, "AsyncClient": cast("Make", Awaited)}
