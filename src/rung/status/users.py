"""The routes of one user: matched and answered without a framework, because they are the busy ones."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import msgspec

from rung.status.evaluate import UnknownCampaign
from rung.status.parameters import check_campaign_name, check_user_id, read_query
from rung.status.problem import Problem
from rung.status.reader import JointReader

ROUTE_STATUS: Final = "/v1/users/{user_id}/status"
ROUTE_CAMPAIGN: Final = "/v1/users/{user_id}/campaigns/{campaign}"
_PREFIX: Final = "/v1/users/"
_STATUS: Final = "/status"
_CAMPAIGNS: Final = "/campaigns/"
_METHODS: Final = frozenset({"GET", "HEAD"})


class Target(msgspec.Struct, frozen=True, gc=False):
    """What a path names."""

    route: str
    user_id: str
    campaign: str | None


def target_of(path: str) -> Target | None:
    """Return what an unescaped path names, None if it is none of a user's.

    Servers unescape paths, so a slash in an id looks like any other: an id may hold slashes, and
    all between the first part of a path and its last is the id.
    """
    if not path.startswith(_PREFIX):
        return None
    rest = path[len(_PREFIX) :]
    if rest.endswith(_STATUS) and not rest.endswith(_CAMPAIGNS + "status"):
        return Target(ROUTE_STATUS, rest[: -len(_STATUS)], None)
    user_id, found, campaign = rest.rpartition(_CAMPAIGNS)
    if not found or not campaign or "/" in campaign:
        return None
    return Target(ROUTE_CAMPAIGN, user_id, campaign)


class UserRoutes:
    """Answers `GET /v1/users/{user_id}/status` and `GET /v1/users/{user_id}/campaigns/{campaign}`."""

    def __init__(self, reader: JointReader, clock: Callable[[], int]) -> None:
        """Take the reader, and a clock in microseconds since the epoch for requests without `at`."""
        self._reader = reader
        self._clock = clock
        self._encode = msgspec.json.Encoder().encode

    async def answer(self, method: str, target: Target, query_string: bytes) -> bytes:
        """Return the status document that a request asks for.

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
        user_id = check_user_id(target.user_id)
        at, campaign = read_query(query_string)
        if target.campaign is not None:
            if campaign is not None:
                raise Problem(
                    HTTPStatus.BAD_REQUEST,
                    "repeated_parameter",
                    "campaign: the path names it already; leave it out here.",
                )
            campaign = check_campaign_name(target.campaign)
        reading = await self._reader.read(user_id)
        try:
            return self._encode(reading.status(self._clock() if at is None else at, campaign))
        except UnknownCampaign as error:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                "unknown_campaign",
                f"campaign: none is named {error.name[:64]!r}; GET /v1/campaigns lists them.",
                suggestion=error.suggestion,
            ) from None
