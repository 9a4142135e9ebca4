"""The parts of an erasure: the lake, the store, what is settled, and the reports get the pseudonym."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from rung.batch.duck import DuckEngine
from rung.batch.files import parquet
from rung.batch.proof.report import Reports
from rung.batch.retention.erasing import Erasing
from rung.batch.settlement.settled import Settled, check_rows, replace_manifest, sha256_of, write_rows
from rung.batch.workshop import Workshop
from rung.campaign.declared import Declarations
from rung.faultpoints import passing
from rung.lake.port import LakeFile, LakeState
from rung.lake.rows import REJECTED, SCHEMA, USER_ATTRIBUTES
from rung.store.again import until_stored
from rung.store.port import NO_ENTRIES, Change, Entries, Quarantined, Store
from rung.store.records import (
    UserAttributes,
    decode_transactions,
    decode_user_attributes,
    encode_transactions,
    encode_user_attributes,
)
from rung.transaction.attributes import known_value, read_object
from rung.transaction.history import StoredTransactions
from rung.transaction.reasons import Reason
from rung.transaction.routing import partition_of

_TRANSACTIONS_AT_ONCE: Final = 90
"""They are one user's, and a store may have to take them in one call."""
_EVENTS_AT_ONCE: Final = 1_000


def transactions_of(engine: DuckEngine, state: LakeState, erasing: Erasing) -> list[str]:
    """Return the ids of a user's transactions, under whichever of both names the lake has them."""
    partition = partition_of(erasing.user_id.encode(), state.log.partitions)
    files = [file.path for file in state.files if file.partition == partition]
    if not files:
        return []
    names = pa.table({"user_id": pa.array([erasing.user_id, erasing.pseudonym], pa.string())})
    found = engine.query(
        f"""SELECT DISTINCT "transaction_id" FROM {parquet(files)} SEMI JOIN "names" USING ("user_id")
        WHERE "transaction_id" IS NOT NULL ORDER BY "transaction_id" """,
        names=names,
    )
    return found.column("transaction_id").to_pylist()


def rename_in_lake(workshop: Workshop, erasing: Erasing) -> tuple[int, int]:
    """Write anew the files of the lake that name the user, and return how many files and events that were.

    Attributes that were told of the user become none; the events stay where they are, and what was rejected
    stays so.
    """
    catalog = workshop.catalog()
    files = events = 0
    for file in _files_with(workshop.engine, workshop.lake.state(), erasing):
        declared = catalog.declarations(file.partition)
        rows, changed = _renamed_rows(workshop.lake.read(file), erasing, declared)
        if changed:
            passing("erasing_lake")
            workshop.lake.replace(file, rows)
            files += 1
            events += changed
    return files, events


def _files_with(engine: DuckEngine, state: LakeState, erasing: Erasing) -> list[LakeFile]:
    """Return the files that name the user, and all with rejected events: those may hold anything."""
    if not state.files:
        return []
    named = engine.query(
        f"""SELECT DISTINCT "filename" FROM {parquet([file.path for file in state.files], named=True)} e
        WHERE "kind" = '{REJECTED}' OR "user_id" = (SELECT "user_id" FROM "wanted")""",
        wanted=pa.table({"user_id": pa.array([erasing.user_id], pa.string())}),
    )
    paths = set(named.column("filename").to_pylist())
    return [file for file in state.files if file.path in paths]


def _renamed_rows(rows: pa.Table, erasing: Erasing, declared: Declarations) -> tuple[pa.Table, int]:
    names = ("offset", "user_id", "kind", "attributes", "sequence", "reason", "detail", "payload")
    columns: dict[str, list[Any]] = {name: rows.column(name).to_pylist() for name in names}
    changed = 0
    for index, (user_id, kind) in enumerate(zip(columns["user_id"], columns["kind"], strict=True)):
        if user_id == erasing.user_id:
            columns["user_id"][index] = erasing.pseudonym
            if kind == USER_ATTRIBUTES:
                told = read_object(columns["attributes"][index].encode(), "user_attributes")
                due = declared.at(columns["offset"][index]).user_attributes
                if all(
                    known_value(told[name], type_) is not None for name, type_ in due.items() if name in told
                ):
                    columns["attributes"][index] = "{}"
                else:
                    # Without what made it wrong it would be taken for right.
                    for name, value in _ERASED.items():
                        columns[name][index] = value
            changed += 1
        elif kind == REJECTED:
            before = columns["payload"][index], columns["detail"][index]
            after = erasing.renamed_payload(before[0]), erasing.renamed(before[1])
            columns["payload"][index], columns["detail"][index] = after
            changed += before != after
    table: dict[str, Any] = {name: columns.get(name, rows.column(name)) for name in SCHEMA.names}
    return pa.table(table, schema=SCHEMA), changed


_ERASED: Final[Mapping[str, object]] = {
    "user_id": None,
    "kind": REJECTED,
    "attributes": None,
    "sequence": None,
    "reason": Reason.ATTRIBUTE_TYPE.value,
    "detail": "erased",
    "payload": b"{}",
}
"""What becomes of a rejected event that told attributes of the user."""


def move_user(store: Store, erasing: Erasing, partition: int) -> None:
    """Move a user's figures to the pseudonym, and leave of the attributes only that some were told."""
    until_stored(lambda: _move(store, erasing, partition))


