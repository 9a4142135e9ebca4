"""The campaigns that are applied: what is counted of them under which ids, and which version serves.

What is counted is fixed when a version is applied (`CountedVersion`):

- A version's rules, and a campaign's time zone, period, currency, effective period and attributes
  stay as they were applied; other rules are another version, another zone is another campaign.
- An applied version may come to count fewer periods (a later version of the spec takes over, or
  `counts_until` is added or moved back, or it is retired), never more: transactions of an added period may
  have passed it uncounted, and it would show a wrong figure without a word.

- The oldest periods of all versions may be pruned together with the transactions before an instant
  (`Catalog.kept_from`): an event that could be of one of those is settled from the lake from then on.

Which version serves is a pointer, the campaign's schedule. The specs' `counts_from` place each version in it
when it is added; after that `activate` and `roll_back` move it, and what is counted stays as it is. Every
version counts all that it serves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import pairwise

from rung.campaign.calendar import Period
from rung.campaign.catalog_record import CatalogUnreadable, Contents, decode, encode
from rung.campaign.changes import added_entries, changes, continued, narrowed, numbered
from rung.campaign.counted import CountedVersion, last_of, periods_of, periods_text, reopened, uncounted
from rung.campaign.declared import Declarations, declarations, with_declared
from rung.campaign.model import AttributeType, Campaign
from rung.campaign.schedule import Entry, Schedule, Span

__all__ = ["CAMPAIGNS_MAX", "EARLIER_MAX", "Catalog", "CatalogRefused", "CatalogUnreadable", "CountedVersion"]

CAMPAIGNS_MAX = 100
"""The most campaigns of one catalog."""

EARLIER_MAX = 20
"""How many activations of one campaign can be taken back."""


class CatalogRefused(Exception):
    """The catalog cannot be changed so; `reasons` are all of them, each with what to do instead."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.reasons = reasons
        super().__init__("\n".join(reasons))


