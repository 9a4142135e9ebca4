"""What a spec may change of a campaign that is applied, and what becomes of the schedule.

A spec may add and may end, but never changes what has been counted. Of the schedule it gives only what it
says of added versions; which version serves is moved by `Catalog.activate`, and no spec moves it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from rung.campaign.calendar import Period
from rung.campaign.counted import CountedVersion, last_of, periods_of, reopened, uncounted
from rung.campaign.model import Campaign, Version
from rung.campaign.schedule import Entry
from rung.campaign.spec.canonical import rules


def changes(applied: Campaign, campaign: Campaign, counted: Mapping[int, CountedVersion]) -> Iterator[str]:
    """Yield what a spec would change of figures that have been counted.

    Args:
        applied: The campaign as it is applied.
        campaign: The campaign as the spec has it.
        counted: The applied versions by their numbers.
    """
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
        yield from _version_changes(applied, campaign, counted)


def continued(applied: Campaign, campaign: Campaign) -> Campaign:
    """Return a campaign as its spec has it, with the schedule that is in force.

    Added versions take their place in it, and an end takes the entries after it away. Versions that are
    applied keep the `counts_from` with which they were: where the spec has another one, it repeats what was
    activated since.
    """
    known = numbered(applied)
    versions = tuple(
        replace(version, counts_from=known[version.number].counts_from)
        if version.number in known
        else version
        for version in campaign.versions
    )
    schedule = applied.schedule.until(campaign.counts_until).with_entries(added_entries(applied, campaign))
    return replace(campaign, versions=versions, schedule=schedule)


def added_entries(applied: Campaign, campaign: Campaign) -> list[Entry]:
    """Return where a spec has its added versions begin to serve."""
    known = numbered(applied)
    return [
        Entry(version.counts_from, version.number)
        for version in campaign.versions
        if version.number not in known and version.counts_from is not None
    ]


def narrowed(counted: CountedVersion, campaign: Campaign) -> CountedVersion:
    """Return an applied version as a continued campaign has it: it may count fewer periods, never more.

    What a spec takes away from a version it still counts if it serves it.
    """
    version = numbered(campaign)[counted.version.number]
    served = [last_of(campaign, span) for span in campaign.spans() if span.version == version.number]
    last = max([periods_of(campaign, version)[1], *served])
    return replace(counted, campaign=campaign, version=version).until(last)


def numbered(campaign: Campaign) -> dict[int, Version]:
    """Return the versions of a campaign by their numbers."""
    return {version.number: version for version in campaign.versions}


def _version_changes(
    applied: Campaign, campaign: Campaign, counted: Mapping[int, CountedVersion]
) -> Iterator[str]:
    next_number = max(number for one in (applied, campaign) for number in numbered(one)) + 1
    after = numbered(campaign)
    for version in applied.versions:
        if version.number in after and rules(version) != rules(after[version.number]):
            who = f"campaign {campaign.name}: version {version.number}"
            yield f"{who} has other rules: keep it as it is, and add version {next_number}"
    reasons = [*_schedule_changes(applied, campaign, next_number)]
    yield from reasons
    if not reasons:
        yield from _prolonged(applied, campaign, counted, next_number)
        yield from reopened(continued(applied, campaign), counted.values())


def _schedule_changes(applied: Campaign, campaign: Campaign, next_number: int) -> Iterator[str]:
    """Yield what a spec says of when versions count otherwise than it was applied or activated."""
    after = numbered(campaign)
    for version in applied.versions:
        who = f"campaign {campaign.name}: version {version.number}"
        if version.number not in after:
            yield f"{who} is gone: keep it, its figures are in use"
            continue
        before, period = version.counts_from, after[version.number].counts_from
        if period == before or _is_scheduled(applied, version, period):
            continue
        fix = f"add version {next_number}"
        if period is not None and _may_come_to_serve(applied, version, period):
            fix = f"run `{_activation(campaign, version, period)}`"
        yield (
            f"{who} counts from {period or 'no period'}, not from {before or 'no period'} as applied: "
            f"keep that, and {fix}"
        )
    if after.keys() >= numbered(applied).keys():
        yield from _misplaced(applied, campaign)


def _is_scheduled(applied: Campaign, version: Version, period: Period | None) -> bool:
    return period is not None and applied.schedule.entry_of(period) == Entry(period, version.number)


def _may_come_to_serve(applied: Campaign, version: Version, period: Period) -> bool:
    counts = version.counts_from is None or version.counts_from < period
    return counts and applied.version_counting(period) != version


def _misplaced(applied: Campaign, campaign: Campaign) -> Iterator[str]:
    """Yield added versions that have no place among those applied, because an activation came first."""
    known = numbered(applied)
    schedule = applied.schedule.until(campaign.counts_until)
    for entry in added_entries(applied, campaign):
        taken = schedule.entry_of(entry.period)
        if taken is not None:
            yield (
                f"campaign {campaign.name}: version {entry.version} counts from {entry.period}, from which "
                f"version {taken.version} serves: leave counts_from out, and run "
                f"`{_activation(campaign, numbered(campaign)[entry.version], entry.period)}`"
            )
    scheduled = [
        (version, version.counts_from)
        for version in continued(applied, campaign).versions
        if version.counts_from is not None
    ]
    for pair in pairwise(scheduled):
        if pair[0][1] >= pair[1][1]:
            # Where both are applied they were in order.
            (kept, kept_from), (added, added_from) = sorted(pair, key=lambda one: one[0].number not in known)
            yield (
                f"campaign {campaign.name}: version {added.number} counts from {added_from}, and version "
                f"{kept.number} was applied to count from {kept_from}: leave counts_from out, and run "
                f"`{_activation(campaign, added, added_from)}`"
            )


def _activation(campaign: Campaign, version: Version, period: Period) -> str:
    return f"rung campaign activate {campaign.name} {version.number} --from {period}"


def _prolonged(
    applied: Campaign, campaign: Campaign, counted: Mapping[int, CountedVersion], next_number: int
) -> Iterator[str]:
    """Yield the version that would serve periods that it has not counted; only `counts_until` can do that."""
    after = continued(applied, campaign)
    added = {
        version.number: CountedVersion(after, version, {}, {}, periods_of(after, version))
        for version in after.versions
    }
    for version, _ in uncounted(after, {**added, **counted}):
        last = Period(campaign.calendar.kind, version.periods[1])
        yield (
            f"campaign {campaign.name}: counts_until moves from {applied.counts_until or 'no period'} to "
            f"{campaign.counts_until or 'no period'}, and version {version.version.number} may have missed "
            f"transactions after {last}: add version {next_number} that counts from {last.next()}"
        )
