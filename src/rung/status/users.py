"""The routes of one user: matched and answered without a framework, because they are the busy ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final

import msgspec
import xxhash
from msgspec import UnsetType

from rung.access.subjects import AuthorisedUser, Caller, own_user, user_for_service
from rung.status.evaluate import UnknownCampaign
from rung.status.parameters import Query, check_campaign_name, check_user_id
from rung.status.problem import Problem
from rung.status.reader import Reading
from rung.status.routes import (
    OWN_CAMPAIGN,
    OWN_EXPLANATION,
    OWN_STATUS,
    OWN_STREAM,
    USER_CAMPAIGN,
    USER_EXPLANATION,
    USER_STATUS,
    USER_STREAM,
    ApiRoute,
    UserStatuses,
)
from rung.status.view import UserStatus

_USERS: Final = "/v1/users/"
_ME: Final = "/v1/me/"
_CAMPAIGNS: Final = "campaigns/"
_STATUS: Final = "/status"


class Target(msgspec.Struct, frozen=True, gc=False):
    """What a path names; `user_id` None is the user whose token it is."""

    route: ApiRoute
    user_id: str | None
    campaign: str | None


_OWN: Final = {
    _ME + "status": Target(OWN_STATUS, None, None),
    _ME + "status/stream": Target(OWN_STREAM, None, None),
    _ME + "explain": Target(OWN_EXPLANATION, None, None),
}
_OF_USERS: Final = (("/status", USER_STATUS), ("/status/stream", USER_STREAM), ("/explain", USER_EXPLANATION))


def target_of(path: str) -> Target | None:
    """Return what an unescaped path names, None if it is none of a user's.

    Servers unescape paths, so a slash in an id looks like any other: an id may hold slashes, and
    all between the first part of a path and its last is the id.
    """
    if path.startswith(_USERS):
        return _of_users(path[len(_USERS) :])
    if not path.startswith(_ME):
        return None
    if path in _OWN:
        return _OWN[path]
    campaign = path[len(_ME) :].removeprefix(_CAMPAIGNS)
    if not path.startswith(_ME + _CAMPAIGNS) or not campaign or "/" in campaign:
        return None
    return Target(OWN_CAMPAIGN, None, campaign)


def _of_users(rest: str) -> Target | None:
    # The busiest one comes first; a campaign may have the name of a route's end.
    if rest.endswith(_STATUS) and not rest.endswith("/campaigns/status"):
        return Target(USER_STATUS, rest[: -len(_STATUS)], None)
    user_id, found, campaign = rest.rpartition("/" + _CAMPAIGNS)
    if found and campaign and "/" not in campaign:
        return Target(USER_CAMPAIGN, user_id, campaign)
    for end, route in _OF_USERS:
        if rest.endswith(end):
            return Target(route, rest[: -len(end)], None)
    return None


def authorised(caller: Caller, target: Target) -> AuthorisedUser:
    """Return the user that a caller may read by a path.

    Raises:
        NotAllowed: the caller may not.
        Problem: 400, no user can have that id.
    """
    if target.user_id is None:
        return own_user(caller)
    return user_for_service(caller, target.route.permission, check_user_id(target.user_id))


def with_campaign(target: Target, query: Query) -> Query:
    """Return what is asked for with the campaign that the path names.

    Raises:
        Problem: 400, no campaign can have that name.
    """
    if target.campaign is None:
        return query
    return query._replace(campaign=check_campaign_name(target.campaign))


class UserDocuments:
    """Renders what readings answer."""

    def __init__(
        self, clock: Callable[[], int], pending: Callable[[int, int], bool | UnsetType | None]
    ) -> None:
        """Take what the documents tell besides.

        Args:
            clock: Tells microseconds since the epoch, for questions about the present.
            pending: Tells whether events behind an offset of a partition are known.
        """
        self._clock = clock
        self._pending = pending
        self._encode = msgspec.json.Encoder().encode

    def render(self, query: Query, reading: Reading) -> bytes:
        """Return the status document.

        Raises:
            Problem: 404, there is no such campaign.
        """
        return self._encode(self._status(query, reading))

    def render_all(self, query: Query, readings: Iterable[Reading]) -> bytes:
        """Return the document of several users' statuses.

        Raises:
            Problem: 404, there is no such campaign.
        """
        # All are of one moment, even if a period ends meanwhile.
        asked = query._replace(at=self._clock()) if query.at is None else query
        return self._encode(UserStatuses(tuple(self._status(asked, reading) for reading in readings)))

    def shown(self, query: Query, reading: Reading) -> tuple[object, bytes]:
        """Return what is shown of the campaigns, to be compared, and the status document.

        Raises:
            Problem: 404, there is no such campaign.
        """
        status = self._status(query, reading)
        return status.campaigns, self._encode(status)

    def _status(self, query: Query, reading: Reading) -> UserStatus:
        at = self._clock() if query.at is None else query.at
        pending = self._pending(reading.partition, reading.standing.applied.offset)
        try:
            return reading.status(at, query.campaign, pending)
        except UnknownCampaign as error:
            raise unknown_campaign(error) from None


def etag_of(body: bytes) -> str:
    """Return the entity tag of a document: another one for any other document."""
    return f'"{xxhash.xxh3_128_hexdigest(body)}"'


def is_current(if_none_match: str, etag: str) -> bool:
    """Tell whether a request that has a document by these tags has the present one."""
    return if_none_match == etag or any(
        tag.strip().removeprefix("W/") in {etag, "*"} for tag in if_none_match.split(",")
    )


def unknown_campaign(error: UnknownCampaign) -> Problem:
    """Return the answer to a question about a campaign that there is not."""
    return Problem(
        HTTPStatus.NOT_FOUND,
        "unknown_campaign",
        f"campaign: none is named {error.name[:64]!r}; GET /v1/campaigns lists them.",
        suggestion=error.suggestion,
    )
