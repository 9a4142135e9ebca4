"""The routes of one user: matched and answered without a framework, because they are the busy ones."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import msgspec

from rung.status.evaluate import UnknownCampaign
from rung.status.parameters import Query, read_campaign_name, read_query, read_user_id
from rung.status.problem import Problem
from rung.status.reader import StatusReader

PREFIX: Final = b"/v1/users/"
ROUTE_STATUS: Final = "/v1/users/{user_id}/status"
ROUTE_CAMPAIGN: Final = "/v1/users/{user_id}/campaigns/{campaign}"
_METHODS: Final = frozenset({"GET", "HEAD"})


class UserRoutes:
    """Answers `GET /v1/users/{user_id}/status` and `GET /v1/users/{user_id}/campaigns/{campaign}`.

    Paths are matched before they are unescaped, so that an id may hold any character.
    """

    def __init__(self, reader: StatusReader, clock: Callable[[], int]) -> None:
        """Take the reader, and a clock in microseconds since the epoch for requests without `at`."""
        self._reader = reader
        self._clock = clock
        self._encode = msgspec.json.Encoder().encode

    def route(self, raw_path: bytes) -> str | None:
        """Return the route of a path that starts with `PREFIX`, None if there is none."""
        match raw_path.split(b"/")[3:]:
            case [_, b"status"]:
                return ROUTE_STATUS
            case [_, b"campaigns", _]:
                return ROUTE_CAMPAIGN
            case _:
                return None

    def answer(self, method: str, raw_path: bytes, query_string: bytes) -> bytes:
        """Return the status document that a path with a route asks for.

        Raises:
            Problem: 400, 404 or 405; the detail names the place and the fix.
        """
        if method not in _METHODS:
            raise Problem(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This path takes GET and HEAD.",
                headers={"allow": "GET, HEAD"},
            )
        segments = raw_path.split(b"/")
        user_id = read_user_id(segments[3])
        query = read_query(query_string)
        campaign = query.campaign
        if len(segments) == 6:
            campaign = _campaign_of_path(segments[5], query)
        at = self._clock() if query.at is None else query.at
        try:
            return self._encode(self._reader.status(user_id, at, campaign))
        except UnknownCampaign as error:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                "unknown_campaign",
                f"campaign: none is named {error.name[:64]!r}; GET /v1/campaigns lists them.",
                suggestion=error.suggestion,
            ) from None


def _campaign_of_path(segment: bytes, query: Query) -> str:
    if query.campaign is not None:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "repeated_parameter",
            "campaign: the path names it already; leave it out here.",
        )
    return read_campaign_name(segment)
