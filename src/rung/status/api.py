"""The status API over a store and a log, for Granian (RSGI) and for every ASGI server.

`rung.status.routes` lists what there is, and who may ask. Every request passes the gate
(`rung.status.gate`), and every error is problem+json.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers as RequestHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from rung.access.permissions import Permission
from rung.access.subjects import NOBODY, Caller, NotAllowed
from rung.log.port import LogError
from rung.status.common_routes import CALLER, CommonRoutes
from rung.status.gate import not_allowed
from rung.status.metrics import RequestMetrics
from rung.status.origins import Origins
from rung.status.page import page_routes
from rung.status.parameters import read_parameters
from rung.status.pending import Ends
from rung.status.problem import HEADERS, MEDIA_TYPE, Problem, internal_error, method_not_allowed, problem_of
from rung.status.reader import JointReader, ReadElsewhere, StatusReader
from rung.status.routes import ApiRoute, routes_of
from rung.status.rsgi import RsgiExchange, RsgiScope, answer_by_asgi
from rung.status.services import Limits, Services
from rung.status.streams import Stream
from rung.status.user_routes import Answer, Asked, Headers, UserRoutes
from rung.status.users import Target, UserDocuments, target_of
from rung.store.port import StoreBusy

__all__ = ["Application", "Limits", "Services", "application"]

_log = logging.getLogger(__name__)

_OTHER: Final = "other"
_READ_THREADS: Final = 32
_WINDOW_SECONDS: Final = 0.003
_PATIENCE_SECONDS: Final = 0.02
_ANSWERED: Final = (Problem, StoreBusy, LogError, HTTPException, Exception)
_GET: Final = frozenset({"GET", "HEAD"})


def application(services: Services) -> Application:
    """Return the API; the server starts and stops it.

    Raises:
        UnlistedRoute: a route is not in the table, or says not who may use it.
    """
    return Application(services)


class Application:
    """The API. Under RSGI a user's status takes the shortest way; everything else is the same."""

    def __init__(self, services: Services) -> None:
        """Take the services, which must be open."""
        self._gate = services.gate
        self._origins = Origins(services.allowed_origins)
        self._has_origins = bool(services.allowed_origins)
        self._requests = RequestMetrics()
        reader = StatusReader(services.store, services.partitions or (lambda: len(services.log.ends())))
        self._standings = services.standings
        self._threads: Executor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        read_elsewhere: ReadElsewhere | None = None
        if services.standings is not None:
            read_elsewhere = partial(reader.read_in_loop, services.standings)
        elif services.is_remote:
            self._threads = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="read")
            read_elsewhere = partial(reader.read_in_thread, self._threads)
        joint = JointReader(
            reader,
            read_elsewhere,
            window_seconds=_WINDOW_SECONDS if services.store_is_remote else 0.0,
            patience_seconds=_PATIENCE_SECONDS if services.store_is_remote else 0.0,
        )
        ends = Ends(services.log.ends, is_remote=services.log_is_remote)
        documents = UserDocuments(services.clock, ends.is_pending)
        self._users = UserRoutes(services, self._gate, joint, documents)
        self._common = CommonRoutes(services, reader, joint, documents, ends, self._requests)
        pages, routes = page_routes(), self._common.routes()
        self._pages = {route.path for route in pages}
        self._routes = routes_of(
            (method, route.path) for route in routes for method in sorted((route.methods or set()) - {"HEAD"})
        )
        self._starlette = Starlette(
            routes=[*routes, *pages],
            exception_handlers=dict.fromkeys(_ANSWERED, _as_problem),
            lifespan=self._lifespan,
        )
        # A trailing slash is another path: a redirect would name the Host that the request names.
        self._starlette.router.redirect_slashes = False

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start, before the first request."""
        self._loop = loop
        self._common.start()

    def end_streams(self) -> None:
        """End all streams, from any thread: the server stops, and waits for what is under way."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._users.end_streams)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop, after the last request."""
        loop.run_until_complete(self._stop())

    async def __rsgi__(self, scope: RsgiScope, exchange: RsgiExchange) -> None:
        """Answer one request."""
        # Each attribute of the scope is made anew when it is asked for.
        path = scope.path
        target = target_of(path)
        if target is None:
            await answer_by_asgi(self, scope, exchange)
            return
        query_string = scope.query_string.encode()
        asked = Asked(scope.method, query_string, scope.headers.get, lambda: scope.client)
        status, headers, body = await self._answer(target, asked, len(path) + len(query_string))
        if isinstance(body, bytes):
            exchange.response_bytes(status, headers, body)
        elif body is None:
            exchange.response_empty(status, headers)
        else:
            await _send_stream(body, exchange, status, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI request, or run the lifespan."""
        if scope["type"] != "http":
            await self._starlette(scope, receive, send)
            return
        target = target_of(scope["path"])
        url_bytes = len(scope["path"]) + len(scope["query_string"])
        asked = Asked(
            scope["method"],
            scope["query_string"],
            RequestHeaders(scope=scope).get,
            lambda: "{}:{}".format(*(scope.get("client") or ("", 0))),
        )
        if target is None:
            await self._answer_common(asked, url_bytes, scope, receive, send)
            return
        status, headers, body = await self._answer(target, asked, url_bytes)
        await _send_asgi(status, headers, body, send)

    async def _answer(self, target: Target, asked: Asked, url_bytes: int) -> Answer:
        """Answer a request of a user's route."""
        started = perf_counter()
        gate, route, entered = self._gate, target.route, False
        try:
            gate.enter(asked.header("host") or "", url_bytes)
            entered = True
            if asked.method not in _GET:
                answer = self._preflight(route, asked)
            else:
                authorization = asked.header("authorization")
                caller = gate.known(authorization)
                if caller is None:
                    caller = await gate.identify(authorization, self._client_of(asked))
                gate.admit(caller, route.permission)
                answer = await self._users.answer(target, asked, caller)
        except NotAllowed as error:
            answer = _problem_answer(not_allowed(NOBODY, error.permission))
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                _log_failure(route.path)
                problem = internal_error()
            answer = _problem_answer(problem)
        finally:
            if entered:
                gate.leave()
        if self._has_origins:
            status, headers, body = answer
            answer = status, [*headers, *self._origins.headers(route, asked.header("origin"))], body
        self._requests.observe(route.path, answer[0], perf_counter() - started)
        return answer

    def _preflight(self, route: ApiRoute, asked: Asked) -> Answer:
        """Answer a method that is none of a GET route's: only a browser that asks first is told more."""
        headers = None
        if asked.method == "OPTIONS":
            headers = self._origins.preflight(route, asked.header("origin"))
        if headers is None:
            raise method_not_allowed("GET, HEAD")
        return HTTPStatus.NO_CONTENT.value, [*HEADERS.items(), *headers], None

    def _client_of(self, asked: Asked) -> str:
        """Return the address that a request comes from, as the proxy tells it if there is one."""
        name = self._gate.client_header
        if name:
            return (asked.header(name) or "").rpartition(",")[2]
        return asked.peer().rpartition(":")[0]

    async def _answer_common(
        self, asked: Asked, url_bytes: int, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request of another route, or of none."""
        started = perf_counter()
        route = self._routes.get(scope["path"])
        is_page = scope["path"] in self._pages
        status, entered = HTTPStatus.INTERNAL_SERVER_ERROR.value, False

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._has_origins and route is not None:
                    added = self._origins.headers(route, asked.header("origin"))
                    message["headers"] = [*message["headers"], *_encoded(added)]
            await send(message)

        try:
            self._gate.enter(asked.header("host") or "", url_bytes)
            entered = True
            if route is not None:
                caller = await self._let_in(route, asked)
                if caller is None:
                    code, headers, body = self._preflight(route, asked)
                    await _send_asgi(code, headers, body, send_and_see)
                    return
                await self._starlette({**scope, CALLER: caller}, receive, send_and_see)
            elif is_page:
                if asked.method not in _GET:
                    raise method_not_allowed("GET, HEAD")
                await self._starlette(scope, receive, send_and_see)
            else:
                raise Problem(HTTPStatus.NOT_FOUND, "not_found", "Nothing matches the given URI.")
        except Problem as problem:
            await problem.response()(scope, receive, send_and_see)
        except Exception:
            # Starlette has answered with `_as_problem` and passes the error on for the log.
            _log_failure(scope["path"] if route is not None else _OTHER)
        finally:
            if entered:
                self._gate.leave()
            named = scope["path"] if route is not None or is_page else _OTHER
            self._requests.observe(named, status, perf_counter() - started)

    async def _let_in(self, route: ApiRoute, asked: Asked) -> Caller | None:
        """Return who asks for a route, if they may; None for a browser that asks first.

        Raises:
            Problem: they may not, or ask wrongly.
        """
        if asked.method not in (_GET if route.method == "GET" else {route.method}):
            if asked.method == "OPTIONS" and self._origins.preflight(route, asked.header("origin")):
                return None
            raise method_not_allowed("GET, HEAD" if route.method == "GET" else route.method)
        authorization = asked.header("authorization")
        if route.permission is Permission.OPEN and authorization is None:
            caller = NOBODY
        else:
            caller = self._gate.known(authorization)
            if caller is None:
                caller = await self._gate.identify(authorization, self._client_of(asked))
        self._gate.admit(caller, route.permission)
        read_parameters(asked.query_string, route.parameters)
        return caller

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        self._common.start()
        try:
            yield
        finally:
            await self._stop()

    async def _stop(self) -> None:
        self._users.stop()
        if self._standings is not None:
            await self._standings.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        self._common.stop()


async def _send_stream(stream: Stream, exchange: RsgiExchange, status: int, headers: Headers) -> None:
    """Send a stream until it ends, or its client has gone."""
    try:
        transport = exchange.response_stream(status, headers)
        async with aclosing(stream.pieces()) as pieces:
            async for piece in pieces:
                await transport.send_bytes(piece)
    except RuntimeError:
        # The server says so of a client that has gone; whoever looks on no more misses nothing.
        _log.info("stream_left")
    finally:
        stream.close()


async def _send_asgi(status: int, headers: Headers, body: bytes | Stream | None, send: Send) -> None:
    if not isinstance(body, Stream):
        headers = headers if body is None else [*headers, ("content-length", str(len(body)))]
        await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
        await send({"type": "http.response.body", "body": body or b""})
        return
    try:
        await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
        async with aclosing(body.pieces()) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        body.close()


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _problem_answer(problem: Problem) -> Answer:
    headers = [("content-type", MEDIA_TYPE), *problem.headers.items()]
    return problem.status.value, headers, problem.body()


def _log_failure(route: str) -> None:
    _log.exception("request_failed", extra={"route": route})


def _as_problem(request: Request, error: Exception) -> Response:
    if (problem := problem_of(error)) is not None:
        if not isinstance(error, Problem):
            _log.warning(problem.code, extra={"route": request.url.path, "cause": str(error)})
        return problem.response()
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        return Problem(status, status.name.lower(), f"{status.description or status.phrase}.").response()
    return internal_error().response()
