"""Reads and evaluates one user's status: one snapshot of the store per read, and no cache of data."""

from __future__ import annotations

from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog
from rung.status.evaluate import Evaluator
from rung.status.view import UserStatus
from rung.store.port import Store
from rung.transaction.routing import partition_of


class StatusReader:
    """Answers from a store. Safe to share between threads.

    The compiled catalog is kept with its revision, and every snapshot tells the revision that it
    holds: a status is never evaluated by rules other than those its figures were counted by.
    """

    def __init__(self, store: Store, partitions: int) -> None:
        """Compile the catalog of a store; `partitions` is the log's number of them."""
        self._store = store
        self._partitions = partitions
        self._compiled = self._compile()

    def status(self, user_id: bytes, at: int | Period, campaign: str | None = None) -> UserStatus:
        """Return a user's status; the id is UTF-8. See `Evaluator.status`.

        Raises:
            UnknownCampaign: there is no such campaign.
            StoreError: the store cannot be read.
        """
        partition = partition_of(user_id, self._partitions)
        while True:
            standing = self._store.standing(user_id, partition)
            revision, evaluator, _catalog = self._compiled
            if standing.catalog_revision == revision:
                return evaluator.status(user_id.decode(), partition, standing, at, campaign)
            self._compiled = self._compile()

    def catalog(self) -> Catalog:
        """Return the present catalog."""
        revision, _record = self._store.catalog()
        if revision != self._compiled[0]:
            self._compiled = self._compile()
        return self._compiled[2]

    def _compile(self) -> tuple[int, Evaluator, Catalog]:
        revision, record = self._store.catalog()
        catalog = Catalog.decode(record)
        return revision, Evaluator(catalog), catalog
