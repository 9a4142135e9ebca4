"""Reads snapshots in the oracle's words, and tells whether two hold the same."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow.parquet as pq

from harness import period_text
from oracle import FigureKey
from rung.batch.snapshots import Snapshot, Snapshots, version_key
from rung.campaign.catalog import Catalog
from rung.campaign.model import MeasureKind


def snapshot_figures(snapshots: Snapshots, snapshot: Snapshot, catalog: Catalog) -> dict[FigureKey, int]:
    """Return every figure that is not zero of every user, as `Oracle.figures` does."""
    found: dict[FigureKey, int] = {}
    for counted in catalog.versions:
        campaign, version = counted.campaign, counted.version
        measures = {counted.series[measure.name]: measure for measure in version.measures}
        for name in snapshot.figures[version_key(counted)].values():
            for row in pq.read_table(snapshots.path(name)).to_pylist():
                measure = measures[row["series"]]
                period = period_text(campaign.calendar.kind, row["period"])
                key = (campaign.name, version.number, row["user_id"], measure.name, period)
                is_distinct = measure.kind is MeasureKind.DISTINCT
                found[key] = found.get(key, 0) + (row["value"] > 0 if is_distinct else row["value"])
    return {key: figure for key, figure in found.items() if figure != 0}


def figure_checksums(snapshot: Snapshot) -> dict[tuple[str, int], str]:
    """Return the checksum of each version's figures of each partition."""
    return {
        (version, partition): snapshot.files[name].checksum
        for version, names in snapshot.figures.items()
        for partition, name in names.items()
    }


def rejected_events(snapshots: Snapshots, snapshot: Snapshot) -> Mapping[tuple[int, int], str]:
    """Return the reason code of each event that fits nothing before it, by partition and offset."""
    found: dict[tuple[int, int], str] = {}
    for partition, names in snapshot.rejected.items():
        for name in names:
            for row in pq.read_table(snapshots.path(name)).to_pylist():
                place = (partition, row["offset"])
                assert place not in found, "an event is rejected once"
                found[place] = row["reason"]
    return found


def merged_transactions(snapshots: Snapshots, snapshot: Snapshot) -> dict[tuple[int, str], int]:
    """Return how many steps each merged transaction has, by partition and id: in several parts, the most."""
    found: dict[tuple[int, str], int] = {}
    for partition, names in snapshot.merged.items():
        for name in names:
            for row in pq.read_table(snapshots.path(name)).to_pylist():
                key = (partition, row["transaction_id"])
                found[key] = max(len(row["status"]), found.get(key, 0))
    return found
