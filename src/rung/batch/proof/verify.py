"""Verify: compare every user with what the lake gives, for exactly the events that its record claims to hold.

1. survey the store; 2. aggregate the lake as of the survey's positions; 3. compare all figures, transactions
and attributes, as relations; 4. examine those that differ one by one, as they are then: most of them, while
events flow, have only moved on. What remains is a difference, and has a cause.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import xxhash

from rung.batch.archive import archive_up_to
from rung.batch.duck import Span
from rung.batch.proof.closed_steps import differing_marks, with_closed_steps
from rung.batch.proof.compare import differing_attributes, differing_figures, differing_transactions
from rung.batch.proof.examine import Examiner
from rung.batch.proof.examined import Examined
from rung.batch.proof.report import FORMAT, Report, causes_of, finding_of
from rung.batch.proof.surveyed import Surveyed, survey_to_files
from rung.batch.resolve import resolve
from rung.batch.settlement.closed import Closed, those_shown
from rung.batch.snapshots import Snapshot, version_key
from rung.batch.workshop import Workshop
from rung.campaign.catalog import Catalog, CountedVersion
from rung.store.port import Overtaken
from rung.store.records import decode_transactions

_EXAMINED_AT_ONCE: Final = 2_000
_CATCH_UPS_MAX: Final = 100


class CatalogMoved(Exception):
    """The campaigns changed while the store was surveyed: verify again."""


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Users to examine, and transactions that the lake does not know: by their user, and nobody's."""

    users: Sequence[str]
    strangers: Mapping[str, Sequence[str]]
    nobodys: Sequence[str]


def verify(workshop: Workshop, report_id: str, told: Callable[[str], object]) -> Report:
    """Compare every user and return what differs. The store may go on changing meanwhile.

    Args:
        workshop: What to work with.
        report_id: The id of the report.
        told: Is told what is being done.

    Raises:
        CatalogMoved: the campaigns changed meanwhile.
        LakeError: the lake cannot be read, or cannot be brought up to the store's positions.
        SettledDamaged: the result of a closed period is missing, or is not what was written.
        SnapshotDamaged: see `rung.batch.aggregate`.
    """
    started_at = workshop.clock()
    scratch = Path(tempfile.mkdtemp(prefix="verify-", dir=workshop.folder))
    try:
        told("reading the store")
        surveyed = survey_to_files(workshop.store, workshop.log.partitions, scratch)
        revision, record = workshop.store.catalog()
        if revision != surveyed.catalog_revision:
            raise CatalogMoved("the campaigns changed while the store was read: verify again")
        catalog = Catalog.decode(record)
        told("aggregating the lake")
        done = workshop.aggregate_to(dict(surveyed.ends))
        told("comparing")
        closed = list(those_shown(workshop.folder, catalog))
        candidates, figures, transactions = _compare(workshop, catalog, surveyed, done.snapshot, closed)
        told(f"examining {len(candidates.users):,} users")
        found = examine_all(
            workshop, catalog, done.snapshot.disowned, candidates.users, candidates.strangers, closed
        )
    finally:
        shutil.rmtree(scratch)
    if any(one.causes for one in found) and workshop.store.catalog()[0] != revision:
        # What was applied meanwhile may have been judged by what the new catalog declares.
        raise CatalogMoved("the campaigns changed while users were compared: verify again")
    names = {
        series: (counted.campaign.name, counted.version.number, name)
        for counted in catalog.versions
        for name, series in counted.series.items()
    }
    findings = [finding_of(one, names) for one in found if one.causes]
    return Report(
        format=FORMAT,
        id=report_id,
        started_at=started_at,
        ended_at=workshop.clock(),
        catalog_revision=revision,
        positions=dict(surveyed.ends),
        users=surveyed.users,
        figures=figures,
        transactions=transactions,
        candidates=len(candidates.users),
        versions=[_name(counted) for counted in catalog.versions if counted.complete],
        incomplete=[_name(counted) for counted in catalog.versions if not counted.complete],
        causes=causes_of(findings, candidates.nobodys),
        findings=findings,
        strangers=list(candidates.nobodys),
    )


def _name(counted: CountedVersion) -> str:
    return f"{counted.campaign.name}/{counted.version.number}"