def _move(store: Store, erasing: Erasing, partition: int) -> int:
    names = [erasing.user_id.encode(), erasing.pseudonym.encode()]
    revision = store.catalog()[0]
    figures, attributes = store.users(names), store.user_attributes(names)
    users = told = NO_ENTRIES
    if figures[0] is not None:
        users = Entries(names, figures, [None, figures[0]], names)
    if attributes[0] is not None:
        sequence = decode_user_attributes(attributes[0]).sequence
        told = Entries(names, attributes, [None, encode_user_attributes(UserAttributes(sequence, {}))], names)
    if users is NO_ENTRIES and told is NO_ENTRIES:
        return 0
    passing("erasing_user")
    store.commit(
        Change(
            catalog_revision=revision,
            expected={},
            applied={},
            users=users,
            user_attributes=told,
            user_partitions=dict.fromkeys(names, partition),
        )
    )
    return 1


def own_anew(store: Store, erasing: Erasing, ids: Sequence[str]) -> int:
    """Have a user's transactions belong to the pseudonym, and return how many did not before."""
    count = 0
    for first in range(0, len(ids), _TRANSACTIONS_AT_ONCE):
        keys = [one.encode() for one in ids[first : first + _TRANSACTIONS_AT_ONCE]]
        count += until_stored(lambda keys=keys: _own(store, erasing, keys))
    return count


def _own(store: Store, erasing: Erasing, keys: Sequence[bytes]) -> int:
    revision = store.catalog()[0]
    stored = store.transactions(keys)
    known = decode_transactions(stored)
    own = (known.users == xxhash.xxh3_64_intdigest(erasing.user_id.encode())) & (known.histories.lengths > 0)
    chosen: list[int] = np.flatnonzero(own).tolist()
    if not chosen:
        return 0
    digest = xxhash.xxh3_64_intdigest(erasing.pseudonym.encode())
    rows = np.array(chosen)
    records = encode_transactions(
        StoredTransactions(
            np.full(len(chosen), digest, dtype=np.uint64),
            known.attributes[rows],
            known.histories.take(rows),
        )
    )
    store.commit(
        Change(
            catalog_revision=revision,
            expected={},
            applied={},
            transactions=Entries(
                [keys[index] for index in chosen],
                [stored[index] for index in chosen],
                records,
                [erasing.pseudonym.encode()] * len(chosen),
            ),
        )
    )
    return len(chosen)


def rename_in_quarantine(
    store: Store, erasing: Erasing, mirrored: Callable[[Sequence[tuple[int, int]]], object]
) -> int:
    """Write anew the quarantined events that name the user, and return how many there were.

    `mirrored` takes them out of a mirror of the quarantine.
    """
    count = 0
    after: tuple[int, int] | None = None
    while page := store.quarantine(after, _EVENTS_AT_ONCE):
        after = page[-1].partition, page[-1].offset
        renamed = [_renamed(event, erasing) for event in page]
        changed = [one for one, event in zip(renamed, page, strict=True) if one != event]
        if changed:
            mirrored([(event.partition, event.offset) for event in changed])
            revision = store.catalog()[0]
            store.commit(Change(catalog_revision=revision, expected={}, applied={}, quarantined=changed))
        count += len(changed)
    return count


def _renamed(event: Quarantined, erasing: Erasing) -> Quarantined:
    return Quarantined(
        event.partition,
        event.offset,
        event.reason,
        erasing.renamed(event.detail),
        event.at,
        erasing.renamed_payload(event.payload),
    )


def rename_in_settled(folder: Path, erasing: Erasing, at: int) -> int:
    """Write anew the results, adjustments and grants that name the user; return how many files that were.

    Each manifest gets the new checksum, and says when that was: the user's figures are the same, under
    another name.

    Raises:
        SettledDamaged: a file is not what was written.
    """
    count = 0
    for path in sorted([*(folder / "closed").rglob("*.parquet"), *(folder / "grants").rglob("*.parquet")]):
        manifest = path.with_name("manifest.json" if path.name == "result.parquet" else f"{path.stem}.json")
        rows = pq.read_table(path)
        users = rows.column("user_id").to_pylist()
        if erasing.user_id not in users and erasing.pseudonym not in users:
            continue
        renamed = [erasing.pseudonym if one == erasing.user_id else one for one in users]
        if erasing.user_id in users and manifest.exists():
            files = Settled(path, manifest)
            check_rows(files, sha256_of(files))
        table: dict[str, Any] = {
            name: renamed if name == "user_id" else rows.column(name) for name in rows.column_names
        }
        written = write_rows(path, pa.table(table, schema=rows.schema))
        passing("erasing_settled")
        # One that was renamed before its manifest could tell it is found by its pseudonym.
        count += replace_manifest(folder, manifest, written, at)
    return count


def rename_in_reports(folder: Path, erasing: Erasing) -> int:
    """Write anew the reports of verifications that name the user, and return how many there were."""
    reports = Reports(folder)
    count = 0
    for one in reports.ids():
        report = reports.read(one)
        findings = [
            msgspec.structs.replace(finding, user_id=erasing.pseudonym)
            if finding.user_id == erasing.user_id
            else finding
            for finding in report.findings
        ]
        if findings != report.findings:
            reports.write(msgspec.structs.replace(report, findings=findings))
            count += 1
    return count


def drop_monitor_reports(folder: Path, erasing: Erasing) -> int:
    """Delete the comparisons with payment systems that name the user, and return how many there were.

    They hold whole events of theirs, and are made again by `rung batch monitor`.
    """
    count = 0
    for path in sorted((folder / "monitor").glob("*.parquet")):
        rows = pq.read_table(path, columns=["user_id", "lake_user_id"])
        if any(erasing.user_id in rows.column(name).to_pylist() for name in rows.column_names):
            path.unlink()
            path.with_suffix(".json").unlink(missing_ok=True)
            count += 1
    return count
