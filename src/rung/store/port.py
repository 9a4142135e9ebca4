"""The store port: the keyed state that serves reads, written by guarded changes.

Records are opaque bytes here (`rung.store.records` gives them their form); a store only keeps
them, atomically and durably.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import msgspec

from rung.store.survey import Survey


class StoreError(Exception):
    """The store cannot do what was asked, and no retry will help; the text names the fix."""


class StoreBusy(Exception):
    """The store cannot be reached now, or takes no more for the moment. The same may be asked again later.

    Nothing is lost: a change of which a part is stored already is completed by deciding it again.
    """


class ChangeTooLarge(Exception):
    """One user's part of a change is too large. Nothing of it is stored: decide fewer events at once."""


class Overtaken(Exception):
    """The state read for a change has moved since: read again and decide again.

    Another worker applied the partition, the catalog got a new revision, or the audit list another entry.
    """


@dataclass(frozen=True, slots=True)
class Applied:
    """How far a partition has been applied.

    `offset` is that of the last event applied (-1: none), `event_at` the latest time of any step
    applied, in microseconds since the epoch (None: no event had one yet).
    """

    offset: int
    event_at: int | None


NOTHING_APPLIED: Final = Applied(-1, None)
"""The state of a partition before its first event is applied."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An event that was not applied, and why; times are microseconds since the epoch."""

    partition: int
    offset: int
    reason: str
    detail: str
    at: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Counters:
    """What all workers on this store have done, counted once like everything else.

    `events` are those applied, of which `duplicates` brought nothing; `quarantined` counts the
    others by reason. The last batch's time is in microseconds since the epoch. After a change that was
    cut short and decided again, its events that had been stored are among the duplicates, too.
    """

    events: int = 0
    duplicates: int = 0
    batches: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict[str, int])
    last_batch_events: int = 0
    last_batch_at: int = 0

    def added_to(self, before: Counters) -> Counters:
        """Return the totals after these counts of one more batch."""
        reasons = before.quarantined.keys() | self.quarantined.keys()
        return Counters(
            events=before.events + self.events,
            duplicates=before.duplicates + self.duplicates,
            batches=before.batches + self.batches,
            quarantined={
                reason: before.quarantined.get(reason, 0) + self.quarantined.get(reason, 0)
                for reason in sorted(reasons)
            },
            last_batch_events=self.last_batch_events,
            last_batch_at=self.last_batch_at,
        )


class Entries(NamedTuple):
    """Records and what they replace.

    Under `keys[i]`, `after[i]` (None: nothing, the record is removed) takes the place of `before[i]` (None:
    there was nothing); it is of the part of `users[i]` in the change.
    """

    keys: Sequence[bytes]
    before: Sequence[bytes | None]
    after: Sequence[bytes | None]
    users: Sequence[bytes]

    def new(self) -> list[tuple[bytes, bytes]]:
        """Return the keys with their new records, in the order of the keys; those removed are left out."""
        pairs = zip(self.keys, self.after, strict=True)
        return sorted((key, record) for key, record in pairs if record is not None)

    def removed(self) -> list[bytes]:
        """Return the keys whose records are removed."""
        return [key for key, record in zip(self.keys, self.after, strict=True) if record is None]


NO_ENTRIES: Final = Entries((), (), (), ())


@dataclass(frozen=True, slots=True)
class Change:
    """The effect of one micro-batch.

    `expected` and `applied` hold, per partition, the state that the change was computed from and
    the state after it. `user_partitions` names the partition of every user of an entry. `counters` are
    those of this batch alone. `computed_at` is what `Store.moment` said before the first read for it.
    `audit` is an entry of the audit list, as `Store.record_audit` takes it; it is stored with the positions.

    Each user's part of it, all entries with that user, is stored at once or not at all, and only if what
    it replaces has not changed. The positions move when everything is stored. A store that can do more
    stores the whole change at once; with one that cannot, a change that was cut short is completed when
    its events are decided again: what is stored then has nothing left to contribute.
    """

    catalog_revision: int
    expected: Mapping[int, Applied]
    applied: Mapping[int, Applied]
    transactions: Entries = NO_ENTRIES
    users: Entries = NO_ENTRIES
    user_attributes: Entries = NO_ENTRIES
    user_partitions: Mapping[bytes, int] = field(default_factory=dict[bytes, int])
    quarantined: Sequence[Quarantined] = ()
    counters: Counters = Counters()
    computed_at: int | None = None
    audit: tuple[int, bytes] | None = None


class BoundLog(NamedTuple):
    """The log that the store's positions refer to."""

    name: str
    partitions: int


class Standing(msgspec.Struct, frozen=True, gc=False):
    """One user's records and the state of one partition, from a single snapshot.

    A msgspec struct, because every read of a status makes one: it takes a tenth of a dataclass's time.

    `catalog_revision` (0: empty) names the catalog that the figures belong to: a reader that has
    compiled another revision reads the catalog again, so it needs no cache with a lifetime.
    """

    figures: bytes | None
    user_attributes: bytes | None
    applied: Applied
    catalog_revision: int


def guard_commit(change: Change, revision: int, applied: Mapping[int, Applied]) -> None:
    """Check a change against the state that it is about to replace, read in the same transaction.

    Raises:
        Overtaken: the catalog or a partition has moved on.
    """
    if change.catalog_revision != revision:
        message = f"the catalog is at revision {revision}, not {change.catalog_revision}"
        raise Overtaken(message)
    for partition, expected in change.expected.items():
        found = applied.get(partition, NOTHING_APPLIED)
        if found != expected:
            message = f"partition {partition} is applied up to {found.offset}, not {expected.offset}"
            raise Overtaken(message)


