"""Calls to DynamoDB: signed and sent by aiodynamo, retried here and nowhere else.

The store's methods are called from threads, while calls are cheapest from one event loop. So a client runs a
loop in a thread of its own; whoever wants something of it hands over a coroutine and waits. Who has a loop
already uses a `LoopClient` in it, and saves the way there and back.

Every call is safe to repeat, because every write is guarded by what it replaces or gives the same result
twice. A call whose outcome is unknown is simply sent again; that it happened the first time shows as a guard
that does not hold any more, and the caller resolves that by reading.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar, cast

import aiohttp
from aiodynamo.client import Client
from aiodynamo.credentials import Credentials
from aiodynamo.errors import (
    AccessDenied,
    AIODynamoError,
    ExpiredToken,
    InternalDynamoError,
    NoCredentialsFound,
    ProvisionedThroughputExceeded,
    RequestLimitExceeded,
    ServiceUnavailable,
    TableNotFound,
    Throttled,
    TransactionCanceled,
    TransactionConflict,
    TransactionInProgress,
    UnknownError,
    UnrecognizedClient,
)
from aiodynamo.http.types import Request, Response
from aiodynamo.models import RetryConfig, RetryTimeout
from yarl import URL

from rung.store.backoff import Backoff
from rung.store.dynamodb.settings import DynamoSettings
from rung.store.port import StoreBusy, StoreError

Json: TypeAlias = "Mapping[str, Any]"
_T = TypeVar("_T")

_PASSING: Final = (
    Throttled,
    ProvisionedThroughputExceeded,
    RequestLimitExceeded,
    InternalDynamoError,
    ServiceUnavailable,
    ExpiredToken,
    TransactionConflict,
    TransactionInProgress,
    aiohttp.ClientError,
    asyncio.TimeoutError,
    OSError,
)
_PASSING_REASONS: Final = frozenset(
    {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded", "None"}
)
_WRITES: Final = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})
_SERVER_ERROR: Final = 500


class GuardFailed(Exception):
    """A condition of a write does not hold; nothing of the call was written."""


@dataclass(slots=True)
class Usage:
    """What a client has asked for: attempts by operation, retries by cause, and the units billed.

    `items_written` counts those of transactions.
    """

    calls: Counter[str] = field(default_factory=Counter[str])
    retries: Counter[str] = field(default_factory=Counter[str])
    items_written: int = 0
    write_units: float = 0.0
    read_units: float = 0.0


@dataclass(frozen=True)
class _Sender:
    """Sends a signed request; the client's own sender has the large ones warned about."""

    session: aiohttp.ClientSession

    async def __call__(self, request: Request) -> Response:
        body = None if request.body is None else io.BytesIO(request.body)
        sending = self.session.request(request.method, request.url, headers=request.headers, data=body)
        async with sending as answer:
            return Response(answer.status, await answer.read())


class _OneAttempt(RetryConfig):
    """Leaves retrying to the caller."""

    def delays(self) -> Iterable[float]:
        return ()

    async def attempts(self) -> AsyncIterator[None]:
        yield
        # The client takes it for the end of its patience, and raises what made the attempt fail.
        raise RetryTimeout


