"""The routes that are no user's: campaigns, events, health and metrics."""

from __future__ import annotations

import asyncio
import logging
import os
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.access.permissions import Scope
from rung.access.subjects import Caller, user_for_service
from rung.log.group_commit import GroupCommit
from rung.log.port import LogError
from rung.status.after import last_offsets
from rung.status.away import Shared
from rung.status.describe import describe
from rung.status.gate import may
from rung.status.ingest import accepted, append, overloaded, read_events
from rung.status.lag import Lag, lag_events, measure_lag
from rung.status.metrics import CONTENT_TYPE, Exposition, RequestMetrics
from rung.status.openapi import openapi
from rung.status.pending import Ends
from rung.status.problem import HEADERS, Problem
from rung.status.questions import read_question
from rung.status.reader import JointReader, StatusReader
from rung.status.routes import USERS_STATUS
from rung.status.services import Services
from rung.status.users import UserDocuments
from rung.store.port import StoreBusy, StoreError

_log = logging.getLogger(__name__)


CALLER: Final = "rung.caller"
"""Where a request's scope has its caller."""
POSTS_MAX: Final = 64
"""Requests with events at once: each may hold a body of 16 MiB."""


class CommonRoutes:
    """The routes that Starlette handles. Events are taken between `start` and `stop`."""

    def __init__(
        self,
        services: Services,
        reader: StatusReader,
        joint: JointReader,
        documents: UserDocuments,
        ends: Ends,
        requests: RequestMetrics,
    ) -> None:
        """Take the services, what reads and renders statuses, and the request metrics to show."""
        self._services = services
        self._read = joint.read
        self._documents = documents
        self._ends = ends
        exposition = Exposition(services.store.counters, self._measured, requests, os.getpid())
        away = services.is_remote
        self._identity = Shared(services.log.identity, is_remote=services.log_is_remote)
        self._catalog = Shared(reader.catalog, is_remote=away)
        self._lag_events = Shared(lambda: lag_events(services.store, services.log), is_remote=away)
        self._lag = Shared(self._measured, is_remote=away)
        self._rendered = Shared(exposition.render, is_remote=away)
        self._group_commit: GroupCommit | None = None
        self._posting = 0

    def start(self) -> None:
        """Start to take events."""
        self._group_commit = GroupCommit(self._services.producer)

    def stop(self) -> None:
        """Append what waits, take no more, and release the services."""
        if self._group_commit is not None:
            self._group_commit.close()
            self._group_commit = None
        self._services.close()

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/v1/campaigns", self._campaigns),
            Route("/v1/users/status", self._users, methods=["POST"]),
            Route("/v1/events", self._events, methods=["POST"]),
            Route("/v1/openapi.json", self._openapi),
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
        ]

    async def _campaigns(self, request: Request) -> Response:
        return _json(msgspec.json.encode(describe(await self._catalog())))

    async def _events(self, request: Request) -> Response:
        if self._posting >= POSTS_MAX:
            raise overloaded("Events of as many requests are taken just now as the server has room for")
        self._posting += 1
        try:
            return await self._append(request)
        finally:
            self._posting -= 1

    async def _append(self, request: Request) -> Response:
        limits = self._services.limits
        assert self._group_commit is not None
        if await self._lag_events() > limits.lag_events_max:
            raise overloaded(f"More than {limits.lag_events_max:,} events wait to be applied")
        payloads = await read_events(request, limits)
        # Asked for before, so that nothing stands between the events and their answer.
        identity = await self._identity()
        positions = await append(self._group_commit, payloads)
        offsets = last_offsets(positions)
        self._ends.note(offsets)
        return _json(msgspec.json.encode(accepted(positions, offsets, identity)), HTTPStatus.ACCEPTED)

    async def _users(self, request: Request) -> Response:
        user_ids, query = await read_question(request)
        caller: Caller = request.scope[CALLER]
        # One of them was counted when the request was let in.
        self._services.gate.count(caller, len(user_ids) - 1)
        users = [user_for_service(caller, USERS_STATUS.permission, user_id) for user_id in user_ids]
        readings = await asyncio.gather(*map(self._read, users))
        return _json(self._documents.render_all(query, readings))

    async def _openapi(self, request: Request) -> Response:
        return _json(openapi())

    async def _healthz(self, request: Request) -> Response:
        return _json(b'{"status":"alive"}')

    async def _readyz(self, request: Request) -> Response:
        try:
            return await self._ready()
        except Problem as problem:
            # Who may not read metrics is told that much, and not why.
            if may(request.scope[CALLER], Scope.METRICS_READ):
                raise
            detail = "Events are not applied as they should be; a key with metrics:read is told more."
            raise Problem(problem.status, problem.code, detail) from None

    async def _ready(self) -> Response:
        try:
            lag = await self._lag()
        except (StoreError, StoreBusy, LogError):
            _log.exception("not_ready")
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "not_ready",
                "The store or the log cannot be read; the server's log has the details.",
            ) from None
        if lag.stuck:
            halted = ", ".join(f"{partition} ({reason.value})" for partition, reason in lag.stuck.items())
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "not_ready",
                f"Partitions that cannot go on: {halted}. Their statuses stay as of the last event applied.",
            )
        if lag.seconds > self._services.limits.lag_seconds_max:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "not_ready",
                f"An event has waited {lag.seconds:.0f} seconds to be applied: is the worker running?",
            )
        return _json(b'{"status":"ready"}')

    async def _metrics(self, request: Request) -> Response:
        return Response(await self._rendered(), headers={**HEADERS, "content-type": CONTENT_TYPE})

    def _measured(self) -> Lag:
        return measure_lag(self._services.store, self._services.log, self._services.clock)


def _json(body: bytes, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(body, status.value, headers=HEADERS, media_type="application/json")
