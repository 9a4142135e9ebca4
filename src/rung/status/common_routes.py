"""The routes that are no user's: campaigns, events, health and metrics."""

from __future__ import annotations

import logging
import os
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rung.log.group_commit import GroupCommit
from rung.log.port import LogError
from rung.status.away import Shared
from rung.status.describe import describe
from rung.status.ingest import append, overloaded, read_events
from rung.status.lag import Lag, lag_events, measure_lag
from rung.status.metrics import CONTENT_TYPE, Exposition, RequestMetrics
from rung.status.problem import HEADERS, Problem
from rung.status.reader import StatusReader
from rung.status.services import Services
from rung.store.port import StoreBusy, StoreError

_log = logging.getLogger(__name__)


class CommonRoutes:
    """The routes that Starlette handles. Events are taken between `start` and `stop`."""

    def __init__(self, services: Services, reader: StatusReader, requests: RequestMetrics) -> None:
        """Take the services, and the request metrics to show."""
        self._services = services
        exposition = Exposition(services.store.counters, self._measured, requests, os.getpid())
        away = services.is_remote
        self._catalog = Shared(reader.catalog, is_remote=away)
        self._lag_events = Shared(lambda: lag_events(services.store, services.log), is_remote=away)
        self._lag = Shared(self._measured, is_remote=away)
        self._rendered = Shared(exposition.render, is_remote=away)
        self._group_commit: GroupCommit | None = None

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
            Route("/v1/events", self._events, methods=["POST"]),
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
        ]

    async def _campaigns(self, request: Request) -> Response:
        return _json(msgspec.json.encode(describe(await self._catalog())))

    async def _events(self, request: Request) -> Response:
        limits = self._services.limits
        assert self._group_commit is not None
        if await self._lag_events() > limits.lag_events_max:
            raise overloaded(f"More than {limits.lag_events_max:,} events wait to be applied")
        payloads = await read_events(request, limits)
        accepted = await append(self._group_commit, payloads)
        return _json(msgspec.json.encode(accepted), HTTPStatus.ACCEPTED)

    async def _healthz(self, request: Request) -> Response:
        return _json(b'{"status":"alive"}')

    async def _readyz(self, request: Request) -> Response:
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
