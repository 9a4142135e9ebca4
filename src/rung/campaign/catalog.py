"""The campaigns that are applied: which versions are counted, for which periods, under which ids.

Applying may add and may end, but never changes what has been counted:

- A version's rules, and a campaign's time zone, period, currency, effective period and attributes
  stay as they were applied; other rules are another version, another zone is another campaign.
- A version's `counts_from` stays, a shadow version stays a shadow.
- An applied version may come to count fewer periods (a later version takes over, or `counts_until`
  is added or moved back), never more: transactions of an added period may have passed it uncounted,
  and it would show a wrong figure without a word. A campaign is prolonged by a further version,
  with the same rules if need be, that counts from the period after the old `counts_until`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from rung.campaign.model import AttributeType, Campaign, Version
from rung.campaign.spec.campaign import load
from rung.campaign.spec.canonical import canonical, rules
from rung.campaign.spec.errors import InvalidSpec

CAMPAIGNS_MAX = 100
"""The most campaigns of one catalog."""

RECORD_FORMAT = 1
"""The form that `Catalog.encode` writes."""


class CatalogRefused(Exception):
    """A campaign cannot be applied; `reasons` are all of them, each with what to do instead."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.reasons = reasons
        super().__init__("\n".join(reasons))


class CatalogUnreadable(Exception):
    """The stored catalog is of another release, or damaged."""


@dataclass(frozen=True, slots=True)
class CountedVersion:
    """A version that is counted.

    `series` gives each measure a small positive id, under which its figures are stored and which no
    other measure ever gets. `starts` maps a partition to the offset of the last event that was
    applied when this version was; it is empty if the version was there from the beginning.
    """

    campaign: Campaign
    version: Version
    series: Mapping[str, int]
    starts: Mapping[int, int]

    @property
    def periods(self) -> tuple[int, int]:
        """The ordinals of the first and the last period that it counts, both included.

        They are the schedule's: from `counts_from` to the period before the next version's, or to
        `counts_until`. A shadow version counts every period.
        """
        earliest, latest = self.campaign.calendar.span()
        first = self.version.counts_from
        if first is None:
            return earliest.ordinal, latest.ordinal
        last = (self.campaign.counts_until or latest).ordinal
        for version in self.campaign.versions:
            if version.counts_from is not None and version.counts_from > first:
                return first.ordinal, min(last, version.counts_from.ordinal - 1)
        return first.ordinal, last


@dataclass(frozen=True, slots=True)
class Catalog:
    """All applied campaigns by name, and their versions in the order in which they were applied."""

    campaigns: Mapping[str, Campaign] = field(default_factory=dict[str, Campaign])
    versions: tuple[CountedVersion, ...] = ()

    @property
    def attributes(self) -> Mapping[str, AttributeType]:
        """The attributes of transactions that any campaign declares."""
        return {
            name: type_ for campaign in self.campaigns.values() for name, type_ in campaign.attributes.items()
        }

    @property
    def user_attributes(self) -> Mapping[str, AttributeType]:
        """The attributes of users that any campaign declares."""
        return {
            name: type_
            for campaign in self.campaigns.values()
            for name, type_ in campaign.user_attributes.items()
        }

    def apply(self, campaign: Campaign, starts: Mapping[int, int]) -> Catalog:
        """Return the catalog with a campaign added, or with its new versions and its schedule.

        Applying what is applied already returns an equal catalog.

        Args:
            campaign: the campaign as its spec has it, all of its versions included.
            starts: per partition, the offset of the last event applied; kept for each added version.

        Raises:
            CatalogRefused: it would change what has been counted, or clash with another campaign.
        """
        applied = self.campaigns.get(campaign.name)
        reasons = [*self._clashes(campaign)]
        if applied is not None:
            reasons += _changes(applied, campaign)
        elif len(self.campaigns) >= CAMPAIGNS_MAX:
            reasons.append(f"campaign {campaign.name}: a catalog has at most {CAMPAIGNS_MAX} campaigns")
        if reasons:
            raise CatalogRefused(tuple(reasons))
        return self._with(campaign, starts)

    def encode(self) -> bytes:
        """Return the catalog as a record that `decode` reads."""
        record = _Record(
            format=RECORD_FORMAT,
            campaigns=[canonical(campaign) for campaign in self.campaigns.values()],
            versions=[
                _VersionRecord(
                    counted.campaign.name, counted.version.number, dict(counted.series), dict(counted.starts)
                )
                for counted in self.versions
            ],
        )
        return msgspec.json.encode(record)

    @classmethod
    def decode(cls, record: bytes | None) -> Catalog:
        """Read a record; None is the empty catalog.

        Raises:
            CatalogUnreadable: the record has another format, or is damaged.
        """
        if record is None:
            return cls()
        try:
            found = msgspec.json.decode(record, type=_Format).format
            if found != RECORD_FORMAT:
                raise CatalogUnreadable(
                    f"the catalog has format {found}, and this release reads {RECORD_FORMAT}"
                )
            return cls._of(msgspec.json.decode(record, type=_Record))
        except (msgspec.DecodeError, InvalidSpec, KeyError) as error:
            raise CatalogUnreadable(f"the catalog's record is damaged: {error}") from error

    @classmethod
    def _of(cls, record: _Record) -> Catalog:
        loaded = [load(text, "catalog") for text in record.campaigns]
        campaigns = {campaign.name: campaign for campaign in loaded}
        versions = tuple(
            CountedVersion(
                campaigns[counted.campaign],
                _numbered(campaigns[counted.campaign])[counted.number],
                counted.series,
                counted.starts,
            )
            for counted in record.versions
        )
        return cls(campaigns, versions)

    def _clashes(self, campaign: Campaign) -> Iterator[str]:
        """Yield what other campaigns declare otherwise: one event serves them all."""
        for other in self.campaigns.values():
            if other.name == campaign.name:
                continue
            for what, ours, theirs in (
                ("attribute", campaign.attributes, other.attributes),
                ("user attribute", campaign.user_attributes, other.user_attributes),
            ):
                for name, type_ in ours.items():
                    if name in theirs and theirs[name] is not type_:
                        yield (
                            f"campaign {campaign.name}: {what} {name} is declared as {type_}, and as "
                            f"{theirs[name]} by campaign {other.name}: declare it as {theirs[name]}, or use "
                            "another name"
                        )

    def _with(self, campaign: Campaign, starts: Mapping[int, int]) -> Catalog:
        numbered = _numbered(campaign)
        versions: list[CountedVersion] = []
        for counted in self.versions:
            if counted.campaign.name == campaign.name:
                version = numbered.pop(counted.version.number)
                versions.append(CountedVersion(campaign, version, counted.series, counted.starts))
            else:
                versions.append(counted)
        following = 1 + max((series for counted in versions for series in counted.series.values()), default=0)
        for version in numbered.values():
            series = {measure.name: following + index for index, measure in enumerate(version.measures)}
            following += len(series)
            versions.append(CountedVersion(campaign, version, series, dict(starts)))
        return Catalog({**self.campaigns, campaign.name: campaign}, tuple(versions))


