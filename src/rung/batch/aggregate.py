"""Aggregate everything again: from the lake to every user's figures, as of exact positions.

The usual run starts from the last snapshot and reads the events since; the full run starts from nothing.
Both are the same steps, and give the same figures, byte for byte:

1. who claims a transaction that stands in several partitions; 2. for each partition, merge the transactions
that have new events with what is known of them; 3. run each version's plan on those that grew, and add
that to the figures of the snapshot before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

import xxhash

from rung.batch.claims import Claim
from rung.batch.duck import DuckEngine, Span
from rung.batch.files import write_figures, write_rejected
from rung.batch.resolve import resolve
from rung.batch.snapshots import (
    FORMAT,
    HASHED_BY,
    FileMark,
    Snapshot,
    Snapshots,
    judged_by,
    nothing_of,
    version_key,
)
from rung.campaign.catalog import Catalog, CountedVersion
from rung.faultpoints import passing
from rung.lake.port import Lake, LakeDamaged, LakeFile, LakeState
from rung.store.port import Store
from rung.store.records import decode_transactions

PARTS_MAX: Final = 8
"""How many files of merged transactions a partition may have before they are joined into one."""

Owners = Callable[[Sequence[str]], Sequence[int | None]]
"""Tells the digest of the user whose transaction each id is, None where nobody's is known."""


def owners_in(store: Store) -> Owners:
    """Return what a store knows of the owners: it took the claim that came first."""

    def owners(transaction_ids: Sequence[str]) -> Sequence[int | None]:
        records = store.transactions([one.encode() for one in transaction_ids])
        found = decode_transactions(records).users.tolist()
        return [None if record is None else int(user) for record, user in zip(records, found, strict=True)]

    return owners


def nobody(transaction_ids: Sequence[str]) -> Sequence[int | None]:
    """Know no owner: of two claims the one that was appended first counts."""
    return [None] * len(transaction_ids)


@dataclass(frozen=True, slots=True)
class Aggregation:
    """A snapshot that was made, and what it took: events read, transactions that grew."""

    snapshot: Snapshot
    events: int
    transactions: int


def aggregate(
    engine: DuckEngine,
    snapshots: Snapshots,
    lake: Lake,
    catalog: Catalog,
    ends: Mapping[int, int],
    owners: Owners,
    *,
    full: bool = False,
) -> Aggregation:
    """Make a snapshot of what the lake has before `ends`, with the figures of all versions of a catalog.

    The lease must be held.

    Raises:
        LakeDamaged: the lake does not hold all of it, or a file is not what was written.
        SnapshotDamaged: the snapshot to start from is not what was written.
    """
    state = lake.state()
    check_coverage(state, ends)
    earlier = (None if full else snapshots.newest(state.log, ends, catalog)) or nothing_of(state.log)
    snapshots.check(earlier, engine.threads)
    new = [
        one
        for partition, end in ends.items()
        for one in state.of_partition(partition, earlier.positions.get(partition, 0), end)
    ]
    check_files(lake, new, engine.threads)
    run = _Run(engine, snapshots, state, catalog, ends, owners, earlier)
    return run.make()


def check_coverage(lake: LakeState, ends: Mapping[int, int]) -> None:
    """See to it that the lake holds every event before `ends`, as far as its own lists tell.

    Raises:
        LakeDamaged: it does not; the text says what is missing.
    """
    for partition, end in ends.items():
        held = lake.positions.get(partition, 0)
        if held < end:
            raise LakeDamaged(
                f"the lake has partition {partition} up to offset {held}, not up to {end}: "
                "run `rung archive --until-caught-up` first"
            )


def check_files(lake: Lake, files: Sequence[LakeFile], threads: int) -> None:
    """Read files of the lake, and compare them with their checksums.

    An engine that reads a damaged file may give wrong figures, or take all memory that there is.

    Raises:
        LakeDamaged: one is missing, or is not what was written.
    """
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lake.check, files):
            pass


def disowned_by(
    claims: Sequence[Claim], owners: Owners, before: Mapping[int, Sequence[str]]
) -> dict[int, list[str]]:
    """Return the transactions of each partition that a user of another one claimed first, sorted.

    Args:
        claims: All claims of transactions with several, sorted by transaction; of those in `before`, too.
        owners: Tells what is known of the owners.
        before: What was disowned before. It stays so unless the owner is known to be another one.
    """
    earlier = {(partition, one) for partition, ids in before.items() for one in ids}
    lost: dict[int, set[str]] = {}
    contested = [(one, list(found)) for one, found in groupby(claims, key=lambda claim: claim.transaction_id)]
    known = owners([one for one, _ in contested])
    for (transaction_id, found), owner in zip(contested, known, strict=True):
        keeper = _winner(found, owner, earlier).partition
        for partition in {claim.partition for claim in found} - {keeper}:
            lost.setdefault(partition, set()).add(transaction_id)
    return {partition: sorted(ids) for partition, ids in sorted(lost.items())}


def figures_name(partition: int, counted: CountedVersion) -> str:
    """Return the name of the file of a version's figures of a partition."""
    return f"figures-{partition}-{counted.campaign.name}-{counted.version.number}.parquet"


@dataclass(frozen=True, slots=True)
class _Done:
    """The files of one partition, and how many of its transactions grew."""

    partition: int
    merged: list[str]
    rejected: list[str]
    transactions: int
    figures: dict[str, str] = field(default_factory=dict[str, str])


