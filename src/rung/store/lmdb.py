"""The embedded store: one LMDB environment, read by many processes beside one writer.

Databases and their keys:

    meta              b"format", b"catalog", b"revision", b"counters", b"log"
                      b"audit/", number u64 -> an entry of the audit list
    applied           partition u16 -> offset i64, event_at i64
    transactions      transaction id -> record
    users             user id -> record
    user_attributes   user id -> record
    quarantine        partition u16, offset u64 -> reason, detail, at, payload (MessagePack)

A commit is one LMDB transaction with an fsync: a reader, or the next start after a crash, sees
all of it or nothing. LMDB writes whole pages, so the keys of a batch are written in their order.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, takewhile
from pathlib import Path
from typing import Final, cast

import lmdb
import msgspec

from rung.faultpoints import passing
from rung.freed_pages import overwrite_freed, rebuild, rewrite
from rung.store.lmdb_survey import LmdbSurvey
from rung.store.lmdb_values import (
    audit_key,
    audit_number,
    pack_applied,
    pack_counters,
    pack_quarantined,
    pack_revision,
    partition_key,
    partition_of_key,
    position_key,
    unpack_applied,
    unpack_counters,
    unpack_quarantined,
    unpack_revision,
)
from rung.store.port import (
    NOTHING_APPLIED,
    Applied,
    BoundLog,
    Change,
    Counters,
    Quarantined,
    Standing,
    StoreError,
    guard_audit,
    guard_catalog,
    guard_commit,
    guard_entries,
)
from rung.store.survey import RecordCounts, Survey

FORMAT: Final = b"rung-store-1"
MAP_BYTES_DEFAULT: Final = 1 << 40
"""Address space, not disk: the file is as large as what was written."""
READERS_MAX: Final = 1024

_AUDIT_END: Final = audit_key((1 << 64) - 1)
_DERIVED: Final = (b"applied", b"transactions", b"users", b"user_attributes", b"quarantine")

_decode_bound: Final = msgspec.msgpack.Decoder(BoundLog).decode


class LmdbStore:
    """A `Store` in a directory. Open it once per process."""

    def __init__(
        self, directory: Path, *, read_only: bool = False, map_bytes: int = MAP_BYTES_DEFAULT
    ) -> None:
        """Open the store; unless `read_only`, make it where there is none.

        Raises:
            StoreError: there is no store to read, it has another format, or cannot be opened.
        """
        if read_only and not (directory / "data.mdb").exists():
            message = f"there is no store in {directory}; run `rung init` first"
            raise StoreError(message)
        try:
            if not read_only:
                directory.mkdir(parents=True, exist_ok=True)
            self._environment = lmdb.open(
                str(directory),
                map_size=map_bytes,
                max_dbs=len(_DERIVED) + 1,
                max_readers=READERS_MAX,
                readonly=read_only,
                readahead=False,
            )
            self._open(create=not read_only)
        except (lmdb.Error, OSError) as error:
            message = f"the store in {directory} cannot be opened: {error}"
            raise StoreError(message) from error

    def _open(self, *, create: bool) -> None:
        def database(name: bytes) -> lmdb._Database:
            return self._environment.open_db(name, create=create)

        self._meta = database(b"meta")
        self._applied, self._transactions, self._users, self._user_attributes, self._quarantine = (
            database(name) for name in _DERIVED
        )
        with self._environment.begin(db=self._meta) as reading:
            found = reading.get(b"format")
        if found is None and create:
            with self._writing() as writing:
                writing.put(b"format", FORMAT, db=self._meta)
        elif found != FORMAT:
            place = self._environment.path()
            message = f"the store in {place} has the format {found!r}; this release reads {FORMAT!r}"
            raise StoreError(message)

    @contextmanager
    def _writing(self) -> Generator[lmdb.Transaction]:
        """Run a write transaction; a full disk or map, or a failed fsync, is a `StoreError`."""
        try:
            with self._environment.begin(write=True) as writing:
                yield writing
        except lmdb.MapFullError as error:
            message = f"the store in {self._environment.path()} is full: raise `store.map_bytes`"
            raise StoreError(message) from error
        except lmdb.Error as error:
            message = f"the store in {self._environment.path()} cannot be written: {error}"
            raise StoreError(message) from error

    def applied(self) -> Mapping[int, Applied]:
        """See `Store.applied`."""
        with self._environment.begin() as reading:
            return self._read_applied(reading)

    def _read_applied(self, reading: lmdb.Transaction) -> dict[int, Applied]:
        with reading.cursor(self._applied) as cursor:
            states = cast("Iterable[tuple[bytes, bytes]]", cursor)
            return {partition_of_key(key): unpack_applied(value) for key, value in states}

    def _read_applied_of(self, reading: lmdb.Transaction, partition: int) -> Applied:
        found = reading.get(partition_key(partition), db=self._applied)
        return NOTHING_APPLIED if found is None else unpack_applied(bytes(found))

    def record_counts(self) -> RecordCounts:
        """See `Counted.record_counts`."""
        with self._environment.begin() as reading:
            users, transactions = reading.stat(self._users), reading.stat(self._transactions)
        return RecordCounts(users["entries"], transactions["entries"])

    def moment(self) -> int | None:
        """See `Store.moment`: the number of LMDB's last transaction that wrote, as readers see it.

        What the environment tells of itself may be ahead: a commit in another process is told there as soon
        as it is written, and readers see it once the disk has it.
        """
        with self._environment.begin() as reading:
            return reading.id()

    def reached(self) -> Mapping[int, int]:
        """See `Store.reached`."""
        with self._environment.begin() as reading:
            return self._read_reached(reading)

    def _read_reached(self, reading: lmdb.Transaction) -> dict[int, int]:
        return {partition: state.offset for partition, state in self._read_applied(reading).items()}

    def bind(self, log: BoundLog) -> BoundLog:
        """See `Store.bind`."""
        with self._writing() as writing:
            writing.put(b"log", msgspec.msgpack.encode(log), db=self._meta, overwrite=False)
            return _decode_bound(writing.get(b"log", b"", db=self._meta))

    def bound(self) -> BoundLog | None:
        """See `Store.bound`."""
        with self._environment.begin() as reading:
            found = reading.get(b"log", db=self._meta)
        return None if found is None else _decode_bound(found)

    def _read_revision(self, reading: lmdb.Transaction) -> int:
        found = reading.get(b"revision", db=self._meta)
        return 0 if found is None else unpack_revision(bytes(found))

    def standing(self, user_id: bytes, partition: int) -> Standing:
        """See `Store.standing`."""
        return self.standings([(user_id, partition)])[0]

    def standings(self, users: Sequence[tuple[bytes, int]]) -> Sequence[Standing]:
        """See `Store.standings`."""
        with self._environment.begin() as reading:
            revision = self._read_revision(reading)
            # Often it is one user alone: to read every partition would take longer than all the rest.
            applied = {
                partition: self._read_applied_of(reading, partition)
                for partition in {partition for _, partition in users}
            }
            figures, attributes = self._users, self._user_attributes
            return [
                Standing(
                    reading.get(user_id, db=figures),
                    reading.get(user_id, db=attributes),
                    applied[partition],
                    revision,
                )
                for user_id, partition in users
            ]

    def transactions(self, transaction_ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """See `Store.transactions`."""
        return self._get_all(self._transactions, transaction_ids)

    def users(self, user_ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """See `Store.users`."""
        return self._get_all(self._users, user_ids)

    def user_attributes(self, user_ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """See `Store.user_attributes`."""
        return self._get_all(self._user_attributes, user_ids)

    def _get_all(self, database: lmdb._Database, keys: Sequence[bytes]) -> list[bytes | None]:
        with self._environment.begin() as reading:
            return self._read_all(reading, database, keys)

    def _read_all(
        self, reading: lmdb.Transaction, database: lmdb._Database, keys: Sequence[bytes]
    ) -> list[bytes | None]:
        with reading.cursor(database) as cursor:
            # Sorted keys walk the tree once, and sorting what is in order already costs little.
            found = cast("dict[bytes, bytes]", dict(cursor.getmulti(sorted(keys))))
        if not found:
            return [None] * len(keys)
        return [found.get(key) for key in keys]

    @contextmanager
    def survey(self) -> Generator[Survey]:
        """See `Store.survey`: one snapshot. While it is open, the file keeps what is replaced, and grows."""
        with self._environment.begin() as reading:
            yield LmdbSurvey(
                reading,
                (self._users, self._user_attributes, self._transactions),
                self._read_revision(reading),
                self._read_reached(reading),
            )

    def counters(self) -> Counters:
        """See `Store.counters`."""
        with self._environment.begin() as reading:
            return self._read_counters(reading)

    def _read_counters(self, reading: lmdb.Transaction) -> Counters:
        found = reading.get(b"counters", db=self._meta)
        return Counters() if found is None else unpack_counters(bytes(found))

    def commit(self, change: Change) -> None:
        """See `Store.commit`."""
        with self._writing() as writing:
            guard_commit(change, self._read_revision(writing), self._read_applied(writing))
            guard_audit(change.audit, self._read_audit_end(writing)[0])
            records = (
                (self._transactions, change.transactions),
                (self._users, change.users),
                (self._user_attributes, change.user_attributes),
            )
            if change.computed_at != writing.id() - 1:
                # Another has written since, perhaps what this change was computed from.
                for database, entries in records:
                    guard_entries(entries, self._read_all(writing, database, entries.keys))
            applied = ((partition_key(one), pack_applied(state)) for one, state in change.applied.items())
            for database, entries in (
                *((database, entries.new()) for database, entries in records),
                (self._applied, sorted(applied)),
                (self._quarantine, sorted(pack_quarantined(event) for event in change.quarantined)),
            ):
                if entries:
                    with writing.cursor(database) as cursor:
                        cursor.putmulti(entries)
            for database, entries in records:
                for key in entries.removed():
                    writing.delete(key, db=database)
            self._append_audit(writing, change.audit)
            total = change.counters.added_to(self._read_counters(writing))
            writing.put(b"counters", pack_counters(total), db=self._meta)
            passing("committing")

    def catalog(self) -> tuple[int, bytes | None]:
        """See `Store.catalog`."""
        with self._environment.begin() as reading:
            return self._read_revision(reading), reading.get(b"catalog", db=self._meta)

    def put_catalog(
        self,
        expected_revision: int,
        record: bytes,
        reached: Mapping[int, int] | None,
        audit: tuple[int, bytes] | None = None,
    ) -> None:
        """See `Store.put_catalog`."""
        with self._writing() as writing:
            guard_catalog(
                expected_revision, reached, self._read_revision(writing), self._read_reached(writing)
            )
            guard_audit(audit, self._read_audit_end(writing)[0])
            self._write_catalog(writing, record)
            self._append_audit(writing, audit)

    def _write_catalog(self, writing: lmdb.Transaction, record: bytes) -> None:
        revision = self._read_revision(writing) + 1
        writing.put(b"revision", pack_revision(revision), db=self._meta)
        writing.put(b"catalog", record, db=self._meta)

    def audit(self, after: int, count_max: int) -> Sequence[bytes]:
        """See `Store.audit`."""
        with self._environment.begin() as reading, reading.cursor(self._meta) as cursor:
            if not cursor.set_range(audit_key(after + 1)):
                return []
            found = takewhile(lambda item: audit_number(bytes(item[0])) is not None, cursor.iternext())
            return [bytes(record) for _, record in islice(found, count_max)]

    def audit_end(self) -> tuple[int, bytes | None]:
        """See `Store.audit_end`."""
        with self._environment.begin() as reading:
            return self._read_audit_end(reading)

    def _read_audit_end(self, reading: lmdb.Transaction) -> tuple[int, bytes | None]:
        with reading.cursor(self._meta) as cursor:
            # What stands before the place behind all entries is the last one, or no entry.
            found = cursor.prev() if cursor.set_range(_AUDIT_END) else cursor.last()
            number = audit_number(bytes(cursor.key())) if found else None
            return (0, None) if number is None else (number, bytes(cursor.value()))

    def record_audit(self, expected: int, record: bytes) -> None:
        """See `Store.record_audit`."""
        with self._writing() as writing:
            guard_audit((expected, record), self._read_audit_end(writing)[0])
            self._append_audit(writing, (expected, record))

    def _append_audit(self, writing: lmdb.Transaction, audit: tuple[int, bytes] | None) -> None:
        if audit is not None:
            writing.put(audit_key(audit[0] + 1), audit[1], db=self._meta)

    def quarantine(self, after: tuple[int, int] | None, count_max: int) -> Sequence[Quarantined]:
        """See `Store.quarantine`."""
        with self._environment.begin() as reading, reading.cursor(self._quarantine) as cursor:
            start = b"" if after is None else position_key(after[0], after[1] + 1)
            if not cursor.set_range(start):
                return []
            return [unpack_quarantined(key, value) for key, value in islice(cursor.iternext(), count_max)]

    def quarantined(self, partition: int, offset: int) -> Quarantined | None:
        """See `Store.quarantined`."""
        key = position_key(partition, offset)
        with self._environment.begin() as reading:
            found = reading.get(key, db=self._quarantine)
        return None if found is None else unpack_quarantined(key, found)

    def release(self, positions: Sequence[tuple[int, int]]) -> int:
        """See `Store.release`."""
        with self._writing() as writing:
            return sum(writing.delete(position_key(*position), db=self._quarantine) for position in positions)

    def reset(self, catalog_record: bytes) -> None:
        """See `Store.reset`."""
        with self._writing() as writing:
            for database in (
                self._applied,
                self._transactions,
                self._users,
                self._user_attributes,
                self._quarantine,
            ):
                writing.drop(database, delete=False)
            writing.delete(b"counters", db=self._meta)
            writing.delete(b"log", db=self._meta)
            self._write_catalog(writing, catalog_record)

    def overwrite_freed(self, *, thoroughly: bool = False) -> None:
        """Overwrite what the file still holds of records that are gone: see `rung.freed_pages`.

        Call it on a store that was opened after they were removed. The keys of all users are written anew; to
        be thorough, every record is.
        """
        try:
            rebuild(self._environment, [self._users, self._user_attributes, self._quarantine])
            if thoroughly:
                rewrite(self._environment)
            # What the first time is freed by a change before it, the second one finds.
            for _ in range(2):
                overwrite_freed(self._environment)
        except lmdb.Error as error:
            message = f"the store in {self._environment.path()} cannot be written: {error}"
            raise StoreError(message) from error

    def close(self) -> None:
        """See `Store.close`."""
        self._environment.close()
