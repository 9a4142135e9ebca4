"""Reads and evaluates statuses: every one from a snapshot of the store, and no cache of data."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog
from rung.status.evaluate import Evaluator
from rung.status.view import UserStatus
from rung.store.port import Standing, Store
from rung.transaction.routing import partition_of


class Reading(msgspec.Struct, frozen=True):
    """One user's standing, and the evaluator of the very catalog that its figures were counted by."""

    user_id: bytes
    partition: int
    standing: Standing
    evaluator: Evaluator

    def status(self, at: int | Period, campaign: str | None = None) -> UserStatus:
        """Return the user's status; see `Evaluator.status`."""
        return self.evaluator.status(self.user_id.decode(), self.partition, self.standing, at, campaign)


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
        return self.read([user_id])[0].status(at, campaign)

    def read(self, user_ids: Sequence[bytes]) -> list[Reading]:
        """Read users, at least one, from one snapshot.

        Raises:
            StoreError: the store cannot be read.
        """
        users = [(user_id, partition_of(user_id, self._partitions)) for user_id in user_ids]
        while True:
            standings = self._store.standings(users)
            revision, evaluator, _catalog = self._compiled
            if standings[0].catalog_revision == revision:
                return [
                    Reading(user_id, partition, standing, evaluator)
                    for (user_id, partition), standing in zip(users, standings, strict=True)
                ]
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


class JointReader:
    """Reads what all requests of one turn of the event loop ask for from one snapshot.

    Nobody waits for company: the read is due as soon as the loop has started what is ready now. A
    store may let other threads run at each key (LMDB's binding does); were requests read one by
    one, the server's I/O thread and Python's would take turns several times for each of them,
    which costs more than all the rest.
    """

    def __init__(self, reader: StatusReader) -> None:
        """Read through `reader`; for one event loop."""
        self._reader = reader
        self._waiting: list[tuple[bytes, asyncio.Future[Reading]]] = []

    def read(self, user_id: bytes) -> asyncio.Future[Reading]:
        """Return a user's reading, soon.

        Raises:
            StoreError: the store cannot be read (from the future).
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reading] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._read_waiting)
        self._waiting.append((user_id, future))
        return future

    def _read_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            readings = self._reader.read([user_id for user_id, _future in waiting])
        except Exception as error:
            # Each request is told, and its route logs it.
            for _user_id, future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for (_user_id, future), reading in zip(waiting, readings, strict=True):
            # A request that was cancelled in between has no more use for it.
            if not future.done():
                future.set_result(reading)
