"""The client for programs without an event loop; it also says what every question means."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

from rung.client.configured import Configured
from rung.client.credentials import Credential, checked
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


class Client(Configured[Credential, httpx2.Client]):
    """Asks the status API of a Rung server. Threads may share one; close it at the end, or use `with`.

    Every question may raise any `ClientError`. One whose name begins with `my` is about the user whose token
    the client has; the others are for services, with a key that has the scope for it.

    Example:
        ```python
        from pathlib import Path

        from rung.client import Client

        with Client("https://rung.example", Path("rung.key").read_text) as rung:
            for campaign in rung.status("12757").campaigns:
                if campaign.effective is not None:
                    print(campaign.campaign, campaign.effective.rate_percent)
        ```
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def my_status(
        self,
        *,
        at: At | None = None,
        campaign: str | None = None,
        after: After | None = None,
        wait_seconds: float = 10.0,
    ) -> UserStatus:
        """Return the status of the user whose token it is; the rest is as for `status`."""
        return self._run(self._operations.status(None, at, campaign, after, wait_seconds))

    def status(
        self,
        user_id: str,
        *,
        at: At | None = None,
        campaign: str | None = None,
        after: After | None = None,
        wait_seconds: float = 10.0,
    ) -> UserStatus:
        """Return what a user is shown: progress in the counting period, and the rate in force.

        Args:
            user_id: The user; any text that is an id.
            at: The time that chooses the periods, the present if left out: a `datetime` or text with an
                offset, or a date.
            campaign: Only this campaign; else all of them.
            after: The receipt of events that the status has to hold, or the `after` that the server told.
            wait_seconds: How long to wait for these events; then `Unavailable` with the code
                `not_applied_yet` is raised.

        Example:
            ```python
            receipt = rung.send(payment)
            status = rung.status("ann", after=receipt, wait_seconds=5)   # has the payment in it
            ```
        """
        return self._run(self._operations.status(user_id, at, campaign, after, wait_seconds))

    def statuses(
        self, user_ids: Iterable[str], *, at: At | None = None, campaign: str | None = None
    ) -> tuple[UserStatus, ...]:
        """Return the statuses of any number of users, in the order asked: one request for each 100.

        Example:
            ```python
            for user in rung.statuses(["ann", "bob"], campaign="retail"):
                print(user.user_id, user.as_of.event_at)
            ```
        """
        return self._run(self._operations.statuses(user_ids, at, campaign))

    def my_explain(self, campaign: str, period: str, *, version: int | None = None) -> Explanation:
        """Return each transaction of a period of the user whose token it is; see `explain`."""
        return self._run(self._operations.explain(None, campaign, period, version))

    def explain(self, user_id: str, campaign: str, period: str, *, version: int | None = None) -> Explanation:
        """Return each transaction behind a user's figures: counted or not, and why.

        Args:
            user_id: The user.
            campaign: The campaign.
            period: The counting period, such as 2021-08, 2021-W31 or 2021-08-01.
            version: Another version than the one that serves the period.

        Example:
            ```python
            for one in rung.explain("12757", "retail", "2011-11").transactions:
                print(one.transaction_id, one.reason)
            ```
        """
        return self._run(self._operations.explain(user_id, campaign, period, version))

    def campaigns(self) -> CatalogDescription:
        """Return the campaigns that statuses are of, with the unit of each measure."""
        return self._run(self._operations.campaigns())

    def send(self, events: Event | Iterable[Event]) -> Receipt:
        """Send one event or many; return when they are durable, in as many requests as it takes.

        An event has the full history of its transaction, so sending one again changes no figure: whatever
        fails on the way is sent again as `retries` allow, and after an error all may be sent once more.

        Args:
            events: An event, or any iterable of them: mappings, structs of msgspec, or JSON.

        Example:
            ```python
            receipt = rung.send(
                {"transaction_id": "t1", "user_id": "ann", "attributes": {"country": "France"}, "history": [
                    {"status": "COMPLETED", "at": "2026-11-20T14:32:05+09:00", "amount": 5200}]}
            )
            ```
        """
        return self._run(self._operations.send(events))

    def my_watch(self, *, campaign: str | None = None) -> Generator[UserStatus]:
        """Yield the status of the user whose token it is, and again at each change; see `watch`."""
        return self._watch(Watching(self._asker, None, campaign).watch())

    def watch(self, user_id: str, *, campaign: str | None = None) -> Generator[UserStatus]:
        """Yield the status of a user now, and again at each change of what is shown.

        A stream that breaks is opened again; what was yielded is not yielded again before it changes. The
        iteration ends when the key or token ends and the credential's function gives no other one. Whoever
        leaves it earlier closes it, or the client.

        Example:
            ```python
            for status in rung.watch("ann", campaign="retail"):
                print(status.campaigns[0].counting)
            ```
        """
        return self._watch(Watching(self._asker, user_id, campaign).watch())

    def openapi(self) -> Mapping[str, Any]:
        """Return the API's description of itself (OpenAPI 3.1)."""
        return self._run(self._operations.openapi())

    def _connected(self) -> httpx2.Client:
        return httpx2.Client(verify=trust_of(self._address))

    def _run(self, operation: Operation[_Result]) -> _Result:
        with closing(self._carrier()) as carrier:
            outcome: Outcome = None
            while not isinstance(effect := advance(operation, outcome), Done):
                outcome = carrier.carry_out(effect)
            return effect.result

    def _watch(self, operation: Operation[None]) -> Generator[UserStatus]:
        with closing(self._carrier()) as carrier:
            outcome: Outcome = None
            while not isinstance(effect := advance(operation, outcome), Done):
                if isinstance(effect, Show):
                    yield effect.status
                    outcome = None
                else:
                    outcome = carrier.carry_out(effect)

    def _carrier(self) -> _Carrier:
        return _Carrier(self._http, self._address, self._credential, self._timeout_seconds)


