"""What a user is shown, as values that encode to the status JSON; the field order is the JSON's."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec
from msgspec import UNSET, UnsetType


class State(StrEnum):
    """How far figures can be relied on.

    A partial version was applied after events had been applied, so earlier events are not in its
    figures. In a closed period steps and rate are those of its result, whatever comes later. Everything else
    is provisional: complete, and open to late events and refunds.
    """

    PROVISIONAL = "provisional"
    PARTIAL = "partial"
    CLOSED = "closed"


class Comparison(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="comparison"):
    """A comparison with a constant; `value` is None where a user attribute is unknown.

    `remaining` is what is missing to the target: set for >= and > with a known value, 0 when met.
    """

    expression: str
    met: bool
    value: int | None
    target: int
    remaining: int | UnsetType = UNSET


class Check(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="check"):
    """A condition that is only met or not, such as `user.premium`."""

    expression: str
    met: bool


class AnyOf(msgspec.Struct, frozen=True, tag_field="kind", tag="any_of"):
    """Conditions of which one has to be met."""

    expression: str
    met: bool
    any_of: tuple[Condition, ...]


class AllOf(msgspec.Struct, frozen=True, tag_field="kind", tag="all_of"):
    """Conditions that have to be met together, inside an `AnyOf`."""

    expression: str
    met: bool
    all_of: tuple[Condition, ...]


Condition: TypeAlias = Comparison | Check | AnyOf | AllOf
"""What has to be met; its `kind` in the JSON says which of them it is."""


class StepStatus(msgspec.Struct, frozen=True):
    """One step of the ladder; its conditions have to be met together.

    A step with `on` adds to the rate of those purchases only. In a closed period there are no conditions:
    nothing is left to be met.
    """

    name: str
    met: bool
    add_percent: str
    conditions: tuple[Condition, ...]
    on: str | UnsetType = UNSET


class CountingStatus(msgspec.Struct, frozen=True):
    """Progress in the counting period. `rate_percent` is the base and every met step without `on`.

    `measures` are what is counted now, in a closed period, too: a late refund is in them.
    """

    period: str
    version: int
    state: State
    measures: Mapping[str, int]
    rate_percent: str
    steps: tuple[StepStatus, ...]


class EffectiveStatus(msgspec.Struct, frozen=True):
    """The rate in force in a period, and the counting period that earned it."""

    period: str
    earned_in: str
    version: int
    state: State
    rate_percent: str
    measures: Mapping[str, int]
    steps: tuple[StepStatus, ...]


class CampaignStatus(msgspec.Struct, frozen=True):
    """One campaign; a period outside the campaign is None."""

    campaign: str
    counting: CountingStatus | None
    effective: EffectiveStatus | None


class AsOf(msgspec.Struct, frozen=True, gc=False):
    """The last event that the figures contain: offset -1 and no time before the first one.

    `event_at` is the latest time of any step applied in the partition, RFC 3339 in UTC. `pending` says
    whether later events of the partition are known to wait: None is unknown, and it is left out where nobody
    looked.
    """

    partition: int
    offset: int
    event_at: str | None
    pending: bool | UnsetType | None = UNSET


class UserStatus(msgspec.Struct, frozen=True):
    """What one user is shown."""

    user_id: str
    as_of: AsOf
    campaigns: tuple[CampaignStatus, ...]
