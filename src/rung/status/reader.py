"""Reads and evaluates statuses: every one from a snapshot of the store, and no cache of data."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Final, TypeAlias

import msgspec

from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog
from rung.status.evaluate import Evaluator
from rung.status.view import UserStatus
from rung.store.port import Standing, Store, StoreBusy
from rung.transaction.routing import partition_of

USERS_MAX: Final = 100
READS_MAX: Final = 128

_log = logging.getLogger(__name__)


class Reading(msgspec.Struct, frozen=True):
    """One user's standing, and the evaluator of the very catalog that its figures were counted by."""

    user_id: bytes
    partition: int
    standing: Standing
    evaluator: Evaluator

    def status(self, at: int | Period, campaign: str | None = None) -> UserStatus:
        """Return the user's status; see `Evaluator.status`."""
        return self.evaluator.status(self.user_id.decode(), self.partition, self.standing, at, campaign)


class _Compiled(msgspec.Struct, frozen=True):
    revision: int
    evaluator: Evaluator
    catalog: Catalog
    partitions: int


class StatusReader:
    """Answers from a store. Safe to share between threads.

    The compiled catalog is kept with its revision, and every snapshot tells the revision that it
    holds: a status is never evaluated by rules other than those its figures were counted by.
    """

    def __init__(self, store: Store, partitions: int | Callable[[], int]) -> None:
        """Read a store; nothing is asked yet.

        `partitions` is the log's number of them, or tells it: it is asked again with every catalog,
        because a replay, which may be of another log, puts a catalog in place, too.
        """
        self._store = store
        self._partitions = partitions
        self._compiled: _Compiled | None = None

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
        compiled = self._compiled or self._compile()
        while True:
            count = compiled.partitions
            users = [(user_id, partition_of(user_id, count)) for user_id in user_ids]
            standings = self._store.standings(users)
            if standings[0].catalog_revision == compiled.revision:
                evaluator = compiled.evaluator
                return [
                    Reading(user_id, partition, standing, evaluator)
                    for (user_id, partition), standing in zip(users, standings, strict=True)
                ]
            compiled = self._compile()

    def catalog(self) -> Catalog:
        """Return the present catalog."""
        compiled = self._compiled
        if compiled is None or self._store.catalog()[0] != compiled.revision:
            compiled = self._compile()
        return compiled.catalog

    def _compile(self) -> _Compiled:
        revision, record = self._store.catalog()
        catalog = Catalog.decode(record)
        partitions = self._partitions() if callable(self._partitions) else self._partitions
        self._compiled = _Compiled(revision, Evaluator(catalog), catalog, partitions)
        return self._compiled


_Waiting: TypeAlias = dict[bytes, list[asyncio.Future[Reading]]]


class JointReader:
    """Reads what several requests ask for at once, each user one time.

    A store in this process is read in the event loop, on its next turn: nobody waits for company, the
    read is due as soon as the loop has started what is ready now. Such a store may let other threads run
    at each key (LMDB's binding does); were requests read one by one, the server's I/O thread and Python's
    would take turns several times for each of them, which costs more than all the rest.

    A store elsewhere is read in threads, after a window in which requests gather. Many reads are under
    way at once, so a slow one holds up nobody else's.
    """

    def __init__(
        self,
        reader: StatusReader,
        threads: Executor | None = None,
        *,
        window_seconds: float = 0.0,
        users_max: int = USERS_MAX,
        reads_max: int = READS_MAX,
    ) -> None:
        """Read through `reader`; for one event loop.

        Args:
            reader: What is read through.
            threads: Where reads run; None is the loop itself.
            window_seconds: How long the first request of a read waits for others; 0 is the next turn.
            users_max: The most users of one read.
            reads_max: With so many reads in the hands of `threads`, further ones are refused.
        """
        self._reader = reader
        self._threads = threads
        self._window_seconds = window_seconds
        self._users_max = users_max
        self._reads_max = reads_max
        self._waiting: _Waiting = {}
        self._under_way = 0

    def read(self, user_id: bytes) -> asyncio.Future[Reading]:
        """Return a user's reading, soon.

        Raises:
            StoreError: the store cannot be read (from the future, as are the others).
            StoreBusy: the store does not answer, or too many reads are under way.
            LogUnavailable: the log's number of partitions is unknown, and it does not answer.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reading] = loop.create_future()
        waiting = self._waiting
        if not waiting:
            if self._window_seconds:
                loop.call_later(self._window_seconds, self._read_waiting, waiting)
            else:
                loop.call_soon(self._read_waiting, waiting)
        same = waiting.get(user_id)
        if same is not None:
            same.append(future)
            return future
        waiting[user_id] = [future]
        if len(waiting) >= self._users_max:
            self._read_waiting(waiting)
        return future

    def _read_waiting(self, waiting: _Waiting) -> None:
        if waiting is not self._waiting:
            # It was full before it was due.
            return
        self._waiting = {}
        if self._threads is None:
            try:
                readings = self._reader.read(list(waiting))
            except Exception as error:
                # Each request is told, and its route logs it.
                _refuse(waiting, error)
            else:
                _answer(waiting, readings)
        elif self._under_way >= self._reads_max:
            _refuse(waiting, StoreBusy(f"{self._under_way} reads are under way already"))
        else:
            self._under_way += 1
            loop = asyncio.get_running_loop()
            read = loop.run_in_executor(self._threads, self._reader.read, list(waiting))
            read.add_done_callback(partial(self._finish, waiting))

    def _finish(self, waiting: _Waiting, read: asyncio.Future[list[Reading]]) -> None:
        self._under_way -= 1
        if read.cancelled():
            _refuse(waiting, StoreBusy("the server stops"))
        elif (error := read.exception()) is not None:
            if isinstance(error, StoreBusy):
                _log.warning("store_busy", extra={"users": len(waiting), "cause": str(error)})
            _refuse(waiting, error)
        else:
            _answer(waiting, read.result())


def _answer(waiting: Mapping[bytes, Sequence[asyncio.Future[Reading]]], readings: Sequence[Reading]) -> None:
    for futures, reading in zip(waiting.values(), readings, strict=True):
        for future in futures:
            # A request that was cancelled in between has no more use for it.
            if not future.done():
                future.set_result(reading)


def _refuse(waiting: Mapping[bytes, Sequence[asyncio.Future[Reading]]], error: BaseException) -> None:
    for futures in waiting.values():
        for future in futures:
            if not future.done():
                future.set_exception(error)
