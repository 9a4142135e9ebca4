"""A proxy before DynamoDB Local that does what the real service and a real network do, and the emulator never.

It knows the operation of a request (`X-Amz-Target`) and its JSON body. Rules are switched at any time, from any
thread; each strikes a share of the requests, drawn from one seeded source. Counters and a log of requests prove
that a fault has happened:

| rule | what happens |
|---|---|
| delay | the request waits |
| blackhole | the request is read, and never answered |
| drop_before | the connection is closed, the request not forwarded |
| throttle | 400, one of the two ways to say "too much" |
| transaction_conflict | 400 TransactionCanceledException, with mixed reasons |
| server_error | 500 InternalServerError |
| strip_token | the ClientRequestToken is another one: the service does not know the repetition |
| unprocessed | half of a batch is forwarded, the other half returned as unprocessed |
| duplicate | a write is forwarded twice; the answer is that of the first or of the second |
| stale | a read that is not strongly consistent gets the answer that it got before, if that was another |
| drop_after | the request is forwarded, its answer thrown away: the outcome is unknown |
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final, Self, cast
from urllib.parse import urlsplit
from uuid import UUID

from faults import dynamo_errors
from faults.dynamo_batches import halved, with_unprocessed
from faults.dynamo_rules import Request, Rule, RuleName, Rules
from faults.http_messages import HEAD_BYTES_MAX, Message, answer, read_message
from faults.loop_thread import LOOPBACK, LoopThread

_REMEMBERED_MAX: Final = 4_096


class DynamoProxy:
    """A proxy on loopback; `endpoint` is what clients are given. A context manager.

    `requests` is the log of what came, in order of arrival; `lost_upstream` counts requests whose answer the
    emulator did not give, because it was down or went down.
    """

    def __init__(self, endpoint: str, seed: int = 0) -> None:
        target = urlsplit(endpoint)
        self._target = (target.hostname or LOOPBACK, target.port or 80)
        self._rules = Rules(seed)
        self._remembered: OrderedDict[bytes, bytes] = OrderedDict()
        self._loop = LoopThread("dynamo-proxy")
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.requests: list[Request] = []
        self.lost_upstream = 0

    @property
    def endpoint(self) -> str:
        """Return the address for clients."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self, port: int = 0) -> Self:
        """Listen, on a free port or the one given."""
        self._loop.start()
        self.port = self._loop.run(self._listen(port))
        return self

    def close(self) -> None:
        """End all connections and the proxy."""
        self._loop.run(self._shut())
        self._loop.close()

    def __enter__(self) -> Self:
        return self if self.port else self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def set(
        self,
        name: RuleName,
        share: float = 1.0,
        *,
        operations: Collection[str] | None = None,
        seconds: float = 0.0,
        times: int | None = None,
    ) -> None:
        """Put a rule into force: for a share of the requests, of some operations, at most so many times.

        `seconds` is how long a delay takes. A rule of the same name is replaced.
        """
        chosen = None if operations is None else frozenset(operations)
        self._rules.set(name, Rule(share, chosen, seconds, times))

    def clear(self, *names: RuleName) -> None:
        """Put rules out of force; without a name, all."""
        self._rules.clear(*names)

    def struck(self, name: RuleName, operation: str | None = None) -> int:
        """Return how often a rule has struck, any operation or one."""
        return sum(
            times
            for (rule, of), times in list(self._rules.struck.items())
            if rule == name and operation in {None, of}
        )

    def forwarded(self, *operations: str) -> int:
        """Return how many requests the emulator was given, of some operations or of all; twice counts twice."""
        return sum(
            request.forwarded
            for request in list(self.requests)
            if not operations or request.operation in operations
        )

    async def _listen(self, port: int) -> int:
        self._server = await asyncio.start_server(
            self._accept, LOOPBACK, port, limit=HEAD_BYTES_MAX, backlog=512
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def _shut(self) -> None:
        assert self._server is not None
        self._server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of the proxy's own: in Python 3.11 the one of asyncio's making complains when it is cancelled.
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = _Upstream(self._target)
        try:
            while (message := await read_message(reader)) is not None:
                reply = await self._handle(message, upstream)
                if reply is None:
                    break
                writer.write(reply.encode())
                await writer.drain()
        except ConnectionError:
            # The client has gone, in the midst of a request or of its answer: nobody is left to be told.
            pass
        finally:
            upstream.close()
            # No goodbye: what a client sees is a connection that broke.
            writer.transport.abort()

    async def _handle(self, message: Message, upstream: _Upstream) -> Message | None:
        """Return the answer to a request; None closes the connection."""
        content: Any = json.loads(message.body or b"{}")
        request = Request(message.header("x-amz-target").rpartition(".")[2], content)
        self.requests.append(request)
        drawn = self._rules.draw(request)
        if "delay" in drawn:
            self._rules.count("delay", request)
            await asyncio.sleep(drawn["delay"].seconds)
        if "blackhole" in drawn:
            self._rules.count("blackhole", request)
            await asyncio.get_running_loop().create_future()
        if "drop_before" in drawn:
            self._rules.count("drop_before", request)
            return None
        refusal = self._refused(request, drawn)
        if refusal is not None:
            request.statuses.append(refusal.status)
            return refusal
        try:
            reply = await self._forwarded(message.without("accept-encoding"), request, drawn, upstream)
        except OSError:
            # As without a proxy: the client's connection breaks when the emulator's does.
            self.lost_upstream += 1
            return None
        if "drop_after" in drawn:
            self._rules.count("drop_after", request)
            return None
        return reply

    def _refused(self, request: Request, drawn: dict[RuleName, Rule]) -> Message | None:
        """Return the answer of a service that does not do the request."""
        number = len(self.requests)
        if "throttle" in drawn:
            self._rules.count("throttle", request)
            return answer(400, dynamo_errors.throttled(self._rules.random), number)
        if "transaction_conflict" in drawn:
            self._rules.count("transaction_conflict", request)
            items = len(request.body["TransactItems"])
            return answer(400, dynamo_errors.canceled(items, self._rules.random), number)
        if "server_error" in drawn:
            self._rules.count("server_error", request)
            return answer(500, dynamo_errors.server_error(), number)
        return None

    async def _forwarded(
        self, message: Message, request: Request, drawn: dict[RuleName, Rule], upstream: _Upstream
    ) -> Message:
        """Have the emulator do the request, or what the rules make of it."""
        if "strip_token" in drawn and "ClientRequestToken" in request.body:
            self._rules.count("strip_token", request)
            token = str(UUID(int=self._rules.random.getrandbits(128)))
            message = message.with_body(json.dumps({**request.body, "ClientRequestToken": token}).encode())
        left_out: dict[str, Any] = {}
        if "unprocessed" in drawn:
            kept, left_out = halved(request)
            if left_out:
                self._rules.count("unprocessed", request)
                message = message.with_body(json.dumps(kept).encode())
        replies = [await upstream.ask(message, request)]
        if "duplicate" in drawn:
            self._rules.count("duplicate", request)
            replies.append(await upstream.ask(message, request))
        reply = self._rules.random.choice(replies) if len(replies) > 1 else replies[0]
        if left_out and reply.status == 200:
            return with_unprocessed(reply, left_out)
        return self._perhaps_stale(message.body, reply, request, is_drawn="stale" in drawn)

    def _perhaps_stale(self, key: bytes, reply: Message, request: Request, *, is_drawn: bool) -> Message:
        """Remember the answer to a read, or give the one that is remembered."""
        if reply.status != 200 or not _may_be_stale(request):
            return reply
        earlier = self._remembered.get(key)
        if is_drawn and earlier is not None and earlier != reply.body:
            self._rules.count("stale", request)
            return reply.with_body(earlier)
        self._remembered[key] = reply.body
        self._remembered.move_to_end(key)
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return reply


class _Upstream:
    """The connection to the emulator that belongs to a client's."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, message: Message, request: Request) -> Message:
        """Send a request and return the answer.

        Raises:
            OSError: there is none.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._target, limit=HEAD_BYTES_MAX)
        reader, writer = self._streams
        writer.write(message.encode())
        request.forwarded += 1
        reply = await read_message(reader)
        if reply is None:
            raise ConnectionResetError("the emulator closed the connection")
        request.statuses.append(reply.status)
        return reply

    def close(self) -> None:
        if self._streams is not None:
            with suppress(RuntimeError):
                self._streams[1].transport.abort()


def _may_be_stale(request: Request) -> bool:
    """Whether the service may give an old answer: never to a read that asks for a consistent one."""
    if request.operation == "GetItem":
        return not request.body.get("ConsistentRead", False)
    if request.operation == "BatchGetItem":
        tables = cast("dict[str, dict[str, Any]]", request.body["RequestItems"])
        return not any(table.get("ConsistentRead", False) for table in tables.values())
    return False
