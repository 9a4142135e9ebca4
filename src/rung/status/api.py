"""The status API over a store and a log, for Granian (RSGI) and for every ASGI server.

    GET  /v1/users/{user_id}/status?at=&campaign=
    GET  /v1/users/{user_id}/campaigns/{campaign}?at=
    GET  /v1/campaigns
    POST /v1/events
    GET  /healthz  /readyz  /metrics  and the status page at /

Every error is problem+json. There is no authentication: it only answers to loopback names, and
`rung.status.serve` only binds loopback addresses.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Final, TypeAlias

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from rung.log.port import LogError
from rung.status.common_routes import CommonRoutes
from rung.status.hosts import is_loopback_host
from rung.status.metrics import RequestMetrics
from rung.status.page import page_routes
from rung.status.problem import HEADERS, MEDIA_TYPE, Problem, internal_error, problem_of
from rung.status.reader import JointReader, ReadElsewhere, StatusReader
from rung.status.rsgi import RsgiExchange, RsgiScope, answer_by_asgi
from rung.status.services import Limits, Services
from rung.status.users import Target, UserDocuments, question_of, target_of
from rung.store.port import StoreBusy

__all__ = ["Application", "Limits", "Services", "application"]

_log = logging.getLogger(__name__)

_OTHER: Final = "other"
_READ_THREADS: Final = 32
_WINDOW_SECONDS: Final = 0.003
_PATIENCE_SECONDS: Final = 0.02
_ANSWERED: Final = (Problem, StoreBusy, LogError, HTTPException, Exception)
_OK: Final = HTTPStatus.OK.value
_OK_HEADERS: Final = [("content-type", "application/json"), *HEADERS.items()]


_Answer: TypeAlias = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body."""


def application(services: Services) -> Application:
    """Return the API; the server starts and stops it."""
    return Application(services)


class Application:
    """The API. Under RSGI a user's status takes the shortest way; everything else is the same."""

    def __init__(self, services: Services) -> None:
        """Take the services, which must be open."""
        self._requests = RequestMetrics()
        reader = StatusReader(services.store, services.partitions or (lambda: len(services.log.ends())))
        self._standings = services.standings
        self._threads: Executor | None = None
        read_elsewhere: ReadElsewhere | None = None
        if services.standings is not None:
            read_elsewhere = partial(reader.read_in_loop, services.standings)
        elif services.is_remote:
            self._threads = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="read")
            read_elsewhere = partial(reader.read_in_thread, self._threads)
        self._reader = JointReader(
            reader,
            read_elsewhere,
            window_seconds=_WINDOW_SECONDS if services.store_is_remote else 0.0,
            patience_seconds=_PATIENCE_SECONDS if services.store_is_remote else 0.0,
        )
        self._documents = UserDocuments(services.clock)
        self._common = CommonRoutes(services, reader, self._requests)
        self._starlette = Starlette(
            routes=[*self._common.routes(), *page_routes()],
            exception_handlers=dict.fromkeys(_ANSWERED, _as_problem),
            lifespan=self._lifespan,
        )
        # A trailing slash is another path: a redirect would name the Host that the request names.
        self._starlette.router.redirect_slashes = False
        self._paths = {route.path for route in self._starlette.routes if isinstance(route, Route)}

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start, before the first request."""
        self._common.start()

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop, after the last request."""
        loop.run_until_complete(self._stop())

    async def __rsgi__(self, scope: RsgiScope, exchange: RsgiExchange) -> None:
        """Answer one request."""
        target = target_of(scope.path)
        if target is None:
            await answer_by_asgi(self, scope, exchange)
            return
        host: str | None = scope.headers.get("host")
        status, headers, body = await self._answer(
            target, scope.method, "" if host is None else host, scope.query_string.encode()
        )
        exchange.response_bytes(status, headers, body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI request, or run the lifespan."""
        if scope["type"] != "http":
            await self._starlette(scope, receive, send)
            return
        target = target_of(scope["path"])
        if target is None:
            await self._answer_common(scope, receive, send)
            return
        status, headers, body = await self._answer(
            target, scope["method"], _host_of(scope), scope["query_string"]
        )
        await Response(body, status, dict(headers))(scope, receive, send)

    async def _answer(self, target: Target, method: str, host: str, query_string: bytes) -> _Answer:
        """Answer a request of a user's route."""
        started = perf_counter()
        try:
            _check_host(host)
            question = question_of(method, target, query_string)
            reading = await self._reader.read(question.user_id)
            answer = _OK, _OK_HEADERS, self._documents.render(question, reading)
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                _log_failure(target.route)
                problem = internal_error()
            answer = _problem_answer(problem)
        self._requests.observe(target.route, answer[0], perf_counter() - started)
        return answer

    async def _answer_common(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of another route, or of none."""
        started = perf_counter()
        route = scope["path"] if scope["path"] in self._paths else _OTHER
        status = HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            _check_host(_host_of(scope))
            await self._starlette(scope, receive, send_and_see)
        except Problem as problem:
            await problem.response()(scope, receive, send_and_see)
        except Exception:
            # Starlette has answered with `_as_problem` and passes the error on for the log.
            _log_failure(route)
        self._requests.observe(route, status, perf_counter() - started)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        self._common.start()
        try:
            yield
        finally:
            await self._stop()

    async def _stop(self) -> None:
        if self._standings is not None:
            await self._standings.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        self._common.stop()


def _problem_answer(problem: Problem) -> _Answer:
    headers = [("content-type", MEDIA_TYPE), *problem.headers.items()]
    return problem.status.value, headers, problem.body()


def _host_of(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"host":
            return value.decode("latin-1")
    return ""


def _check_host(host: str) -> None:
    # A browser always names a host, so a request without one is not led astray by a web page.
    if host and not is_loopback_host(host):
        raise Problem(
            HTTPStatus.MISDIRECTED_REQUEST,
            "host_not_allowed",
            "Host: this server only answers to localhost and to loopback addresses.",
        )


def _log_failure(route: str) -> None:
    _log.exception("request_failed", extra={"route": route})


def _as_problem(request: Request, error: Exception) -> Response:
    if (problem := problem_of(error)) is not None:
        if not isinstance(error, Problem):
            _log.warning(problem.code, extra={"route": request.url.path, "cause": str(error)})
        return problem.response()
    if isinstance(error, HTTPException):
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED.value:
            allowed = (error.headers or {}).get("Allow", "")
            return Problem(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "method_not_allowed",
                f"This path takes {allowed}.",
                headers={"allow": allowed},
            ).response()
        status = HTTPStatus(error.status_code)
        return Problem(status, status.name.lower(), f"{status.description or status.phrase}.").response()
    return internal_error().response()