def _compare(
    workshop: Workshop, catalog: Catalog, surveyed: Surveyed, snapshot: Snapshot, closed: Sequence[Closed]
) -> tuple[_Candidates, int, int]:
    """Return who differs, and how many figures and transactions were compared."""
    versions = [counted for counted in catalog.versions if counted.complete]
    expected = _expected(workshop, versions, catalog, surveyed, snapshot)
    users, figures = differing_figures(workshop.engine, versions, expected, surveyed.figures)
    for one in closed:
        users += differing_marks(workshop.engine, one, surveyed.figures)
    merged = {partition: workshop.snapshots.paths(names) for partition, names in snapshot.merged.items()}
    more, strangers, transactions = differing_transactions(
        workshop.engine, merged, snapshot.disowned, surveyed.transactions, catalog.kept_from
    )
    told = differing_attributes(workshop.engine, workshop.lake.state(), catalog, surveyed)
    by_user, nobodys = _owners_of(workshop, strangers, merged)
    everyone = sorted({*users, *more, *told, *by_user})
    return _Candidates(everyone, by_user, nobodys), figures, transactions


def _expected(
    workshop: Workshop,
    versions: Sequence[CountedVersion],
    catalog: Catalog,
    surveyed: Surveyed,
    snapshot: Snapshot,
) -> pa.Table:
    """Return the figures that are due: those of the snapshot, and what later claims of users add to them."""
    files = [
        workshop.snapshots.path(name)
        for counted in versions
        for name in snapshot.figures[version_key(counted)].values()
    ]
    if surveyed.later:
        ends = {partition: max(users.values()) for partition, users in surveyed.later.items()}
        archive_up_to(workshop.log, workshop.lake, ends)
    added = [
        _later(workshop, versions, catalog, surveyed, snapshot, partition) for partition in surveyed.later
    ]
    return workshop.engine.added_figures(files, added)


def _later(
    workshop: Workshop,
    versions: Sequence[CountedVersion],
    catalog: Catalog,
    surveyed: Surveyed,
    snapshot: Snapshot,
    partition: int,
) -> pa.Table:
    """Return what the events behind the snapshot add for users whose records hold more than it."""
    users = surveyed.later[partition]
    first = snapshot.positions[partition]
    files = [file.path for file in workshop.lake.state().of_partition(partition, first, max(users.values()))]
    known = workshop.snapshots.paths(snapshot.merged[partition])
    declared = catalog.declarations(partition)
    workshop.engine.merge(Span(partition, first, first, files, declared, known, users), resolve)
    return workshop.engine.figures(
        versions, catalog.attributes, whole=False, disowned=snapshot.disowned.get(partition, [])
    )


def _owners_of(
    workshop: Workshop, strangers: Sequence[str], merged: Mapping[int, Sequence[Path]]
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the strangers by the user whose digest their record has, and those of no known user."""
    if not strangers:
        return {}, []
    stored = workshop.store.transactions([one.encode() for one in strangers])
    digests = decode_transactions(stored).users.tolist()
    paths = [path for found in merged.values() for path in found]
    users = workshop.engine.users_in(paths)
    by_digest = {xxhash.xxh3_64_intdigest(one.encode()): one for one in users}
    by_user: dict[str, list[str]] = {}
    nobodys: list[str] = []
    for transaction_id, record, digest in zip(strangers, stored, digests, strict=True):
        if record is None:
            continue
        owner = by_digest.get(digest)
        if owner is None:
            nobodys.append(transaction_id)
        else:
            by_user.setdefault(owner, []).append(transaction_id)
    return by_user, nobodys


def examine_all(
    workshop: Workshop,
    catalog: Catalog,
    disowned: Mapping[int, Sequence[str]],
    users: Sequence[str],
    strangers: Mapping[str, Sequence[str]],
    closed: Sequence[Closed],
) -> list[Examined]:
    """Examine users as they are now, with the lake brought up to what their records claim.

    `closed` are the periods that the catalog has as closed.

    Raises:
        Overtaken: the store runs ahead faster than the lake can follow.
    """
    found: list[Examined] = []
    for first in range(0, len(users), _EXAMINED_AT_ONCE):
        waiting = list(users[first : first + _EXAMINED_AT_ONCE])
        for _ in range(_CATCH_UPS_MAX):
            ends = {partition: offset + 1 for partition, offset in workshop.store.reached().items()}
            archive_up_to(workshop.log, workshop.lake, ends)
            with Examiner(
                workshop.engine, workshop.lake.state(), workshop.store, catalog, disowned
            ) as examiner:
                done, waiting = examiner.examine(waiting, examiner.events_of(waiting), strangers)
                found += with_closed_steps(workshop.engine, closed, done)
            if not waiting:
                break
        else:
            raise Overtaken(
                "the store moves on faster than the lake follows: verify again when less is going on"
            )
    return found
