"""A plain status API on DynamoDB: one GetItem for each request, as a service has it that does not coalesce.

Usage: python -m bench.rivals.plain_reader CLIENT PORT ENDPOINT TABLE; CLIENT is `aiodynamo` (in the event
loop) or `boto3` (in threads). It is served as Rung's API is: Granian, RSGI, one process, the same settings.
Each request reads the user's own item, strongly consistent, and is answered with it; nothing is evaluated.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeAlias

import aiohttp
import boto3
from aiodynamo.client import Client
from aiodynamo.credentials import Credentials
from aiodynamo.errors import ItemNotFound
from aiodynamo.http.aiohttp import AIOHTTP
from botocore.config import Config
from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes
from granian.log import LogLevels
from granian.server import Server
from yarl import URL

from rung.status.rsgi import RsgiExchange, RsgiScope
from rung.store.dynamodb.items import user_key

REGION = "eu-central-1"
THREADS = 32
_PREFIX, _SUFFIX = "/v1/users/", "/status"
_HEADERS = [("content-type", "application/json")]

Get: TypeAlias = Callable[[bytes], Coroutine[Any, Any, "dict[str, Any] | None"]]
"""Returns the item under a key."""


class Reader(Protocol):
    """A client, made within the event loop."""

    def open(self) -> Get:
        """Return what reads an item."""
        ...

    async def close(self) -> None:
        """Release what is held."""
        ...


class AiodynamoReader:
    """Awaits each GetItem in the event loop."""

    def __init__(self, endpoint: str, table: str) -> None:
        self._endpoint, self._table = endpoint, table
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> Get:
        """See `Reader`."""
        self._session = session = aiohttp.ClientSession()
        table = Client(AIOHTTP(session), Credentials.auto(), REGION, URL(self._endpoint)).table(self._table)

        async def get(key: bytes) -> dict[str, Any] | None:
            try:
                return await table.get_item({"k": key}, consistent_read=True)
            except ItemNotFound:
                return None

        return get

    async def close(self) -> None:
        """See `Reader`."""
        if self._session is not None:
            await self._session.close()


class BotoReader:
    """Makes each GetItem in a thread, over as many connections as there are threads."""

    def __init__(self, endpoint: str, table: str) -> None:
        config = Config(max_pool_connections=THREADS)
        client: Any = boto3.client("dynamodb", region_name=REGION, endpoint_url=endpoint, config=config)
        self._get: Any = partial(client.get_item, TableName=table, ConsistentRead=True)
        self._threads = ThreadPoolExecutor(THREADS)

    def open(self) -> Get:
        """See `Reader`."""
        loop = asyncio.get_running_loop()

        async def get(key: bytes) -> dict[str, Any] | None:
            answer: Any = await loop.run_in_executor(self._threads, partial(self._get, Key={"k": {"B": key}}))
            return answer.get("Item")

        return get

    async def close(self) -> None:
        """See `Reader`."""
        self._threads.shutdown(wait=False)


class Application:
    """Answers GET /v1/users/USER/status with the user's item."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._get: Get | None = None

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(self._reader.close())

    async def __rsgi__(self, scope: RsgiScope, exchange: RsgiExchange) -> None:
        if self._get is None:
            self._get = self._reader.open()
        user_id = scope.path.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        item = await self._get(user_key(0, user_id.encode()))
        body = json.dumps({"user_id": user_id, "item": item}, default=str).encode()
        exchange.response_bytes(200, _HEADERS, body)


def application(kind: str, endpoint: str, table: str) -> Application:
    """Make the application, in the process that serves it."""
    return Application({"aiodynamo": AiodynamoReader, "boto3": BotoReader}[kind](endpoint, table))


def main() -> None:
    kind, port, endpoint, table = sys.argv[1:]
    server = Server(
        "plain_reader",
        address="127.0.0.1",
        port=int(port),
        interface=Interfaces.RSGI,
        workers=1,
        runtime_mode=RuntimeModes.mt,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        backlog=1_024,
        log_level=LogLevels.warning,
    )
    server.serve(target_loader=partial(application, kind, endpoint, table), wrap_loader=False)


if __name__ == "__main__":
    main()
