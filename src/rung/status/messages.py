"""What goes over the wire beside statuses and explanations, as values for the server and its clients."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from rung.campaign.spans import SpanDescription
from rung.status.view import UserStatus

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"

USERS_MAX: Final = 100
"""The most users of one question."""
EVENTS_BYTES_MAX: Final = 16 << 20
"""The most bytes of events in one request."""
EVENTS_MAX: Final = 200_000
"""The most events in one request."""
WAIT_MS_MAX: Final = 10_000
"""The longest that a status waits for events."""


class UsersQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which users' statuses are asked for; `at` and `campaign` are as in a query."""

    user_ids: tuple[str, ...]
    at: str | None = None
    campaign: str | None = None


class UserStatuses(msgspec.Struct, frozen=True):
    """The statuses of several users, in the order in which they were asked for."""

    statuses: tuple[UserStatus, ...]


class Health(msgspec.Struct, frozen=True):
    """Whether the server is `alive`, or `ready`."""

    status: str


class EventPosition(msgspec.Struct, frozen=True):
    """Where an event stands in the log."""

    partition: int
    offset: int


class Accepted(msgspec.Struct, frozen=True):
    """How many events were appended, and where the last one stands.

    A status that is asked for with `after` holds them. It is left out if they are in too many partitions.
    """

    accepted: int
    position: EventPosition
    after: str | UnsetType = UNSET


class ProblemDocument(msgspec.Struct, frozen=True):
    """An error, as problem details (RFC 9457); `code` is for programs, `detail` for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    suggestion: str | UnsetType = UNSET


class Unit(StrEnum):
    """What a measure counts; money is in minor units of the campaign's currency."""

    COUNT = "count"
    MONEY = "money"
    NUMBER = "number"


class VersionDescription(msgspec.Struct, frozen=True):
    """One version and the unit of each measure.

    `least` has the smallest amount that a measure counts, in minor units, where it asks for nothing else.
    """

    version: int
    measures: dict[str, Unit]
    least: dict[str, int]


class CampaignDescription(msgspec.Struct, frozen=True):
    """One campaign; `period` is month, week or day. A version that is not in `schedule` is not served."""

    campaign: str
    timezone: str
    currency: str
    period: str
    effective: str
    counts_until: str | None
    schedule: tuple[SpanDescription, ...]
    versions: tuple[VersionDescription, ...]


class CatalogDescription(msgspec.Struct, frozen=True):
    """Every campaign that statuses are evaluated for."""

    campaigns: tuple[CampaignDescription, ...]
