"""The catalog's record: JSON that starts with its format.

Format 2 holds what each version counts and which version serves. Format 1 had both from the specs alone,
which is how it is read. Format 3 is format 2 of a catalog from which something was pruned: a release that
does not know what that means would count again what is no longer kept. Format 4 is either of a catalog with
closed periods: such a release would show other rates than those that are paid.

A record that does not tell where attributes are declared is of a release that did not keep it: they are taken
for declared with the first version of their campaign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from rung.campaign.calendar import Period
from rung.campaign.changes import numbered
from rung.campaign.counted import CountedVersion, periods_of
from rung.campaign.declared import declared_with_versions
from rung.campaign.model import Campaign
from rung.campaign.schedule import Entry, Schedule
from rung.campaign.spec.campaign import load
from rung.campaign.spec.canonical import canonical
from rung.campaign.spec.errors import InvalidSpec

RECORD_FORMAT = 2
"""The form that is written while nothing was pruned."""

PRUNED_FORMAT = 3
"""The form that is written after that."""

CLOSED_FORMAT = 4
"""The form that is written once a period is closed."""

_FIRST_FORMAT = 1
_SPECS_REMEMBERED: Final = 64


class CatalogUnreadable(Exception):
    """The stored catalog is of another release, or damaged."""


class Contents(NamedTuple):
    """What a catalog holds: campaigns and their earlier schedules by name, all versions, what is kept.

    `declared` is where each attribute is declared.
    """

    campaigns: Mapping[str, Campaign]
    versions: Sequence[CountedVersion]
    earlier: Mapping[str, tuple[Schedule, ...]]
    kept_from: int = 0
    declared: Mapping[str, Mapping[int, int]] = {}


def encode(contents: Contents) -> bytes:
    """Return the record of a catalog."""
    record = _Record(
        _format_of(contents),
        [
            _CampaignRecord(
                canonical(campaign),
                _entries(campaign.schedule),
                [_entries(schedule) for schedule in contents.earlier.get(campaign.name, ())],
            )
            for campaign in contents.campaigns.values()
        ],
        [
            _VersionRecord(
                counted.campaign.name,
                counted.version.number,
                dict(counted.series),
                dict(counted.starts),
                counted.periods,
                counted.backfilled,
                counted.pruned_from,
                counted.closed,
            )
            for counted in contents.versions
        ],
        contents.kept_from,
        {name: dict(starts) for name, starts in contents.declared.items()},
    )
    return msgspec.json.encode(record)


def _format_of(contents: Contents) -> int:
    if any(counted.closed for counted in contents.versions):
        return CLOSED_FORMAT
    return PRUNED_FORMAT if contents.kept_from else RECORD_FORMAT


def decode(record: bytes) -> Contents:
    """Read a record.

    Raises:
        CatalogUnreadable: the record has another format, or is damaged.
    """
    try:
        found = msgspec.json.decode(record, type=_Format).format
        if found in {RECORD_FORMAT, PRUNED_FORMAT, CLOSED_FORMAT}:
            return _contents(msgspec.json.decode(record, type=_Record))
        if found == _FIRST_FORMAT:
            return _first_contents(msgspec.json.decode(record, type=_FirstRecord))
    except (msgspec.DecodeError, InvalidSpec, KeyError, ValueError) as error:
        raise CatalogUnreadable(f"the catalog's record is damaged: {error}") from error
    raise CatalogUnreadable(
        f"the catalog has format {found}, and this release reads {_FIRST_FORMAT} to {CLOSED_FORMAT}"
    )


def _contents(record: _Record) -> Contents:
    campaigns: dict[str, Campaign] = {}
    earlier: dict[str, tuple[Schedule, ...]] = {}
    for stored in record.campaigns:
        campaign = _campaign(stored.spec)
        schedule = _schedule(campaign, stored.schedule)
        campaigns[campaign.name] = replace(campaign, schedule=schedule)
        if stored.earlier:
            earlier[campaign.name] = tuple(_schedule(campaign, entries) for entries in stored.earlier)
    versions = [
        CountedVersion(
            campaigns[counted.campaign],
            numbered(campaigns[counted.campaign])[counted.number],
            counted.series,
            counted.starts,
            counted.periods,
            counted.backfilled,
            counted.pruned_from,
            counted.closed,
        )
        for counted in record.versions
    ]
    declared = declared_with_versions(versions) if record.declared is None else record.declared
    return Contents(campaigns, versions, earlier, record.kept_from, declared)


@lru_cache(maxsize=_SPECS_REMEMBERED)
def _campaign(spec: str) -> Campaign:
    """Return the campaign of a stored spec, which never changes; every reading of a catalog asks for it."""
    return load(spec, "catalog")


def _first_contents(record: _FirstRecord) -> Contents:
    campaigns = {campaign.name: campaign for campaign in map(_campaign, record.campaigns)}
    versions: list[CountedVersion] = []
    for counted in record.versions:
        campaign = campaigns[counted.campaign]
        version = numbered(campaign)[counted.number]
        periods = periods_of(campaign, version)
        versions.append(CountedVersion(campaign, version, counted.series, counted.starts, periods))
    return Contents(campaigns, versions, {}, declared=declared_with_versions(versions))


def _entries(schedule: Schedule) -> list[tuple[str, int]]:
    return [(str(entry.period), entry.version) for entry in schedule.entries]


def _schedule(campaign: Campaign, entries: Sequence[tuple[str, int]]) -> Schedule:
    kind, versions = campaign.calendar.kind, numbered(campaign)
    return Schedule(
        tuple(Entry(Period.parse(text, kind), versions[number].number) for text, number in entries)
    )


class _Format(msgspec.Struct):
    format: int


class _CampaignRecord(msgspec.Struct):
    spec: str
    schedule: list[tuple[str, int]]
    earlier: list[list[tuple[str, int]]]


class _VersionRecord(msgspec.Struct, omit_defaults=True):
    campaign: str
    number: int
    series: dict[str, int]
    starts: dict[int, int]
    periods: tuple[int, int]
    backfilled: bool
    pruned_from: int | None = None
    closed: tuple[tuple[int, int], ...] = ()


class _Record(msgspec.Struct, omit_defaults=True):
    format: int
    campaigns: list[_CampaignRecord]
    versions: list[_VersionRecord]
    kept_from: int = 0
    declared: dict[str, dict[int, int]] | None = None


class _FirstVersionRecord(msgspec.Struct):
    campaign: str
    number: int
    series: dict[str, int]
    starts: dict[int, int]


class _FirstRecord(msgspec.Struct):
    format: int
    campaigns: list[str]
    versions: list[_FirstVersionRecord]
