"""What a campaign's versions count and serve, as plain values: for answers in JSON and the audit list."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from rung.campaign.calendar import Period
from rung.campaign.counted import CountedVersion
from rung.campaign.model import Campaign


class SpanDescription(msgspec.Struct, frozen=True):
    """The periods from `first` to `last` (None: without end), which a version serves."""

    version: int
    first: str
    last: str | None


class CountedDescription(msgspec.Struct, frozen=True):
    """The periods from `first` to `last`, which a version counts; none, if the last is before the first."""

    version: int
    identity: str
    first: str
    last: str
    complete: bool


class VersionsDescription(msgspec.Struct, frozen=True):
    """Which version serves, and what each of them counts. One that is not in `schedule` is a shadow."""

    schedule: tuple[SpanDescription, ...]
    counted: tuple[CountedDescription, ...]


def schedule_of(campaign: Campaign) -> tuple[SpanDescription, ...]:
    """Return which version of a campaign serves which periods."""
    return tuple(
        SpanDescription(span.version, str(span.first), None if span.last is None else str(span.last))
        for span in campaign.spans()
    )


def describe_versions(campaign: Campaign, versions: Iterable[CountedVersion]) -> VersionsDescription:
    """Return what a campaign's versions serve and count."""
    kind = campaign.calendar.kind
    return VersionsDescription(
        schedule_of(campaign),
        tuple(
            CountedDescription(
                counted.version.number,
                counted.version.identity,
                str(Period(kind, counted.periods[0])),
                str(Period(kind, counted.periods[1])),
                counted.complete,
            )
            for counted in versions
        ),
    )
