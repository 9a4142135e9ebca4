"""What the campaigns are, for a reader of statuses: which measures are money, in which currency."""

from __future__ import annotations

from rung.campaign import expression
from rung.campaign.catalog import Catalog
from rung.campaign.described import schedule_of
from rung.campaign.model import Measure, MeasureKind
from rung.status.messages import CampaignDescription, CatalogDescription, Unit, VersionDescription

_AMOUNTS = frozenset({"amount", "gross_amount", "refunded_amount"})
_ABOVE = {">=": 0, ">": 1}


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
                        {
                            measure.name: least
                            for measure in version.measures
                            if (least := least_of(measure)) is not None
                        },
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


def least_of(measure: Measure) -> int | None:
    """Return the smallest amount that a count takes, if that is all it asks for: 300 for `amount >= 300`."""
    compared = expression.comparison(measure.expression)
    if measure.kind is not MeasureKind.COUNT or measure.where is not None or compared is None:
        return None
    if compared.left.text != "amount" or compared.operator not in _ABOVE:
        return None
    return compared.target + _ABOVE[compared.operator]
