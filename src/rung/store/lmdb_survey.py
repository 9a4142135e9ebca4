"""A survey of an LMDB store: all of it is read in one read transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import cast

import lmdb

from rung.store.survey import CHUNK_RECORDS, SurveyedUser


class LmdbSurvey:
    """A `Survey` of one snapshot."""

    def __init__(
        self,
        reading: lmdb.Transaction,
        databases: tuple[lmdb._Database, lmdb._Database, lmdb._Database],
        catalog_revision: int,
        applied: Mapping[int, int],
    ) -> None:
        """Take a read transaction that stays open; the databases are of figures, attributes, transactions."""
        self._reading = reading
        self._figures, self._attributes, self._transactions = databases
        self.catalog_revision = catalog_revision
        self.applied = applied

    def users(self) -> Iterator[Sequence[SurveyedUser]]:
        """See `Survey.users`; they come in the order of their ids."""
        last: bytes | None = None
        while True:
            figures, attributes = self._behind(self._figures, last), self._behind(self._attributes, last)
            # The first of both are among the first of each.
            user_ids = sorted(figures.keys() | attributes.keys())[:CHUNK_RECORDS]
            if not user_ids:
                return
            yield [
                SurveyedUser(user_id, figures.get(user_id), attributes.get(user_id), -1)
                for user_id in user_ids
            ]
            last = user_ids[-1]

    def transactions(self) -> Iterator[Sequence[tuple[bytes, bytes]]]:
        """See `Survey.transactions`; they come in the order of their ids."""
        last: bytes | None = None
        while found := self._behind(self._transactions, last):
            yield list(found.items())
            last = next(reversed(found))

    def _behind(self, database: lmdb._Database, last: bytes | None) -> dict[bytes, bytes]:
        """Return the records behind a key (None: from the first), at most a chunk, in the keys' order."""
        with self._reading.cursor(database) as cursor:
            if last is None:
                placed = cursor.first()
            else:
                placed = cursor.set_range(last) and (cursor.key() != last or cursor.next())
            records = cast("Iterator[tuple[bytes, bytes]]", cursor.iternext())
            return dict(islice(records, CHUNK_RECORDS)) if placed else {}
