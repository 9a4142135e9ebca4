"""A campaign's schedule as a time line of text."""

from __future__ import annotations

from rung.campaign.catalog import Catalog
from rung.campaign.described import closed_texts
from rung.operations.lanes import Lane, lanes_of


def timeline(catalog: Catalog, name: str) -> list[str]:
    """Return a line for each span that a version serves, then one for each version that serves nothing."""
    lanes = lanes_of(catalog, name)
    width = max(len(lane.serves) for lane in lanes)
    return [
        f"{lane.serves:<{width}}  version {lane.counted.version.number}, "
        f"{'complete' if lane.counted.complete else 'partial'}, counts {lane.counts}{_closed(lane)}"
        for lane in lanes
    ]


def _closed(lane: Lane) -> str:
    closed = closed_texts(lane.counted)
    return f", closed {', '.join(closed)}" if closed else ""