class _Carrier:
    """Carries the effects of one operation out."""

    def __init__(
        self, http: httpx2.Client, address: str, credential: Credential, timeout_seconds: float
    ) -> None:
        self._http = http
        self._address = address
        self._credential = credential
        self._timeout_seconds = timeout_seconds
        self._response: httpx2.Response | None = None
        self._events: Iterator[httpx2.ServerSentEvent] | None = None

    def carry_out(self, effect: Effect) -> Outcome:
        """Do what an operation asks for, and return what comes of it."""
        match effect:
            case Identify():
                return checked(self._credential if isinstance(self._credential, str) else self._credential())
            case Pause():
                time.sleep(effect.seconds)
                return None
            case Ask():
                return self._ask(effect.request)
            case Open():
                return self._open(effect.request)
            case NextEvent():
                return self._next_event()
            case Show():
                raise AssertionError("unreachable: only what is watched shows something")

    def close(self) -> None:
        """Close the stream, if one is open."""
        if self._response is not None:
            self._response.close()
            self._response = self._events = None

    def _ask(self, request: Request) -> Answer | NoAnswer:
        asked = self._http.build_request(**arguments(self._address, request, self._timeout_seconds))
        try:
            response = self._http.send(asked)
        except httpx2.RequestError as error:
            return no_answer_of(error, self._address)
        return answer_of(response, response.content)

    def _open(self, request: Request) -> Answer | NoAnswer:
        self.close()
        asked = self._http.build_request(
            **arguments(self._address, request, self._timeout_seconds, is_stream=True)
        )
        try:
            self._response = self._http.send(asked, stream=True)
            if not self._response.is_success:
                return answer_of(self._response, self._response.read())
        except httpx2.RequestError as error:
            return no_answer_of(error, self._address)
        self._events = iter(httpx2.EventSource(self._response))
        return answer_of(self._response, b"")

    def _next_event(self) -> StreamEvent | NoAnswer | None:
        assert self._events is not None
        try:
            event = next(self._events, None)
        except httpx2.RequestError as error:
            return no_answer_of(error, self._address)
        return None if event is None else event_of(event)