def _changes(applied: Campaign, campaign: Campaign) -> Iterator[str]:
    """Yield what would change figures that have been counted."""
    who = f"campaign {campaign.name}"
    for what, before, after in (
        ("timezone", applied.calendar.zone, campaign.calendar.zone),
        ("period", applied.calendar.kind, campaign.calendar.kind),
        ("currency", applied.currency, campaign.currency),
        ("effective", applied.effective, campaign.effective),
    ):
        if before != after:
            yield f"{who}: {what} changes from {before} to {after}: give the campaign another name"
    for what, before, after in (
        ("attribute", applied.attributes, campaign.attributes),
        ("user attribute", applied.user_attributes, campaign.user_attributes),
    ):
        for name, type_ in before.items():
            if name not in after:
                yield f"{who}: {what} {name} is gone: keep it, transactions carry it as {type_}"
            elif after[name] is not type_:
                yield f"{who}: {what} {name} changes from {type_} to {after[name]}: use another name"
    if applied.calendar.kind is campaign.calendar.kind:
        yield from _version_changes(applied, campaign)


def _version_changes(applied: Campaign, campaign: Campaign) -> Iterator[str]:
    numbered = _numbered(campaign)
    next_number = max(number for one in (applied, campaign) for number in _numbered(one)) + 1
    rescheduled = False
    for before in applied.versions:
        who = f"campaign {campaign.name}: version {before.number}"
        after = numbered.get(before.number)
        if after is None:
            rescheduled = True
            yield f"{who} is gone: keep it, its figures are in use"
            continue
        if rules(before) != rules(after):
            yield f"{who} has other rules: keep it as it is, and add version {next_number}"
        if before.counts_from != after.counts_from:
            rescheduled = True
            yield (
                f"{who} counts from {after.counts_from or 'no period'}, not from "
                f"{before.counts_from or 'no period'} as applied: keep that, and add version {next_number}"
            )
    if not rescheduled:
        yield from _prolonged(applied, campaign, next_number)


def _prolonged(applied: Campaign, campaign: Campaign, next_number: int) -> Iterator[str]:
    """Yield the version that would count more periods than before; only `counts_until` can do that."""
    until = applied.counts_until
    for before in applied.versions:
        after = _numbered(campaign)[before.number]
        last_before = CountedVersion(applied, before, {}, {}).periods[1]
        last_after = CountedVersion(campaign, after, {}, {}).periods[1]
        if until is not None and last_after > last_before:
            yield (
                f"campaign {campaign.name}: counts_until moves from {until} to "
                f"{campaign.counts_until or 'no period'}, and version {before.number} may have missed "
                f"transactions after {until}: add version {next_number} that counts from {until.next()}"
            )


def _numbered(campaign: Campaign) -> dict[int, Version]:
    return {version.number: version for version in campaign.versions}


class _Format(msgspec.Struct):
    format: int


class _VersionRecord(msgspec.Struct):
    campaign: str
    number: int
    series: dict[str, int]
    starts: dict[int, int]


class _Record(msgspec.Struct):
    format: int
    campaigns: list[str]
    versions: list[_VersionRecord]
