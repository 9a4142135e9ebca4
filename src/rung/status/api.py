"""The status API: an ASGI application over a store and a log.

    GET  /v1/users/{user_id}/status?at=&campaign=
    GET  /v1/users/{user_id}/campaigns/{campaign}?at=
    GET  /v1/campaigns
    POST /v1/events
    GET  /healthz  /readyz  /metrics  and the status page at /

Every error is problem+json. There is no authentication: it only answers to loopback names, and
`rung.status.serve` only binds loopback addresses.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from time import perf_counter
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rung.log.group_commit import GroupCommit
from rung.log.port import LogError, Producer
from rung.status import users
from rung.status.describe import describe
from rung.status.hosts import is_loopback_host
from rung.status.ingest import append, overloaded, read_events
from rung.status.lag import LogState, lag_events, measure_lag
from rung.status.metrics import CONTENT_TYPE, Exposition, RequestMetrics
from rung.status.page import page_routes
from rung.status.problem import MEDIA_TYPE, Problem, internal_error
from rung.status.reader import StatusReader
from rung.store.port import Store, StoreError

_log = logging.getLogger(__name__)

_HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_JSON: Final = "application/json"
_OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the API bears.

    `body_*_max` bound one request. With more than `lag_events_max` events waiting to be applied it
    takes no further ones; with one that waits longer than `lag_seconds_max` it is not ready.
    """

    body_bytes_max: int = 16 << 20
    body_lines_max: int = 200_000
    lag_events_max: int = 5_000_000
    lag_seconds_max: float = 60.0


@dataclass(frozen=True, slots=True)
class Services:
    """What the API stands on.

    `clock` gives microseconds since the epoch. `close` is called when the server stops, after the
    last request and the last append.
    """

    store: Store
    log: LogState
    producer: Producer
    clock: Callable[[], int]
    close: Callable[[], None]
    limits: Limits = field(default_factory=Limits)


def application(services: Services) -> ASGIApp:
    """Return the API as an ASGI application; the server runs its lifespan."""
    return _Application(services)


class _Application:
    def __init__(self, services: Services) -> None:
        self._requests = RequestMetrics()
        reader = StatusReader(services.store, len(services.log.ends()))
        self._users = users.UserRoutes(reader, services.clock)
        self._others = _Others(services, reader, self._requests)
        self._starlette = Starlette(
            routes=[*self._others.routes(), *page_routes()],
            exception_handlers={Problem: _as_problem, HTTPException: _as_problem, Exception: _as_problem},
            lifespan=self._others.lifespan,
        )
        # A trailing slash is another path: a redirect would name the Host that the request names.
        self._starlette.router.redirect_slashes = False
        self._paths = {route.path for route in self._starlette.routes if isinstance(route, Route)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the lifespan."""
        if scope["type"] != "http":
            await self._starlette(scope, receive, send)
            return
        started = perf_counter()
        raw_path: bytes = scope["raw_path"]
        route = self._users.route(raw_path) if raw_path.startswith(users.PREFIX) else None
        if route is not None:
            await self._answer_user(route, scope, send, started)
        else:
            await self._answer_other(scope, receive, send, started)

    async def _answer_user(self, route: str, scope: Scope, send: Send, started: float) -> None:
        try:
            _check_host(scope)
            body = self._users.answer(scope["method"], scope["raw_path"], scope["query_string"])
            start = _OK
        except Problem as problem:
            start, body = _problem_messages(problem)
        except Exception:
            _log_failure(route)
            start, body = _problem_messages(internal_error())
        self._requests.observe(route, start["status"], perf_counter() - started)
        await send(start)
        await send({"type": "http.response.body", "body": body})

    async def _answer_other(self, scope: Scope, receive: Receive, send: Send, started: float) -> None:
        route = scope["path"] if scope["path"] in self._paths else _OTHER
        status = HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            _check_host(scope)
            await self._starlette(scope, receive, send_and_see)
        except Problem as problem:
            await problem.response()(scope, receive, send_and_see)
        except Exception:
            # Starlette has answered with `_as_problem` and passes the error on for the log.
            _log_failure(route)
        self._requests.observe(route, status, perf_counter() - started)


class _Others:
    """The routes that Starlette handles."""

    def __init__(self, services: Services, reader: StatusReader, requests: RequestMetrics) -> None:
        self._services = services
        self._reader = reader
        self._exposition = Exposition(
            services.store.counters,
            lambda: measure_lag(services.store, services.log, services.clock),
            requests,
            os.getpid(),
        )
        self._group_commit: GroupCommit | None = None

    def routes(self) -> list[Route]:
        return [
            Route("/v1/campaigns", self.campaigns),
            Route("/v1/events", self.events, methods=["POST"]),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
        ]

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncGenerator[None]:
        self._group_commit = GroupCommit(self._services.producer)
        try:
            yield
        finally:
            self._group_commit.close()
            self._services.close()

    async def campaigns(self, request: Request) -> Response:
        return Response(
            msgspec.json.encode(describe(self._reader.catalog())), headers=_HEADERS, media_type=_JSON
        )

    async def events(self, request: Request) -> Response:
        limits, store, log = self._services.limits, self._services.store, self._services.log
        assert self._group_commit is not None
        if lag_events(store, log) > limits.lag_events_max:
            raise overloaded(f"More than {limits.lag_events_max:,} events wait to be applied")
        payloads = await read_events(request, limits.body_bytes_max, limits.body_lines_max)
        accepted = await append(self._group_commit, payloads)
        return Response(
            msgspec.json.encode(accepted), HTTPStatus.ACCEPTED.value, headers=_HEADERS, media_type=_JSON
        )

    async def healthz(self, request: Request) -> Response:
        return Response(b'{"status":"alive"}', headers=_HEADERS, media_type=_JSON)

    async def readyz(self, request: Request) -> Response:
        try:
            lag = measure_lag(self._services.store, self._services.log, self._services.clock)
        except (StoreError, LogError):
            _log.exception("not_ready")
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "not_ready",
                "The store or the log cannot be read; the server's log has the details.",
            ) from None
        if lag.seconds > self._services.limits.lag_seconds_max:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "not_ready",
                f"An event has waited {lag.seconds:.0f} seconds to be applied: is the worker running?",
            )
        return Response(b'{"status":"ready"}', headers=_HEADERS, media_type=_JSON)

    async def metrics(self, request: Request) -> Response:
        return Response(self._exposition.render(), headers={**_HEADERS, "content-type": CONTENT_TYPE})


def _start(status: int, media_type: str, headers: dict[str, str]) -> Message:
    named = {"content-type": media_type, **headers}
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }


_OK: Final = _start(HTTPStatus.OK.value, _JSON, _HEADERS)


def _problem_messages(problem: Problem) -> tuple[Message, bytes]:
    return _start(problem.status.value, MEDIA_TYPE, problem.headers), problem.body()


def _check_host(scope: Scope) -> None:
    for name, value in scope["headers"]:
        if name == b"host" and not is_loopback_host(value):
            raise Problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                "host_not_allowed",
                "Host: this server only answers to localhost and to loopback addresses.",
            )


def _log_failure(route: str) -> None:
    _log.exception("request_failed", extra={"route": route})


def _as_problem(request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return error.response()
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
