"""A store in memory: for tests and simulations, with the laws of the durable ones."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from rung.store.port import (
    NOTHING_APPLIED,
    Applied,
    BoundLog,
    Change,
    Counters,
    Entries,
    Quarantined,
    Standing,
    guard_audit,
    guard_catalog,
    guard_commit,
    guard_entries,
)
from rung.store.survey import CHUNK_RECORDS, Survey, SurveyedUser


@dataclass(frozen=True)
class _Survey:
    """A copy of the records."""

    catalog_revision: int
    applied: Mapping[int, int]
    figures: Mapping[bytes, bytes]
    attributes: Mapping[bytes, bytes]
    histories: Mapping[bytes, bytes]

    def users(self) -> Iterator[Sequence[SurveyedUser]]:
        """See `Survey.users`."""
        user_ids = iter(self.figures.keys() | self.attributes.keys())
        while chunk := list(islice(user_ids, CHUNK_RECORDS)):
            yield [
                SurveyedUser(user_id, self.figures.get(user_id), self.attributes.get(user_id), -1)
                for user_id in chunk
            ]

    def transactions(self) -> Iterator[Sequence[tuple[bytes, bytes]]]:
        """See `Survey.transactions`."""
        records = iter(self.histories.items())
        while chunk := list(islice(records, CHUNK_RECORDS)):
            yield chunk


class MemoryStore:
    """Keeps everything in dictionaries, behind one lock."""

    def __init__(self) -> None:
        """Make an empty store."""
        self._lock = threading.RLock()
        self._catalog: tuple[int, bytes | None] = (0, None)
        self._audit: list[bytes] = []
        self._empty()

    def _empty(self) -> None:
        self._bound: BoundLog | None = None
        self._applied: dict[int, Applied] = {}
        self._transactions: dict[bytes, bytes] = {}
        self._users: dict[bytes, bytes] = {}
        self._user_attributes: dict[bytes, bytes] = {}
        self._quarantine: dict[tuple[int, int], Quarantined] = {}
        self._counters = Counters()

    def applied(self) -> Mapping[int, Applied]:
        """See `Store.applied`."""
        with self._lock:
            return dict(self._applied)

    def moment(self) -> int | None:
        """See `Store.moment`: none, because looking costs nothing here."""
        return None

    def reached(self) -> Mapping[int, int]:
        """See `Store.reached`."""
        with self._lock:
            return {partition: state.offset for partition, state in self._applied.items()}

    def bind(self, log: BoundLog) -> BoundLog:
        """See `Store.bind`."""
        with self._lock:
            self._bound = self._bound or log
            return self._bound

    def bound(self) -> BoundLog | None:
        """See `Store.bound`."""
        with self._lock:
            return self._bound

    def standing(self, user_id: bytes, partition: int) -> Standing:
        """See `Store.standing`."""
        return self.standings([(user_id, partition)])[0]

    def standings(self, users: Sequence[tuple[bytes, int]]) -> Sequence[Standing]:
        """See `Store.standings`."""
        with self._lock:
            return [
                Standing(
                    self._users.get(user_id),
                    self._user_attributes.get(user_id),
                    self._applied.get(partition, NOTHING_APPLIED),
                    self._catalog[0],
                )
                for user_id, partition in users
            ]

    def transactions(self, transaction_ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """See `Store.transactions`."""
        with self._lock:
            return [self._transactions.get(key) for key in transaction_ids]

    def users(self, user_ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """See `Store.users`."""
        with self._lock:
            return [self._users.get(key) for key in user_ids]

    def user_attributes(self, user_ids: Sequence[bytes]) -> Sequence[bytes | None]:
        """See `Store.user_attributes`."""
        with self._lock:
            return [self._user_attributes.get(key) for key in user_ids]

    @contextmanager
    def survey(self) -> Generator[Survey]:
        """See `Store.survey`."""
        with self._lock:
            copied = _Survey(
                self._catalog[0],
                self.reached(),
                self._users.copy(),
                self._user_attributes.copy(),
                self._transactions.copy(),
            )
        yield copied

    def counters(self) -> Counters:
        """See `Store.counters`."""
        with self._lock:
            return self._counters

    def commit(self, change: Change) -> None:
        """See `Store.commit`."""
        with self._lock:
            guard_commit(change, self._catalog[0], self._applied)
            guard_audit(change.audit, len(self._audit))
            records: tuple[tuple[dict[bytes, bytes], Entries], ...] = (
                (self._transactions, change.transactions),
                (self._users, change.users),
                (self._user_attributes, change.user_attributes),
            )
            for stored, entries in records:
                guard_entries(entries, [stored.get(key) for key in entries.keys])
            for stored, entries in records:
                stored.update(entries.new())
                for key in entries.removed():
                    stored.pop(key, None)
            self._applied.update(change.applied)
            self._append(change.audit)
            self._quarantine.update({(event.partition, event.offset): event for event in change.quarantined})
            self._counters = change.counters.added_to(self._counters)

    def catalog(self) -> tuple[int, bytes | None]:
        """See `Store.catalog`."""
        with self._lock:
            return self._catalog

    def put_catalog(
        self,
        expected_revision: int,
        record: bytes,
        reached: Mapping[int, int] | None,
        audit: tuple[int, bytes] | None = None,
    ) -> None:
        """See `Store.put_catalog`."""
        with self._lock:
            guard_catalog(expected_revision, reached, self._catalog[0], self.reached())
            guard_audit(audit, len(self._audit))
            self._catalog = (expected_revision + 1, record)
            self._append(audit)

    def audit(self, after: int, count_max: int) -> Sequence[bytes]:
        """See `Store.audit`."""
        with self._lock:
            return self._audit[after : after + count_max]

    def audit_end(self) -> tuple[int, bytes | None]:
        """See `Store.audit_end`."""
        with self._lock:
            return len(self._audit), self._audit[-1] if self._audit else None

    def record_audit(self, expected: int, record: bytes) -> None:
        """See `Store.record_audit`."""
        with self._lock:
            guard_audit((expected, record), len(self._audit))
            self._append((expected, record))

    def _append(self, audit: tuple[int, bytes] | None) -> None:
        if audit is not None:
            self._audit.append(audit[1])

    def quarantine(self, after: tuple[int, int] | None, count_max: int) -> Sequence[Quarantined]:
        """See `Store.quarantine`."""
        with self._lock:
            positions = sorted(key for key in self._quarantine if after is None or key > after)
            return [self._quarantine[key] for key in positions[:count_max]]

    def quarantined(self, partition: int, offset: int) -> Quarantined | None:
        """See `Store.quarantined`."""
        with self._lock:
            return self._quarantine.get((partition, offset))

    def release(self, positions: Sequence[tuple[int, int]]) -> int:
        """See `Store.release`."""
        with self._lock:
            return sum(self._quarantine.pop(position, None) is not None for position in positions)

    def reset(self, catalog_record: bytes) -> None:
        """See `Store.reset`."""
        with self._lock:
            self._empty()
            self._catalog = (self._catalog[0] + 1, catalog_record)

    def close(self) -> None:
        """See `Store.close`."""
