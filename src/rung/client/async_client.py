"""The client for programs with an event loop: every question of `Client`, to be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

from rung.client.configured import Configured
from rung.client.credentials import AsyncCredential, checked
from rung.client.exchange import (
    Answer,
    Ask,
    Done,
    Effect,
    Identify,
    NextEvent,
    NoAnswer,
    Open,
    Operation,
    Outcome,
    Pause,
    Request,
    Show,
    StreamEvent,
    advance,
)
from rung.client.http import answer_of, arguments, event_of, no_answer_of, trust_of
from rung.client.operations import After
from rung.client.sending import Event, Receipt
from rung.client.targets import At
from rung.client.watching import Watching
from rung.status.explanation import Explanation
from rung.status.messages import CatalogDescription
from rung.status.view import UserStatus

_Result = TypeVar("_Result")


class AsyncClient(Configured[AsyncCredential, httpx2.AsyncClient]):
    """Asks the status API of a Rung server in an event loop of asyncio; the questions are those of `Client`.

    The tasks of one event loop may share a client; close it at the end, or use `async with`. The function
    that gives the present key or token may be asynchronous.

    Example:
        ```python
        from rung.client import AsyncClient

        async with AsyncClient("https://rung.example", fresh_token) as rung:
            status = await rung.my_status()
            async for status in rung.my_watch():
                print(status.as_of.event_at)
        ```
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def my_status(
        self,
        *,
        at: At | None = None,
        campaign: str | None = None,
        after: After | None = None,
        wait_seconds: float = 10.0,
    ) -> UserStatus:
        """Return the same as `Client.my_status`."""
        return await self._run(self._operations.status(None, at, campaign, after, wait_seconds))

    async def status(
        self,
        user_id: str,
        *,
        at: At | None = None,
        campaign: str | None = None,
        after: After | None = None,
        wait_seconds: float = 10.0,
    ) -> UserStatus:
        """Return the same as `Client.status`."""
        return await self._run(self._operations.status(user_id, at, campaign, after, wait_seconds))

    async def statuses(
        self, user_ids: Iterable[str], *, at: At | None = None, campaign: str | None = None
    ) -> tuple[UserStatus, ...]:
        """Return the same as `Client.statuses`."""
        return await self._run(self._operations.statuses(user_ids, at, campaign))

    async def my_explain(self, campaign: str, period: str, *, version: int | None = None) -> Explanation:
        """Return the same as `Client.my_explain`."""
        return await self._run(self._operations.explain(None, campaign, period, version))

    async def explain(
        self, user_id: str, campaign: str, period: str, *, version: int | None = None
    ) -> Explanation:
        """Return the same as `Client.explain`."""
        return await self._run(self._operations.explain(user_id, campaign, period, version))

    async def campaigns(self) -> CatalogDescription:
        """Return the same as `Client.campaigns`."""
        return await self._run(self._operations.campaigns())

    async def send(self, events: Event | Iterable[Event]) -> Receipt:
        """Return the same as `Client.send`; the events come from an ordinary iterable."""
        return await self._run(self._operations.send(events))

    def my_watch(self, *, campaign: str | None = None) -> AsyncGenerator[UserStatus]:
        """Yield the same as `Client.my_watch`."""
        return self._watch(Watching(self._asker, None, campaign).watch())

    def watch(self, user_id: str, *, campaign: str | None = None) -> AsyncGenerator[UserStatus]:
        """Yield the same as `Client.watch`; `contextlib.aclosing` closes one that is left early."""
        return self._watch(Watching(self._asker, user_id, campaign).watch())

    async def openapi(self) -> Mapping[str, Any]:
        """Return the same as `Client.openapi`."""
        return await self._run(self._operations.openapi())

    def _connected(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(verify=trust_of(self._address))

    async def _run(self, operation: Operation[_Result]) -> _Result:
        async with aclosing(self._carrier()) as carrier:
            outcome: Outcome = None
            while not isinstance(effect := advance(operation, outcome), Done):
                outcome = await carrier.carry_out(effect)
            return effect.result

    async def _watch(self, operation: Operation[None]) -> AsyncGenerator[UserStatus]:
        async with aclosing(self._carrier()) as carrier:
            outcome: Outcome = None
            while not isinstance(effect := advance(operation, outcome), Done):
                if isinstance(effect, Show):
                    yield effect.status
                    outcome = None
                else:
                    outcome = await carrier.carry_out(effect)

    def _carrier(self) -> _Carrier:
        return _Carrier(self._http, self._address, self._credential, self._timeout_seconds)


class _Carrier:
    """Carries the effects of one operation out."""

    def __init__(
        self, http: httpx2.AsyncClient, address: str, credential: AsyncCredential, timeout_seconds: float
    ) -> None:
        self._http = http
        self._address = address
        self._credential = credential
        self._timeout_seconds = timeout_seconds
        self._response: httpx2.Response | None = None
        self._events: AsyncIterator[httpx2.ServerSentEvent] | None = None

    async def carry_out(self, effect: Effect) -> Outcome:
        """Do what an operation asks for, and return what comes of it."""
        match effect:
            case Identify():
                return await self._identify()
            case Pause():
                await asyncio.sleep(effect.seconds)
                return None
            case Ask():
                return await self._ask(effect.request)
            case Open():
                return await self._open(effect.request)
            case NextEvent():
                return await self._next_event()
            case Show():
                raise AssertionError("unreachable: only what is watched shows something")

    async def aclose(self) -> None:
        """Close the stream, if one is open."""
        if self._response is not None:
            await self._response.aclose()
            self._response = self._events = None

    async def _identify(self) -> str:
        given = self._credential if isinstance(self._credential, str) else self._credential()
        return checked(given if isinstance(given, str) else await given)

    async def _ask(self, request: Request) -> Answer | NoAnswer:
        asked = self._http.build_request(**arguments(self._address, request, self._timeout_seconds))
        try:
            response = await self._http.send(asked)
        except httpx2.RequestError as error:
            return no_answer_of(error, self._address)
        return answer_of(response, response.content)

    async def _open(self, request: Request) -> Answer | NoAnswer:
        await self.aclose()
        asked = self._http.build_request(
            **arguments(self._address, request, self._timeout_seconds, is_stream=True)
        )
        try:
            self._response = await self._http.send(asked, stream=True)
            if not self._response.is_success:
                return answer_of(self._response, await self._response.aread())
        except httpx2.RequestError as error:
            return no_answer_of(error, self._address)
        self._events = aiter(httpx2.EventSource(self._response))
        return answer_of(self._response, b"")

    async def _next_event(self) -> StreamEvent | NoAnswer | None:
        assert self._events is not None
        try:
            event = await anext(self._events, None)
        except httpx2.RequestError as error:
            return no_answer_of(error, self._address)
        return None if event is None else event_of(event)
