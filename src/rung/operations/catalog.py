"""Changing the stored catalog while workers apply events and others change it, too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog, CountedVersion
from rung.campaign.described import VersionsDescription, describe_versions
from rung.campaign.model import Campaign
from rung.campaign.schedule import Schedule
from rung.operations.author import Author
from rung.operations.errors import OperationRefused, ScheduleMoved
from rung.status.evaluate import UnknownCampaign
from rung.store.again import until_stored
from rung.store.audit import decode_entry, due_audit
from rung.store.port import Store

_ENTRIES_SHOWN_MAX: Final = 1_000


def apply_campaigns(
    store: Store, campaigns: Sequence[Campaign], clock: Callable[[], int], author: Author
) -> tuple[Catalog, Catalog, Mapping[int, int]]:
    """Apply campaigns to the stored catalog, and return it before and after, and where they start.

    The start of a version is how far each partition has been reached at the very moment of the
    change, so the store refuses the change when a worker has moved on in between, and it is decided again.

    Raises:
        CatalogRefused: a campaign contradicts what is in force.
        Overtaken: others moved on between every read and write.
    """
    names = sorted({campaign.name for campaign in campaigns})

    def applied() -> tuple[Catalog, Catalog, Mapping[int, int]]:
        reached = store.reached()
        revision, record = store.catalog()
        before = Catalog.decode(record)
        starts = {partition: offset for partition, offset in reached.items() if offset >= 0}
        after = before
        for campaign in campaigns:
            after = after.apply(campaign, starts)
        if after == before:
            return before, after, starts
        audit = due_audit(
            store,
            clock,
            author.who,
            "campaign.apply",
            ", ".join(names),
            _versions_by_name(before, names),
            _versions_by_name(after, names),
            author.reason,
        )
        store.put_catalog(revision, after.encode(), reached, audit)
        return before, after, starts

    return until_stored(applied)


def change_campaign(
    store: Store,
    name: str,
    change: Callable[[Catalog], Catalog],
    clock: Callable[[], int],
    action: str,
    subject: str,
    author: Author,
) -> tuple[Catalog, Catalog]:
    """Change what an applied campaign serves or counts, and return the catalog before and after.

    One compare-and-set with its audit entry: it happens just if the catalog is what `change` was given. Where
    another change came first, it is decided again, unless that one has moved the campaign's schedule: then
    whoever decided this one has to look again.

    Raises:
        UnknownCampaign: it is not applied.
        CatalogRefused: `change` refuses.
        ScheduleMoved: the campaign's schedule was changed meanwhile; the text says what was done.
        Overtaken: others came first again and again.
    """
    # Read before the catalog, so that whatever is changed after the catalog was read stands behind it.
    audited = store.audit_end()[0]
    decided_by: Schedule | None = None

    def changed() -> tuple[Catalog, Catalog]:
        nonlocal decided_by
        revision, record = store.catalog()
        before = Catalog.decode(record)
        schedule = campaign_of(before, name).schedule
        if decided_by is not None and schedule != decided_by:
            raise ScheduleMoved(_moved_text(store, name, audited))
        decided_by = schedule
        after = change(before)
        audit = due_audit(
            store,
            clock,
            author.who,
            action,
            subject,
            _versions_by_name(before, [name]),
            _versions_by_name(after, [name]),
            author.reason,
        )
        store.put_catalog(revision, after.encode(), None, audit)
        return before, after

    return until_stored(changed)


def campaign_of(catalog: Catalog, name: str) -> Campaign:
    """Return a campaign by its name.

    Raises:
        UnknownCampaign: there is none.
    """
    if name not in catalog.campaigns:
        raise UnknownCampaign(name, tuple(catalog.campaigns))
    return catalog.campaigns[name]


def period_of(campaign: Campaign, text: str) -> Period:
    """Read a counting period of a campaign.

    Raises:
        OperationRefused: it is none; the text says what is due.
    """
    try:
        return Period.parse(text, campaign.calendar.kind)
    except ValueError as error:
        kind = campaign.calendar.kind
        raise OperationRefused(f"{error} (campaign {campaign.name} counts by {kind})") from error


def version_of(catalog: Catalog, name: str, number: int) -> CountedVersion:
    """Return a version of an applied campaign.

    Raises:
        UnknownCampaign: there is no such campaign.
        OperationRefused: it has no such version; the text says which it has.
    """
    campaign_of(catalog, name)
    versions = catalog.versions_of(name)
    if number not in versions:
        known = ", ".join(map(str, sorted(versions)))
        raise OperationRefused(f"campaign {name} has no version {number}; there are: {known}")
    return versions[number]


def _versions_by_name(catalog: Catalog, names: Sequence[str]) -> dict[str, VersionsDescription]:
    """Return what the campaigns serve and count, by name; one that is not applied is absent."""
    return {
        name: describe_versions(catalog.campaigns[name], catalog.versions_of(name).values())
        for name in names
        if name in catalog.campaigns
    }


def _moved_text(store: Store, name: str, audited: int) -> str:
    """Return what others did to a campaign since the audit list had so many entries."""
    entries = [decode_entry(record) for record in store.audit(audited, _ENTRIES_SHOWN_MAX)]
    done = [
        f"{entry.who} ran {entry.action} {entry.subject} ({entry.reason or 'no reason given'})"
        for entry in entries
        if name in (entry.after or {})
    ]
    return (
        f"the schedule of campaign {name} was changed meanwhile: {'; '.join(done)}. This change was not "
        f"made: look at `rung campaign show {name}`, and run the command again if it is still right"
    )
