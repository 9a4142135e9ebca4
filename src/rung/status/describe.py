"""What the campaigns are, for a reader of statuses: which measures are money, in which currency."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from rung.campaign.catalog import Catalog
from rung.campaign.described import SpanDescription, schedule_of
from rung.campaign.model import Measure, MeasureKind

_AMOUNTS = frozenset({"amount", "gross_amount", "refunded_amount"})


class Unit(StrEnum):
    """What a measure counts; money is in minor units of the campaign's currency."""

    COUNT = "count"
    MONEY = "money"
    NUMBER = "number"


class VersionDescription(msgspec.Struct, frozen=True):
    """One version and the unit of each measure."""

    version: int
    measures: dict[str, Unit]


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


def describe(catalog: Catalog) -> CatalogDescription:
    """Return what readers need to know of a catalog to show its statuses."""
    return CatalogDescription(
        tuple(
            CampaignDescription(
                campaign.name,
                campaign.calendar.zone,
                campaign.currency,
                campaign.calendar.kind.value,
                campaign.effective.value,
                None if campaign.counts_until is None else str(campaign.counts_until),
                schedule_of(campaign),
                tuple(
                    VersionDescription(
                        version.number,
                        {measure.name: unit_of(measure) for measure in version.measures},
                    )
                    for version in campaign.versions
                ),
            )
            for campaign in catalog.campaigns.values()
        )
    )


def unit_of(measure: Measure) -> Unit:
    """Return the unit of a measure: a sum of amounts is money, another sum a plain number."""
    if measure.kind is not MeasureKind.SUM:
        return Unit.COUNT
    return Unit.MONEY if measure.expression.names & _AMOUNTS else Unit.NUMBER