class LoopClient:
    """A client for the event loop that it is first used in."""

    def __init__(self, settings: DynamoSettings) -> None:
        """Take the settings; nothing is opened yet."""
        self._settings = settings
        self.usage = Usage()
        self._room = asyncio.Semaphore(settings.concurrent_calls)
        self._session: aiohttp.ClientSession | None = None
        self._client: Client | None = None

    def _opened(self) -> Client:
        # A session needs a running loop.
        self._session = session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._settings.concurrent_calls),
            timeout=aiohttp.ClientTimeout(total=self._settings.request_timeout_seconds),
        )
        endpoint = URL(self._settings.endpoint_url) if self._settings.endpoint_url else None
        region, credentials = self._settings.region, Credentials.auto()
        self._client = Client(_Sender(session), credentials, region, endpoint, throttle_config=_OneAttempt())
        return self._client

    async def disconnect(self) -> None:
        """Close the connections. Doing it twice is fine."""
        if self._session is not None:
            await self._session.close()

    async def call(self, operation: str, payload: Json) -> Json:
        """Send one call, again after a failure that passes, and return the answer.

        Raises:
            GuardFailed: a condition does not hold.
            StoreBusy: it failed too often. A write may have happened.
            StoreError: it can never succeed; the text names the fix.
        """
        backoff = Backoff()
        cause = ""
        for attempt in range(1, self._settings.attempts_max + 1):
            async with self._room:
                self.usage.calls[operation] += 1
                try:
                    client = self._client or self._opened()
                    answer: Json = await client.send_request(action=operation, payload=payload)
                except Exception as error:
                    cause = self._passing_cause(operation, error)
                else:
                    self._count_units(operation, answer)
                    return answer
            self.usage.retries[cause] += 1
            if attempt < self._settings.attempts_max:
                await asyncio.sleep(backoff.next_seconds())
        raise StoreBusy(f"DynamoDB did not do {operation} in {self._settings.attempts_max} attempts: {cause}")

    async def transact(self, items: Sequence[Json], sizes: Sequence[int]) -> None:
        """Write items, all or nothing; `sizes` are theirs in bytes.

        Its units are counted by the rule: two for each KiB begun of each item (Amazon DynamoDB Developer
        Guide, "Read and write capacity modes"). An emulator does not add them up.

        Raises:
            GuardFailed: a condition does not hold.
            StoreBusy: it failed too often. It may have happened.
            StoreError: it can never succeed; the text names the fix.
        """
        await self.call("TransactWriteItems", {"TransactItems": list(items)})
        self.usage.write_units += sum(2 * max(1, -(-size // 1024)) for size in sizes)
        self.usage.items_written += len(items)

    async def all_of(self, works: Sequence[Callable[[], Coroutine[Any, Any, _T]]]) -> list[_T]:
        """Run works, as many at once as calls may be, and return their results in order.

        When one fails, those that run are waited for and no other is started; the first error is raised.
        """
        results: dict[int, _T] = {}
        errors: list[Exception] = []
        waiting = iter(enumerate(works))

        async def take_turns() -> None:
            for index, work in waiting:
                if errors:
                    return
                try:
                    results[index] = await work()
                except Exception as error:
                    # Raised below, once nothing is under way any more.
                    errors.append(error)

        await asyncio.gather(*(take_turns() for _ in range(min(len(works), self._settings.concurrent_calls))))
        if errors:
            raise errors[0]
        return [results[index] for index in range(len(works))]

    def _count_units(self, operation: str, answer: Json) -> None:
        consumed: Any = answer.get("ConsumedCapacity", ())
        for part in cast("list[Json]", [consumed] if isinstance(consumed, dict) else consumed):
            if operation in _WRITES:
                self.usage.write_units += part["CapacityUnits"]
            else:
                self.usage.read_units += part["CapacityUnits"]

    def _passing_cause(self, operation: str, error: Exception) -> str:
        """Return the name of a failure that passes.

        Raises:
            GuardFailed: it is a condition that does not hold.
            StoreError: it does not pass.
        """
        name = type(error).__name__
        if isinstance(error, TransactionCanceled):
            codes = [reason["Code"] for reason in error.body["CancellationReasons"]]
            if "ConditionalCheckFailed" in codes:
                raise GuardFailed(operation) from error
            if set(codes) <= _PASSING_REASONS:
                return name
        if name == "ConditionalCheckFailed":
            raise GuardFailed(operation) from error
        if isinstance(error, _PASSING) or (isinstance(error, UnknownError) and error.status >= _SERVER_ERROR):
            return name
        if isinstance(error, TableNotFound):
            raise StoreError(
                f"the tables {self._settings.table_prefix}-* are not in {self._place()}: make them with "
                "`rung store create`, or correct dynamodb.table_prefix"
            ) from error
        if isinstance(error, (NoCredentialsFound, AccessDenied, UnrecognizedClient)):
            raise StoreError(
                f"{self._place()} refused the credentials ({name}): give AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, a profile or a role, with the right to do "
                f"{operation} on {self._settings.table_prefix}-*"
            ) from error
        if isinstance(error, AIODynamoError):
            raise StoreError(f"DynamoDB refused {operation}: {name}: {_message(error)}") from error
        raise error

    def _place(self) -> str:
        return self._settings.endpoint_url or f"DynamoDB in {self._settings.region}"


class DynamoClient(LoopClient):
    """A client with an event loop of its own. Safe to use from several threads."""

    def __init__(self, settings: DynamoSettings) -> None:
        """Start the loop; nothing is sent yet."""
        super().__init__(settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="dynamodb", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the client's loop, and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Close the connections and end the loop. Closing twice is fine."""
        if self._loop.is_closed():
            return
        self.run(self.disconnect())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _message(error: AIODynamoError) -> str:
    for argument in error.args:
        if isinstance(argument, dict):
            body = cast("Json", argument)
            return str(body.get("Message", body.get("message", "")))
    return str(error)
