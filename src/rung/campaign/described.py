"""What a campaign's versions count and serve, as plain values: for answers in JSON and the audit list."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from rung.campaign.calendar import Period
from rung.campaign.counted import CountedVersion, periods_text
from rung.campaign.model import Campaign
from rung.campaign.spans import SpanDescription


class CountedDescription(msgspec.Struct, frozen=True, omit_defaults=True):
    """The periods from `first` to `last`, which a version counts; none, if the last is before the first.

    `closed` has those that are closed with it, as in "2021-08 to 2021-10"; it is left out if none is.
    """

    version: int
    identity: str
    first: str
    last: str
    complete: bool
    closed: tuple[str, ...] = ()


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


def closed_texts(counted: CountedVersion) -> tuple[str, ...]:
    """Return the periods that are closed with a version, for people: those behind one another as one."""
    return tuple(periods_text(counted.campaign, first, last) for first, last in counted.closed)


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
                closed_texts(counted),
            )
            for counted in versions
        ),
    )
