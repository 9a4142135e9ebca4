"""Every route of the API: who may ask, what it takes and what it answers. There is no other list.

What is not in this table is answered with 404 before anything else is looked at, and a handler without a
line here fails the start of the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final

import msgspec

from rung.access.permissions import Permission
from rung.status.explanation import Explanation
from rung.status.messages import (
    EVENTS_BYTES_MAX,
    JSON,
    NDJSON,
    Accepted,
    CatalogDescription,
    Health,
    UsersQuestion,
    UserStatuses,
)
from rung.status.view import UserStatus

QUESTION_BYTES_MAX: Final = 128 << 10
"""Room for `USERS_MAX` ids, even if each of their characters is escaped."""


class UnlistedRoute(Exception):
    """A handler has no line in the table of routes: nobody has said who may use it."""


@dataclass(frozen=True, slots=True)
class QueryParameter:
    """A parameter of a query; `schema` is its JSON schema."""

    name: str
    description: str
    schema: Mapping[str, object]
    example: str
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """A route: how it is asked, by whom, and what it answers.

    A GET route answers HEAD, too. `response` is the type of the JSON document, None for another media type.
    `problems` are the codes of `PROBLEMS` that this route has beyond those that every route has.
    """

    method: str
    path: str
    permission: Permission
    summary: str
    response: type[msgspec.Struct] | None
    status: HTTPStatus = HTTPStatus.OK
    response_media: str = JSON
    query: tuple[QueryParameter, ...] = ()
    request: type[msgspec.Struct] | None = None
    request_media: tuple[str, ...] = ()
    body_bytes_max: int = 0
    problems: tuple[str, ...] = ()

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of what a query may hold."""
        return tuple(parameter.name for parameter in self.query)


