"""A campaign's schedule as lanes: who serves when, who is counted beside, and whose past is missing."""

from __future__ import annotations

from dataclasses import dataclass

from rung.campaign.catalog import Catalog, CountedVersion
from rung.campaign.counted import last_of, periods_text
from rung.campaign.schedule import Span


@dataclass(frozen=True, slots=True)
class Lane:
    """A span that a version serves, or a version that serves nothing (`span` None: a shadow)."""

    counted: CountedVersion
    span: Span | None

    @property
    def serves(self) -> str:
        """The periods that it serves, in words; "shadow" for none."""
        if self.span is None:
            return "shadow"
        campaign = self.counted.campaign
        return periods_text(campaign, self.span.first.ordinal, last_of(campaign, self.span))

    @property
    def counts(self) -> str:
        """The periods that it counts, in words."""
        return periods_text(self.counted.campaign, *self.counted.periods)


def lanes_of(catalog: Catalog, name: str) -> list[Lane]:
    """Return a lane for each span that a version serves, then one for each version that serves nothing."""
    campaign, versions = catalog.campaigns[name], catalog.versions_of(name)
    spans = campaign.spans()
    serving = {span.version for span in spans}
    return [
        *(Lane(versions[span.version], span) for span in spans),
        *(Lane(counted, None) for number, counted in sorted(versions.items()) if number not in serving),
    ]