class _Run:
    """One aggregation. Partitions are worked on at the same time, each by an engine of its own."""

    def __init__(
        self,
        engine: DuckEngine,
        snapshots: Snapshots,
        lake: LakeState,
        catalog: Catalog,
        ends: Mapping[int, int],
        owners: Owners,
        earlier: Snapshot,
    ) -> None:
        self._engine = engine
        self._snapshots = snapshots
        self._lake = lake
        self._catalog = catalog
        self._ends = dict(sorted(ends.items()))
        self._owners = owners
        self._earlier = earlier
        self._number, self._folder = snapshots.begin()
        self._files: dict[str, FileMark] = {}
        self._events = 0
        self._unchanged: set[int] = set()

    def make(self) -> Aggregation:
        spans = [self._span(partition) for partition in self._ends]
        self._events = sum(span.end - span.first for span in spans)
        disowned = self._disowned(spans)
        passing("claims_settled")
        with ThreadPoolExecutor(self._engine.threads) as pool:
            done = list(pool.map(partial(self._partition, disowned), spans))
        figures = {
            version_key(counted): {one.partition: one.figures[version_key(counted)] for one in done}
            for counted in self._catalog.versions
        }
        snapshot = Snapshot(
            FORMAT,
            self._number,
            self._lake.log.name,
            self._lake.log.partitions,
            self._ends,
            {one.partition: one.merged for one in done},
            {one.partition: one.rejected for one in done},
            figures,
            disowned,
            {
                partition: judged_by(self._catalog.declarations(partition), end)
                for partition, end in self._ends.items()
            },
            HASHED_BY,
            dict(sorted(self._files.items())),
        )
        passing("snapshot_made")
        self._snapshots.end(snapshot)
        return Aggregation(snapshot, self._events, sum(one.transactions for one in done))

    def _partition(self, disowned: Mapping[int, Sequence[str]], span: Span) -> _Done:
        """Merge one partition, and add what that brings to the figures of every version."""
        with self._engine.sibling() as engine:
            done = self._merge(engine, span)
            for counted in self._catalog.versions:
                done.figures[version_key(counted)] = self._figures(
                    engine, span, counted, done.merged, disowned.get(span.partition, [])
                )
            passing("partition_aggregated")
            return replace(done, merged=self._joined(engine, span.partition, done.merged))

    def _span(self, partition: int) -> Span:
        first = self._earlier.positions.get(partition, 0)
        end = self._ends[partition]
        files = [file.path for file in self._lake.of_partition(partition, first, end)]
        known = self._earlier.merged.get(partition, [])
        declared = self._catalog.declarations(partition)
        return Span(partition, first, end, files, declared, self._snapshots.paths(known))

    def _disowned(self, spans: Sequence[Span]) -> dict[int, list[str]]:
        """Return the transactions of each partition that a user of another one claimed first."""
        before = self._earlier.disowned
        asked = [one for ids in before.values() for one in ids]
        return disowned_by(self._engine.contested(spans, asked), self._owners, before)

    def _merge(self, engine: DuckEngine, span: Span) -> _Done:
        """Merge a partition's new events; the figures are still to come."""
        merged = list(self._earlier.merged.get(span.partition, []))
        rejected = list(self._earlier.rejected.get(span.partition, []))
        self._keep(merged + rejected)
        found = engine.merge(span, resolve)
        path = self._folder / f"merged-{span.partition}.parquet"
        grew = engine.write_merged(path)
        if grew or not merged:
            merged.append(self._mark(path))
        else:
            path.unlink()
            self._unchanged.add(span.partition)
        if found:
            path = self._folder / f"rejected-{span.partition}.parquet"
            write_rejected(found, path)
            rejected.append(self._mark(path))
        return _Done(span.partition, merged, rejected, grew)

    def _figures(
        self,
        engine: DuckEngine,
        span: Span,
        counted: CountedVersion,
        merged: Sequence[str],
        disowned: Sequence[str],
    ) -> str:
        """Write a version's figures of a partition, and return the file's name."""
        before = self._earlier.figures.get(version_key(counted), {}).get(span.partition)
        if disowned != self._earlier.disowned.get(span.partition, []):
            # What counted for one user may count for another now: begin with the first event.
            before = None
        if before is not None and span.partition in self._unchanged:
            self._keep([before])
            return before
        paths = self._snapshots.paths(merged)
        engine.read_merged(paths if before is None else paths[-1:])
        figures = engine.figures(
            [counted],
            self._catalog.attributes,
            whole=before is None,
            disowned=disowned,
            earlier=[] if before is None else [self._snapshots.path(before)],
        )
        path = self._folder / figures_name(span.partition, counted)
        write_figures(figures, path)
        return self._mark(path)

    def _joined(self, engine: DuckEngine, partition: int, merged: list[str]) -> list[str]:
        """Join a partition's files of merged transactions when there are many."""
        if len(merged) < PARTS_MAX:
            return merged
        engine.read_merged(self._snapshots.paths(merged))
        path = self._folder / f"joined-{partition}.parquet"
        engine.write_merged(path)
        for name in merged:
            del self._files[name]
            if name.startswith(f"{self._number}/"):
                self._snapshots.path(name).unlink()
        return [self._mark(path)]

    def _mark(self, path: Path) -> str:
        name, mark = self._snapshots.mark(path)
        self._files[name] = mark
        return name

    def _keep(self, names: Sequence[str]) -> None:
        self._files.update((name, self._earlier.files[name]) for name in names)


def _winner(claims: Sequence[Claim], owner: int | None, earlier: AbstractSet[tuple[int, str]]) -> Claim:
    """Return the claim of the owner that is known, else the one that has won before or was appended first."""
    for claim in claims:
        if xxhash.xxh3_64_intdigest(claim.user_id.encode()) == owner:
            return claim
    left = [claim for claim in claims if (claim.partition, claim.transaction_id) not in earlier]
    return min(left or claims, key=lambda claim: (claim.appended_at, claim.partition))