PROBLEMS: Final[Mapping[str, tuple[HTTPStatus, str]]] = {
    "bad_at": (HTTPStatus.BAD_REQUEST, "`at` is no time and no date."),
    "bad_after": (HTTPStatus.BAD_REQUEST, "`after` is not what POST /v1/events answered, or of another log."),
    "bad_body": (HTTPStatus.BAD_REQUEST, "The body is not the JSON document that this route takes."),
    "bad_campaign": (HTTPStatus.BAD_REQUEST, "No campaign can have such a name."),
    "bad_period": (HTTPStatus.BAD_REQUEST, "The period is none of the campaign's."),
    "bad_query": (HTTPStatus.BAD_REQUEST, "The query is not UTF-8, or not well escaped."),
    "bad_user_id": (HTTPStatus.BAD_REQUEST, "No user can have such an id."),
    "bad_version": (HTTPStatus.BAD_REQUEST, "The version is no number."),
    "bad_wait_ms": (HTTPStatus.BAD_REQUEST, "`wait_ms` is no number of milliseconds within the limit."),
    "incomplete_body": (HTTPStatus.BAD_REQUEST, "The body ended before the length that was announced."),
    "missing_parameter": (HTTPStatus.BAD_REQUEST, "A parameter that this route needs is missing."),
    "no_events": (HTTPStatus.BAD_REQUEST, "The body holds no event."),
    "repeated_parameter": (HTTPStatus.BAD_REQUEST, "A parameter is given twice."),
    "unknown_parameter": (HTTPStatus.BAD_REQUEST, "This route has no such parameter."),
    "bad_credentials": (HTTPStatus.UNAUTHORIZED, "The token or key is not taken here."),
    "missing_credentials": (HTTPStatus.UNAUTHORIZED, "The request has no Authorization header."),
    "token_expired": (HTTPStatus.UNAUTHORIZED, "The token was right, and has expired."),
    "missing_permission": (HTTPStatus.FORBIDDEN, "The token or key is not for this route."),
    "not_counted": (HTTPStatus.NOT_FOUND, "The campaign, or its version, does not count that period."),
    "not_found": (HTTPStatus.NOT_FOUND, "There is no such route."),
    "unknown_campaign": (HTTPStatus.NOT_FOUND, "There is no such campaign."),
    "method_not_allowed": (HTTPStatus.METHOD_NOT_ALLOWED, "This path takes another method."),
    "body_timeout": (HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time."),
    "length_required": (HTTPStatus.LENGTH_REQUIRED, "The request does not tell the length of its body."),
    "body_too_large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body, or something in it, is too large."),
    "url_too_long": (HTTPStatus.REQUEST_URI_TOO_LONG, "Path and query are too long."),
    "unsupported_media_type": (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is of another type."),
    "host_not_allowed": (HTTPStatus.MISDIRECTED_REQUEST, "The server does not go by that name."),
    "too_many_failures": (HTTPStatus.TOO_MANY_REQUESTS, "Too many wrong tokens or keys came from there."),
    "too_many_requests": (HTTPStatus.TOO_MANY_REQUESTS, "This caller asks too often."),
    "internal_error": (HTTPStatus.INTERNAL_SERVER_ERROR, "The server failed; its log has the details."),
    "keys_unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, "The issuer's keys cannot be read now."),
    "log_unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, "The log does not answer now."),
    "not_applied_yet": (HTTPStatus.SERVICE_UNAVAILABLE, "The events of `after` are not applied yet."),
    "not_ready": (HTTPStatus.SERVICE_UNAVAILABLE, "Events are not applied as they should be."),
    "overloaded": (HTTPStatus.SERVICE_UNAVAILABLE, "More is under way than the server bears."),
    "store_busy": (HTTPStatus.SERVICE_UNAVAILABLE, "The store does not answer now."),
    "too_many_streams": (HTTPStatus.SERVICE_UNAVAILABLE, "As many streams are open as may be."),
}
"""Every code of a problem, with its status and what it means."""

COMMON_PROBLEMS: Final = (
    *("url_too_long", "host_not_allowed", "method_not_allowed", "overloaded", "internal_error"),
)
"""What any route may answer."""
AUTHENTICATION_PROBLEMS: Final = (
    *("missing_credentials", "bad_credentials", "token_expired", "missing_permission"),
    *("too_many_failures", "too_many_requests", "keys_unavailable"),
)
"""What any route that is not open may answer."""

_AT: Final = QueryParameter(
    "at",
    "The time that chooses the periods: RFC 3339 with an offset, or a date, which starts in each campaign's "
    "time zone. The present, if left out.",
    {"type": "string"},
    "2021-08-01T00:00:00+09:00",
)
_CAMPAIGN: Final = QueryParameter(
    "campaign", "Only this campaign; else all of them.", {"type": "string", "maxLength": 256}, "step"
)
_AFTER: Final = QueryParameter(
    "after",
    "What POST /v1/events answered: the status then holds those events.",
    {"type": "string"},
    "AQAAAAAAAQE",
)
_WAIT_MS: Final = QueryParameter(
    "wait_ms",
    "How long to wait for the events of `after`, in milliseconds.",
    {"type": "integer", "minimum": 0, "maximum": 10_000, "default": 1_000},
    "2000",
)
_EXPLAINED: Final = (
    replace(_CAMPAIGN, description="The campaign.", is_required=True),
    QueryParameter(
        "period", "A counting period: 2021-08, 2021-W31 or 2021-08-01.", {"type": "string"}, "2021-08",
        is_required=True,
    ),
    QueryParameter(
        "version", "Another version than the period's own.", {"type": "integer", "minimum": 0}, "1"
    ),
)  # fmt: skip
_READ: Final = ("store_busy", "log_unavailable")
_ASKED: Final = ("unknown_parameter", "repeated_parameter", "bad_query")
_STATUS: Final = (*_ASKED, *_READ, "bad_at", "bad_after", "bad_wait_ms", "bad_campaign", "not_applied_yet")
_EXPLANATION: Final = (
    *(*_ASKED, *_READ, "bad_campaign", "bad_period", "bad_version", "missing_parameter", "not_counted"),
    "unknown_campaign",
)
_STREAM: Final = "text/event-stream"

OWN_STATUS: Final = ApiRoute(
    "GET", "/v1/me/status", Permission.OWN, "The status of the user whose token it is.", UserStatus,
    query=(_AT, _CAMPAIGN, _AFTER, _WAIT_MS), problems=(*_STATUS, "unknown_campaign"),
)  # fmt: skip
OWN_CAMPAIGN: Final = ApiRoute(
    "GET", "/v1/me/campaigns/{campaign}", Permission.OWN, "The same, of one campaign.", UserStatus,
    query=(_AT, _AFTER, _WAIT_MS), problems=(*_STATUS, "unknown_campaign"),
)  # fmt: skip
OWN_STREAM: Final = ApiRoute(
    "GET", "/v1/me/status/stream", Permission.OWN, "The status now, and at each change of it.", None,
    response_media=_STREAM, query=(_CAMPAIGN,),
    problems=(*_ASKED, *_READ, "bad_campaign", "unknown_campaign", "too_many_streams"),
)  # fmt: skip
OWN_EXPLANATION: Final = ApiRoute(
    "GET", "/v1/me/explain", Permission.OWN, "Each transaction of a period: counted or not, and why.",
    Explanation, query=_EXPLAINED, problems=_EXPLANATION,
)  # fmt: skip
USER_STATUS: Final = ApiRoute(
    "GET", "/v1/users/{user_id}/status", Permission.STATUS_READ, "The status of a user.", UserStatus,
    query=(_AT, _CAMPAIGN, _AFTER, _WAIT_MS), problems=(*_STATUS, "bad_user_id", "unknown_campaign"),
)  # fmt: skip
USER_CAMPAIGN: Final = ApiRoute(
    "GET", "/v1/users/{user_id}/campaigns/{campaign}", Permission.STATUS_READ, "The same, of one campaign.",
    UserStatus, query=(_AT, _AFTER, _WAIT_MS), problems=(*_STATUS, "bad_user_id", "unknown_campaign"),
)  # fmt: skip
USER_STREAM: Final = ApiRoute(
    "GET", "/v1/users/{user_id}/status/stream", Permission.STATUS_READ,
    "The status of a user now, and at each change of it.", None, response_media=_STREAM, query=(_CAMPAIGN,),
    problems=(*_ASKED, *_READ, "bad_user_id", "bad_campaign", "unknown_campaign", "too_many_streams"),
)  # fmt: skip
USER_EXPLANATION: Final = ApiRoute(
    "GET", "/v1/users/{user_id}/explain", Permission.EXPLAIN_READ,
    "Each transaction of a user's period: counted or not, and why.", Explanation, query=_EXPLAINED,
    problems=(*_EXPLANATION, "bad_user_id"),
)  # fmt: skip
USERS_STATUS: Final = ApiRoute(
    "POST", "/v1/users/status", Permission.STATUS_READ, "The statuses of up to 100 users.", UserStatuses,
    request=UsersQuestion, request_media=(JSON,), body_bytes_max=QUESTION_BYTES_MAX,
    problems=(
        *(*_ASKED, *_READ, "bad_body", "bad_user_id", "bad_at", "bad_campaign", "unknown_campaign"),
        *("incomplete_body", "body_timeout", "length_required", "body_too_large", "unsupported_media_type"),
    ),
)  # fmt: skip
CAMPAIGNS: Final = ApiRoute(
    "GET", "/v1/campaigns", Permission.SIGNED_IN, "The campaigns that statuses are of.", CatalogDescription,
    problems=(*_ASKED, "store_busy"),
)  # fmt: skip
EVENTS: Final = ApiRoute(
    "POST", "/v1/events", Permission.EVENTS_WRITE,
    "Appends one event (JSON) or many (NDJSON), durably.", Accepted, HTTPStatus.ACCEPTED,
    request_media=(JSON, NDJSON), body_bytes_max=EVENTS_BYTES_MAX,
    problems=(
        *(*_ASKED, *_READ, "no_events", "incomplete_body", "body_timeout", "length_required"),
        *("body_too_large", "unsupported_media_type"),
    ),
)  # fmt: skip
OPENAPI: Final = ApiRoute(
    "GET", "/v1/openapi.json", Permission.SIGNED_IN, "This description of the API.", None,
    response_media=JSON, problems=_ASKED,
)  # fmt: skip
HEALTH: Final = ApiRoute(
    "GET", "/healthz", Permission.OPEN, "Whether the process answers.", Health, problems=_ASKED
)
READY: Final = ApiRoute(
    "GET", "/readyz", Permission.OPEN,
    "Whether events are applied in time; a caller with metrics:read is told what is wrong.", Health,
    problems=(*_ASKED, "not_ready"),
)  # fmt: skip
METRICS: Final = ApiRoute(
    "GET", "/metrics", Permission.METRICS_READ, "Metrics for Prometheus.", None,
    response_media="text/plain; version=0.0.4; charset=utf-8", problems=_ASKED,
)  # fmt: skip

ROUTES: Final = (
    *(OWN_STATUS, OWN_CAMPAIGN, OWN_STREAM, OWN_EXPLANATION),
    *(USER_STATUS, USER_CAMPAIGN, USER_STREAM, USER_EXPLANATION, USERS_STATUS),
    *(CAMPAIGNS, EVENTS, OPENAPI, HEALTH, READY, METRICS),
)
"""The table."""


def routes_of(handled: Iterable[tuple[str, str]], routes: Iterable[ApiRoute] = ROUTES) -> dict[str, ApiRoute]:
    """Return the line of each path that has a handler; `handled` are methods and paths.

    Raises:
        UnlistedRoute: one has no line, or says not who may use it.
    """
    listed = {(route.method, route.path): route for route in routes}
    found: dict[str, ApiRoute] = {}
    for method, path in handled:
        route = listed.get((method, path))
        # The table may have been written without a type checker.
        if route is None or not isinstance(route.permission, Permission):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UnlistedRoute(f"{method} {path} has no permission in the table of routes")
        found[path] = route
    return found
