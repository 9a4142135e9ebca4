"""What the routes of one user answer: statuses, explanations and streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Final, TypeAlias

import msgspec

from rung.access.subjects import AuthorisedUser, Caller
from rung.log.port import LogIdentity
from rung.status.after import After, bad_after, fingerprint, read_after
from rung.status.away import Shared
from rung.status.evaluate import UnknownCampaign
from rung.status.explanation import Explanation
from rung.status.gate import Gate
from rung.status.parameters import NOTHING_ASKED, read_explain_query, read_query
from rung.status.problem import HEADERS, unavailable
from rung.status.reader import JointReader
from rung.status.routes import OWN_EXPLANATION, OWN_STREAM, USER_EXPLANATION, USER_STREAM
from rung.status.services import Services
from rung.status.streams import Stream, Streams
from rung.status.users import (
    Target,
    UserDocuments,
    authorised,
    etag_of,
    is_current,
    unknown_campaign,
    with_campaign,
)

EXPLANATION_COST: Final = 10
"""As how many requests an explanation counts: it reads all that the log has of the user."""
EXPLANATIONS_MAX: Final = 2
"""Explanations under way at once."""
EXPLANATIONS_WAITING_MAX: Final = 8
EXPLANATION_SECONDS_MAX: Final = 30.0
_OK: Final = HTTPStatus.OK.value
_JSON: Final = ("content-type", "application/json")
_NOSNIFF: Final = ("x-content-type-options", "nosniff")
_NO_STORE: Final = [_JSON, *HEADERS.items()]
# Kept by nobody but the one who asked, and only used again once the server has said that it is current.
_PRIVATE: Final = [("cache-control", "private, no-cache"), _NOSNIFF, ("vary", "Authorization")]
_STREAM: Final = [("content-type", "text/event-stream"), ("x-accel-buffering", "no"), *HEADERS.items()]

Headers: TypeAlias = list[tuple[str, str]]
Answer: TypeAlias = tuple[int, Headers, "bytes | Stream | None"]
"""Status, headers and body: None is an answer without one."""


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A request: what servers of both kinds tell of it. `peer` tells the address that it comes from."""

    method: str
    query_string: bytes
    header: Callable[[str], str | None]
    peer: Callable[[], str]


class UserRoutes:
    """Answers the routes of one user, to callers who were let in. For one event loop."""

    def __init__(self, services: Services, gate: Gate, reader: JointReader, documents: UserDocuments) -> None:
        """Take what they stand on."""
        self._gate = gate
        self._read = reader.read
        self._documents = documents
        self._explain = services.explain
        self._streams = Streams(reader.read, documents, services.limits.streams_max)
        self._bound = Shared(services.store.bound, is_remote=services.store_is_remote)
        self._threads = ThreadPoolExecutor(EXPLANATIONS_MAX, thread_name_prefix="explain")
        self._explaining = 0

    def stop(self) -> None:
        """End the streams, and begin nothing more."""
        self.end_streams()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def end_streams(self) -> None:
        """Let every stream end, and tell why."""
        self._streams.stop()

    async def answer(self, target: Target, asked: Asked, caller: Caller) -> Answer:
        """Answer a request.

        Raises:
            NotAllowed: the caller may not.
            Problem: the request is wrong, or cannot be answered now.
            StoreError: the store cannot be read.
            StoreBusy: it does not answer.
        """
        user = authorised(caller, target)
        route = target.route
        if route is USER_STREAM or route is OWN_STREAM:
            return await self._stream(target, asked, caller, user)
        if route is USER_EXPLANATION or route is OWN_EXPLANATION:
            return await self._explanation(target, asked, caller, user)
        query = read_query(asked.query_string, route.parameters) if asked.query_string else NOTHING_ASKED
        query = with_campaign(target, query)
        if query.after is None:
            reading = await self._read(user)
        else:
            await self._check_log(query.after)
            reading = await read_after(self._read, user, query.after, query.wait_ms)
        body = self._documents.render(query, reading)
        etag = etag_of(body)
        known = asked.header("if-none-match")
        if known is not None and is_current(known, etag):
            return HTTPStatus.NOT_MODIFIED.value, [*_PRIVATE, ("etag", etag)], None
        return _OK, [_JSON, *_PRIVATE, ("etag", etag)], body

    async def _check_log(self, after: After) -> None:
        """Refuse positions in another log than the one that is applied; before the first event any may be."""
        bound = await self._bound()
        if bound is not None and fingerprint(LogIdentity(*bound)) != after.log:
            raise bad_after("it is of another log than the one that is applied; read without it.")

    async def _stream(self, target: Target, asked: Asked, caller: Caller, user: AuthorisedUser) -> Answer:
        query = read_query(asked.query_string, target.route.parameters)
        if asked.method == "HEAD":
            return _OK, _STREAM, None
        ended_by = partial(self._gate.ended_by, caller, asked.header("authorization") or "")
        return _OK, _STREAM, await self._streams.open(user, query, ended_by)

    async def _explanation(
        self, target: Target, asked: Asked, caller: Caller, user: AuthorisedUser
    ) -> Answer:
        query = read_explain_query(asked.query_string, target.route.parameters)
        self._gate.count(caller, EXPLANATION_COST - 1)
        if self._explaining >= EXPLANATIONS_MAX + EXPLANATIONS_WAITING_MAX:
            raise unavailable("overloaded", "Too many explanations are under way; ask again")
        self._explaining += 1
        explaining = asyncio.get_running_loop().run_in_executor(self._threads, self._explain, user, query)
        # A thread that is not waited for any more goes on, and keeps its place until then.
        explaining.add_done_callback(self._explained)
        try:
            async with asyncio.timeout(EXPLANATION_SECONDS_MAX):
                found = await asyncio.shield(explaining)
        except TimeoutError:
            raise unavailable("overloaded", "Explaining takes too long just now; ask again") from None
        except UnknownCampaign as error:
            raise unknown_campaign(error) from None
        return _OK, _NO_STORE, msgspec.json.encode(found)

    def _explained(self, explaining: asyncio.Future[Explanation]) -> None:
        self._explaining -= 1
        if not explaining.cancelled():
            # Looked at, so that nothing is said of an error that nobody waits for.
            explaining.exception()
