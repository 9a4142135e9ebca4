"""A campaign of three versions, the last one a shadow, and what tests ask of its catalog."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rung.campaign.calendar import Period, PeriodKind
from rung.campaign.catalog import Catalog, CatalogRefused
from rung.campaign.model import Campaign
from rung.campaign.spec import load

STEP = """\
campaign: step
timezone: Asia/Tokyo
currency: JPY
counts_until: 2022-03
attributes: {service: string, lines: integer}
user_attributes: {premium: boolean}
versions:
  - version: 0
    counts_from: 2020-04
    measures: {payments: {count: amount >= 100}, total: {sum: amount}}
    reward: {base_percent: 1}
  - version: 1
    counts_from: 2021-08
    measures: {payments: {count: amount >= 300}, services: {distinct: service}}
    reward: {base_percent: 1}
  - version: 2
    measures: {days: {distinct: day}}
    reward: {base_percent: 2}
"""
VERSION_1 = STEP[STEP.index("  - version: 1") : STEP.index("  - version: 2")]
VERSION_2 = STEP[STEP.index("  - version: 2") :]
OTHER = STEP.replace("campaign: step", "campaign: other")
STARTS = {0: 41, 3: 7}


def spec(*replacements: tuple[str, str], text: str = STEP) -> Campaign:
    """Return a campaign with parts of its text replaced."""
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return load(text, "spec.yaml")


def period(text: str) -> Period:
    """Return a month."""
    return Period.parse(text, PeriodKind.MONTH)


def month(text: str) -> int:
    """Return a month's ordinal."""
    return period(text).ordinal


def added(number: int, text: str) -> tuple[str, str]:
    """Return what adds a version with `counts_from` to the spec."""
    version = VERSION_1.replace("version: 1", f"version: {number}").replace("2021-08", text)
    return VERSION_2, VERSION_2 + version


def serving(catalog: Catalog, name: str = "step") -> str:
    """Return which version serves which periods of a campaign, as text."""
    spans = catalog.campaigns[name].spans()
    return ", ".join(f"{span.version}: {span.first}..{span.last or ''}" for span in spans)


def counted(catalog: Catalog) -> list[tuple[str, str]]:
    """Return the periods that each version counts, as text."""
    return [
        (str(Period(PeriodKind.MONTH, first)), str(Period(PeriodKind.MONTH, last)))
        for first, last in (one.periods for one in catalog.versions)
    ]


def refused(change: Callable[[], object]) -> tuple[str, ...]:
    """Return the reasons for which a change is refused."""
    with pytest.raises(CatalogRefused) as raised:
        change()
    return raised.value.reasons