@dataclass(frozen=True, slots=True)
class Catalog:
    """All applied campaigns by name, and their versions in the order in which they were applied.

    `earlier` has the schedules before each activation that can be taken back, the last one last. `kept_from`
    is the instant, in microseconds since the epoch, before which transactions may have been pruned (0: none
    was). `declared` has for each attribute, per partition, the offset of the last event applied when it was
    declared first.
    """

    campaigns: Mapping[str, Campaign] = field(default_factory=dict[str, Campaign])
    versions: tuple[CountedVersion, ...] = ()
    earlier: Mapping[str, tuple[Schedule, ...]] = field(default_factory=dict[str, tuple[Schedule, ...]])
    kept_from: int = 0
    declared: Mapping[str, Mapping[int, int]] = field(default_factory=dict[str, Mapping[int, int]])

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

    def declarations(self, partition: int) -> Declarations:
        """Return from where on each attribute is declared in a partition."""
        return declarations(self.attributes, self.user_attributes, self.declared, partition)

    def next_start(self, partition: int, offset: int) -> int | None:
        """Return the first offset, from one on, behind which a version starts or an attribute is declared."""
        all_starts = [*(counted.starts for counted in self.versions), *self.declared.values()]
        found = (starts.get(partition, -1) for starts in all_starts)
        return min((start for start in found if start >= offset), default=None)

    def versions_of(self, campaign: str) -> dict[int, CountedVersion]:
        """Return the counted versions of a campaign by their numbers."""
        return {
            counted.version.number: counted for counted in self.versions if counted.campaign.name == campaign
        }

    def version(self, name: str, number: int) -> CountedVersion:
        """Return a version of a campaign.

        Raises:
            CatalogRefused: there is no such campaign or version.
        """
        return self._find(name, number)[1]

    def apply(self, campaign: Campaign, starts: Mapping[int, int]) -> Catalog:
        """Return the catalog with a campaign added, or with its new versions and its end.

        Applying what is applied already returns an equal catalog, whatever was activated since.

        Args:
            campaign: the campaign as its spec has it, all of its versions included.
            starts: per partition, the offset of the last event applied; kept for each added version and
                attribute.

        Raises:
            CatalogRefused: it would change what has been counted, or clash with another campaign.
        """
        applied = self.campaigns.get(campaign.name)
        reasons = [*self._clashes(campaign)]
        if applied is not None:
            reasons += changes(applied, campaign, self.versions_of(campaign.name))
        elif len(self.campaigns) >= CAMPAIGNS_MAX:
            reasons.append(f"campaign {campaign.name}: a catalog has at most {CAMPAIGNS_MAX} campaigns")
        if reasons:
            raise CatalogRefused(tuple(reasons))
        return self._with(campaign, starts)

    def activate(self, name: str, number: int, period: Period) -> Catalog:
        """Return the catalog in which a version serves from a period on, up to the schedule's next entry.

        Raises:
            CatalogRefused: there is no such version, it does not count those periods or is not complete, the
                campaign has ended before, one of the periods is closed with another version, or nothing would
                change.
        """
        campaign, counted = self._find(name, number)
        who = f"campaign {name}: version {number}"
        moved = replace(campaign, schedule=campaign.schedule.with_entries([Entry(period, number)]))
        reasons: list[str] = []
        if campaign.counts_until is not None and period > campaign.counts_until:
            reasons.append(
                f"{who} cannot serve from {period}: the campaign counts until {campaign.counts_until}; "
                "choose a period up to that"
            )
        elif moved.spans() == campaign.spans():
            reasons.append(f"{who} serves from {period} on already: nothing would change")
        next_number = max(numbered(campaign)) + 1
        reasons += (
            f"{who} counts {_counts_text(counted)}, and would serve {_span_text(campaign, span)}: add "
            f"version {next_number} with the same rules and without counts_from, and activate that"
            for counted, span in uncounted(moved, self.versions_of(name))
        )
        reasons += reopened(moved, self.versions_of(name).values())
        if not counted.complete:
            reasons.append(
                f"{who} is partial, because its past has not been added yet: "
                f"run `rung batch backfill {name} {number}`"
            )
        if reasons:
            raise CatalogRefused(tuple(reasons))
        earlier = (*self.earlier.get(name, ()), campaign.schedule)[-EARLIER_MAX:]
        return self._rescheduled(moved, earlier)

    def roll_back(self, name: str) -> Catalog:
        """Return the catalog with the campaign's schedule as it was before the last activation.

        Raises:
            CatalogRefused: there is no activation to take back, or a version would serve what it no longer
                counts, or what is closed with another one.
        """
        campaign = self._campaign(name)
        earlier = self.earlier.get(name, ())
        if not earlier:
            raise CatalogRefused((f"campaign {name}: there is no activation that could be taken back",))
        restored = replace(campaign, schedule=earlier[-1])
        reasons = tuple(
            f"campaign {name}: version {span.version} counts {_counts_text(counted)}, and would serve "
            f"{_span_text(campaign, span)} again: activate a version that counts that"
            for counted, span in uncounted(restored, self.versions_of(name))
        )
        reasons += tuple(reopened(restored, self.versions_of(name).values()))
        if reasons:
            raise CatalogRefused(reasons)
        return self._rescheduled(restored, earlier[:-1])

    def retire(self, name: str, number: int, current: Period) -> Catalog:
        """Return the catalog in which a version that serves no more counts no period after `current`.

        Raises:
            CatalogRefused: there is no such version, it serves the current period or a later one, or it
                counts no later period already.
        """
        campaign, counted = self._find(name, number)
        who = f"campaign {name}: version {number}"
        reasons = [
            f"{who} serves {_span_text(campaign, span)}: activate another version for that first"
            for span in campaign.spans()
            if span.version == number and last_of(campaign, span) >= current.ordinal
        ]
        retired = counted.until(current.ordinal)
        if retired == counted:
            reasons.append(f"{who} counts {_counts_text(counted)}: nothing would change")
        if reasons:
            raise CatalogRefused(tuple(reasons))
        return self._replaced(counted, retired)

    def with_backfilled(self, name: str, number: int) -> Catalog:
        """Return the catalog in which a version's past, up to its starts, has been added from the archive.

        Raises:
            CatalogRefused: there is no such version.
        """
        _, counted = self._find(name, number)
        return self._replaced(counted, replace(counted, backfilled=True))

    def with_closed(self, name: str, number: int, period: Period) -> Catalog:
        """Return the catalog in which a counting period is closed with the version that counted it.

        Raises:
            CatalogRefused: there is no such version, or another one serves the period by now.
        """
        campaign, counted = self._find(name, number)
        serving = campaign.version_counting(period)
        if serving is None or serving.number != number:
            served = "no version" if serving is None else f"version {serving.number}"
            reason = (
                f"campaign {name}: {period} was closed with version {number}, and {served} serves it now: "
                f"have the schedule as it was then (`rung campaign rollback {name}`, or `rung campaign "
                f"activate {name} {number} --from {period}`), and run `rung batch close {name} {period}`"
            )
            raise CatalogRefused((reason,))
        return self._replaced(counted, counted.with_closed(period.ordinal))

    def from_the_beginning(self) -> Catalog:
        """Return the catalog in which all is declared and counted live from the first event on.

        Nothing is pruned in it, and nothing closed.
        """
        versions = tuple(
            replace(counted.with_pruned(), starts={}, backfilled=False, closed=())
            for counted in self.versions
        )
        declared = {name: dict[int, int]() for name in self.declared}
        return replace(self, versions=versions, kept_from=0, declared=declared)

    def pruned(self, kept_from: int) -> Catalog:
        """Return the catalog that keeps only what is from an instant on, which only ever rises.

        Each version counts from its first period that lies behind the instant as a whole.
        """
        if kept_from <= self.kept_from:
            return self
        versions = tuple(_kept(counted, kept_from) for counted in self.versions)
        return replace(self, versions=versions, kept_from=kept_from)

    def encode(self) -> bytes:
        """Return the catalog as a record that `decode` reads."""
        return encode(Contents(self.campaigns, self.versions, self.earlier, self.kept_from, self.declared))

    @classmethod
    def decode(cls, record: bytes | None) -> Catalog:
        """Read a record; None is the empty catalog.

        Raises:
            CatalogUnreadable: the record has another format, or is damaged.
        """
        if record is None:
            return cls()
        found = decode(record)
        return cls(found.campaigns, tuple(found.versions), found.earlier, found.kept_from, found.declared)

    def _campaign(self, name: str) -> Campaign:
        if name in self.campaigns:
            return self.campaigns[name]
        close = get_close_matches(name, self.campaigns, n=1)
        known = f"did you mean {close[0]}?" if close else f"there are: {', '.join(self.campaigns) or 'none'}"
        raise CatalogRefused((f"no campaign is named {name!r}; {known}",))

    def _find(self, name: str, number: int) -> tuple[Campaign, CountedVersion]:
        campaign = self._campaign(name)
        versions = self.versions_of(name)
        if number not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise CatalogRefused((f"campaign {name} has no version {number}; there are: {known}",))
        return campaign, versions[number]

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
        applied = self.campaigns.get(campaign.name)
        earlier = dict(self.earlier)
        if applied is not None:
            # What can be taken back is the activation alone: versions added since keep their place.
            added = added_entries(applied, campaign)
            steps = [
                schedule.until(campaign.counts_until).with_entries(added)
                for schedule in (*self.earlier.get(campaign.name, ()), applied.schedule)
            ]
            earlier[campaign.name] = tuple(one for one, following in pairwise(steps) if one != following)
            campaign = continued(applied, campaign)
        missing = numbered(campaign)
        versions: list[CountedVersion] = []
        for counted in self.versions:
            if counted.campaign.name == campaign.name:
                del missing[counted.version.number]
                versions.append(narrowed(counted, campaign))
            else:
                versions.append(counted)
        following = 1 + max((series for counted in versions for series in counted.series.values()), default=0)
        for version in missing.values():
            series = {measure.name: following + index for index, measure in enumerate(version.measures)}
            following += len(series)
            periods = periods_of(campaign, version)
            added = CountedVersion(campaign, version, series, dict(starts), periods)
            versions.append(_kept(added, self.kept_from))
        return replace(
            self,
            campaigns={**self.campaigns, campaign.name: campaign},
            versions=tuple(versions),
            earlier=_some(earlier),
            declared=with_declared(self.declared, campaign, starts),
        )

    def _rescheduled(self, campaign: Campaign, earlier: tuple[Schedule, ...]) -> Catalog:
        versions = tuple(
            replace(counted, campaign=campaign) if counted.campaign.name == campaign.name else counted
            for counted in self.versions
        )
        return replace(
            self,
            campaigns={**self.campaigns, campaign.name: campaign},
            versions=versions,
            earlier=_some({**self.earlier, campaign.name: earlier}),
        )

    def _replaced(self, before: CountedVersion, after: CountedVersion) -> Catalog:
        versions = tuple(after if counted is before else counted for counted in self.versions)
        return replace(self, versions=versions)


def _kept(counted: CountedVersion, kept_from: int) -> CountedVersion:
    """Return a version that counts no period which does not lie behind an instant as a whole (0: all do)."""
    if not kept_from:
        return counted
    calendar = counted.campaign.calendar
    return counted.kept_since(calendar.first_since(kept_from).ordinal)


def _some(earlier: Mapping[str, tuple[Schedule, ...]]) -> dict[str, tuple[Schedule, ...]]:
    """Return the entries that are not empty: what is stored is what is compared."""
    return {name: schedules for name, schedules in earlier.items() if schedules}


def _counts_text(counted: CountedVersion) -> str:
    return periods_text(counted.campaign, *counted.periods)


def _span_text(campaign: Campaign, span: Span) -> str:
    return periods_text(campaign, span.first.ordinal, last_of(campaign, span))
