"""A campaign's schedule as a time line: who serves when, who is counted beside, and whose past is missing."""

from __future__ import annotations

from rung.campaign.catalog import Catalog, CountedVersion
from rung.campaign.counted import last_of, periods_text


def timeline(catalog: Catalog, name: str) -> list[str]:
    """Return a line for each span that a version serves, then one for each version that serves nothing."""
    campaign, versions = catalog.campaigns[name], catalog.versions_of(name)
    spans = campaign.spans()
    rows = [
        (periods_text(campaign, span.first.ordinal, last_of(campaign, span)), versions[span.version])
        for span in spans
    ]
    serving = {span.version for span in spans}
    rows += [("shadow", counted) for number, counted in sorted(versions.items()) if number not in serving]
    width = max(len(served) for served, _ in rows)
    return [f"{served:<{width}}  {_version_text(counted)}" for served, counted in rows]


def _version_text(counted: CountedVersion) -> str:
    state = "complete" if counted.complete else "partial"
    counts = periods_text(counted.campaign, *counted.periods)
    return f"version {counted.version.number}, {state}, counts {counts}"