def guard_entries(entries: Entries, stored: Sequence[bytes | None]) -> None:
    """Check that entries replace what is stored under their keys, read in the same transaction.

    One partition's worker is enough for a user; but two may come upon the same transaction id at once.

    Raises:
        Overtaken: another change has written one of them.
    """
    for key, before, found in zip(entries.keys, entries.before, stored, strict=True):
        if before != found:
            message = f"the record under {key[:64]!r} is not the one that the change was computed from"
            raise Overtaken(message)


def guard_catalog(
    expected_revision: int, expected: Mapping[int, int] | None, revision: int, reached: Mapping[int, int]
) -> None:
    """Check a catalog's replacement against the state in the same transaction; `expected` None is any.

    Raises:
        Overtaken: the catalog, or what is applied, has moved on.
    """
    if expected_revision != revision:
        message = f"the catalog is at revision {revision}, not {expected_revision}"
        raise Overtaken(message)
    if expected is not None and dict(expected) != dict(reached):
        message = "events were applied meanwhile"
        raise Overtaken(message)


def guard_audit(audit: tuple[int, bytes] | None, count: int) -> None:
    """Check that an entry follows the last one of the audit list, read in the same transaction.

    Raises:
        Overtaken: another entry came first.
    """
    if audit is not None and audit[0] != count:
        message = f"the audit list has {count} entries, not {audit[0]}"
        raise Overtaken(message)


class Store(Protocol):
    """Keyed state.

    Any method may raise `StoreError`, or `StoreBusy` when the store cannot be reached.
    """

    def applied(self) -> Mapping[int, Applied]:
        """Return how far each partition has been applied; one never applied is absent."""
        ...

    def moment(self) -> int | None:
        """Return a number that every change of the store moves, None if there is no such number.

        A change that was computed at the present moment needs no look at what it replaces.
        """
        ...

    def reached(self) -> Mapping[int, int]:
        """Return the highest offset of each partition of which anything may be stored.

        It is that of `applied`, unless a change is under way, or was cut short. A partition of which
        nothing was ever applied or begun is absent.
        """
        ...

    def bind(self, log: BoundLog) -> BoundLog:
        """Return the log that the positions refer to, after binding the store to `log` if it has none."""
        ...

    def bound(self) -> BoundLog | None:
        """Return the log that the positions refer to, None if there is none yet."""
        ...

    def standing(self, user_id: bytes, partition: int) -> Standing:
        """Return what a status is evaluated from."""
        ...

    def standings(self, users: Sequence[tuple[bytes, int]]) -> Sequence[Standing]:
        """Return the standing of each (user id, partition).

        The user's records of each are from one snapshot, and hold all events up to its `applied`.
        """
        ...

    def transactions(self, transaction_ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return the stored record of each transaction, None where there is none."""
        ...

    def users(self, user_ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return the stored figures of each user, None where there are none."""
        ...

    def user_attributes(self, user_ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """Return the stored attributes of each user, None where there are none."""
        ...

    def survey(self) -> AbstractContextManager[Survey]:
        """Open a view of every record; it may be held open while changes are committed."""
        ...

    def counters(self) -> Counters:
        """Return what has been done so far."""
        ...

    def commit(self, change: Change) -> None:
        """Store a change durably.

        With a store that cannot do all of it at once, the audit entry is in the last write, that of the
        positions: it stands there once the whole change does.

        Raises:
            Overtaken: a partition is not at its expected state, the catalog moved on, or the audit list has
                another entry: nothing is stored. Or another worker has written what the change was computed
                from, or the audit list got another entry meanwhile: the rest of the users' parts may be
                stored.
            ChangeTooLarge: a user's part is too large: nothing is stored.
            StoreBusy: some parts may be stored.
        """
        ...

    def catalog(self) -> tuple[int, bytes | None]:
        """Return the catalog's revision (0: empty) and its record."""
        ...

    def put_catalog(
        self,
        expected_revision: int,
        record: bytes,
        reached: Mapping[int, int] | None,
        audit: tuple[int, bytes] | None = None,
    ) -> None:
        """Replace the catalog and raise its revision by one, in one write with an entry of the audit list.

        `reached` None is for a catalog that does not depend on how far the partitions are.

        Raises:
            Overtaken: the revision, how far a partition has been reached, or the audit list differs from
                what was read.
        """
        ...

    def audit(self, after: int, count_max: int) -> Sequence[bytes]:
        """Return the records of audit entries in the order of their numbers (1, 2, ...), from after one."""
        ...

    def audit_end(self) -> tuple[int, bytes | None]:
        """Return how many audit entries there are, and the record of the last one."""
        ...

    def record_audit(self, expected: int, record: bytes) -> None:
        """Append an entry to the audit list if it has exactly `expected` entries; see `rung.store.audit`.

        Raises:
            Overtaken: it has another number of entries.
        """
        ...

    def quarantine(self, after: tuple[int, int] | None, count_max: int) -> Sequence[Quarantined]:
        """Return quarantined events in the order of their positions, from just after one."""
        ...

    def quarantined(self, partition: int, offset: int) -> Quarantined | None:
        """Return one quarantined event, or None."""
        ...

    def release(self, positions: Sequence[tuple[int, int]]) -> int:
        """Remove events from quarantine and return how many there were."""
        ...

    def reset(self, catalog_record: bytes) -> None:
        """Forget the log and all that was derived from it, and put a catalog in place of the old one.

        The audit list stays: it is of what people did.
        """
        ...

    def close(self) -> None:
        """Release what the store holds. Stored state stays."""
        ...
