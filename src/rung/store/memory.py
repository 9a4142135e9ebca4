"""A store in memory: for tests and simulations, with the laws of the durable ones."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence

from rung.store.port import (
    NOTHING_APPLIED,
    Applied,
    BoundLog,
    Change,
    Counters,
    Quarantined,
    Standing,
    guard_catalog,
    guard_commit,
    guard_entries,
)


class MemoryStore:
    """Keeps everything in dictionaries, behind one lock."""

    def __init__(self) -> None:
        """Make an empty store."""
        self._lock = threading.RLock()
        self._catalog: tuple[int, bytes | None] = (0, None)
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

    def every_user(self) -> Iterable[tuple[bytes, bytes]]:
        """See `Store.every_user`."""
        with self._lock:
            return list(self._users.items())

    def counters(self) -> Counters:
        """See `Store.counters`."""
        with self._lock:
            return self._counters

    def commit(self, change: Change) -> None:
        """See `Store.commit`."""
        with self._lock:
            guard_commit(change, self._catalog[0], self._applied)
            guard_entries(change.transactions, self.transactions(change.transactions.keys))
            guard_entries(change.users, self.users(change.users.keys))
            guard_entries(change.user_attributes, self.user_attributes(change.user_attributes.keys))
            self._applied.update(change.applied)
            self._transactions.update(change.transactions.new())
            self._users.update(change.users.new())
            self._user_attributes.update(change.user_attributes.new())
            self._quarantine.update({(event.partition, event.offset): event for event in change.quarantined})
            self._counters = change.counters.added_to(self._counters)

    def catalog(self) -> tuple[int, bytes | None]:
        """See `Store.catalog`."""
        with self._lock:
            return self._catalog

    def put_catalog(self, expected_revision: int, record: bytes, reached: Mapping[int, int]) -> None:
        """See `Store.put_catalog`."""
        with self._lock:
            guard_catalog(expected_revision, reached, self._catalog[0], self.reached())
            self._catalog = (expected_revision + 1, record)

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
