"""What a batch job works with: the log, the store, the lake, the engine, and a folder for its results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rung.batch.aggregate import Aggregation, aggregate, owners_in
from rung.batch.archive import archive_up_to
from rung.batch.duck import DuckEngine
from rung.batch.snapshots import Snapshots
from rung.campaign.catalog import Catalog
from rung.lake.port import Lake
from rung.log.port import Log
from rung.store.port import Store


@dataclass(frozen=True, slots=True)
class Workshop:
    """Everything open. `clock` gives microseconds since the epoch."""

    log: Log
    store: Store
    lake: Lake
    engine: DuckEngine
    snapshots: Snapshots
    folder: Path
    clock: Callable[[], int]

    def catalog(self) -> Catalog:
        """Return the catalog in force."""
        return Catalog.decode(self.store.catalog()[1])

    def aggregate_to(self, ends: dict[int, int], *, full: bool = False) -> Aggregation:
        """Archive what the lake lacks before `ends`, and make a snapshot of exactly that."""
        catalog = self.catalog()
        archive_up_to(self.log, self.lake, ends)
        return aggregate(
            self.engine,
            self.snapshots,
            self.lake,
            catalog,
            ends,
            owners_in(self.store),
            full=full,
        )
