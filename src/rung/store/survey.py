"""A survey: every record of a store, together with the events that each holds.

It is what the batch layer compares with its own result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

CHUNK_RECORDS: Final = 4_096
"""How many records come at once, at most."""


class SurveyedUser(NamedTuple):
    """A user's records, and the offset in the user's partition that they hold all events up to.

    The offset is -1 where the partition's `Survey.applied` is all there is to say.
    """

    user_id: bytes
    figures: bytes | None
    attributes: bytes | None
    offset: int


class Survey(Protocol):
    """Every record of a store; usable until its `Store.survey` ends.

    Each user's record equals the fold of exactly the user's events up to `max(offset, applied[partition])`,
    where a partition that is absent counts as -1: figures as the catalog in force counts them, corrections
    added; attributes as the last event told them. A transaction's record holds at least its history as of
    `applied`, and what it holds beyond is of later events of its user.

    A store that can gives all of it from one snapshot. With one that cannot, each record is as it is when its
    page is read, after `applied` was: what was stored at `applied` is there unless it was removed since, what
    came later may be there or not, and a catalog put in place meanwhile may have figures of versions that the
    one of `catalog_revision` does not know.

    Both iterators may be used more than once, one after another, while changes are committed.
    """

    @property
    def catalog_revision(self) -> int:
        """The catalog's revision (0: empty) when the survey began."""
        ...

    @property
    def applied(self) -> Mapping[int, int]:
        """The offset up to which every event of a partition is in the records; absent: none was applied."""
        ...

    def users(self) -> Iterator[Sequence[SurveyedUser]]:
        """Yield every user that has figures or attributes, in no order, in chunks.

        Raises:
            Overtaken: the store was reset meanwhile.
        """
        ...

    def transactions(self) -> Iterator[Sequence[tuple[bytes, bytes]]]:
        """Yield the id and the record of every transaction, in no order, in chunks.

        Raises:
            Overtaken: the store was reset meanwhile.
        """
        ...


class RecordCounts(NamedTuple):
    """How many users have figures, and how many transactions are stored."""

    users: int
    transactions: int


@runtime_checkable
class Counted(Protocol):
    """A store that knows how many records it has without reading them."""

    def record_counts(self) -> RecordCounts:
        """Return how many there are now."""
        ...
