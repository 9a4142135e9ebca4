"""The routes of one user: matched and answered without a framework, because they are the busy ones."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import msgspec

from rung.campaign.calendar import Period
from rung.status.evaluate import UnknownCampaign
from rung.status.parameters import check_campaign_name, check_user_id, read_query
from rung.status.problem import Problem
from rung.status.reader import Reading

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


class Question(msgspec.Struct, frozen=True, gc=False):
    """What a request asks, checked; `at` None is the present."""

    user_id: bytes
    at: int | Period | None
    campaign: str | None


def question_of(method: str, target: Target, query_string: bytes) -> Question:
    """Return what a request asks.

    Raises:
        Problem: 400 or 405; the detail names the place and the fix.
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
    return Question(user_id, at, campaign)


class UserDocuments:
    """Renders what a reading answers to a question."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """Take a clock in microseconds since the epoch, for questions about the present."""
        self._clock = clock
        self._encode = msgspec.json.Encoder().encode

    def render(self, question: Question, reading: Reading) -> bytes:
        """Return the status document.

        Raises:
            Problem: 404, there is no such campaign.
        """
        at = self._clock() if question.at is None else question.at
        try:
            return self._encode(reading.status(at, question.campaign))
        except UnknownCampaign as error:
            raise Problem(
                HTTPStatus.NOT_FOUND,
                "unknown_campaign",
                f"campaign: none is named {error.name[:64]!r}; GET /v1/campaigns lists them.",
                suggestion=error.suggestion,
            ) from None
