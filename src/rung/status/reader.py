"""Reads and evaluates statuses: every one from a snapshot of the store, and no cache of data."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from rung.access.subjects import AuthorisedUser
from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog
from rung.status.evaluate import Evaluator
from rung.status.view import UserStatus
from rung.store.loop_port import StandingsInLoop
from rung.store.port import Standing, Store, StoreBusy
from rung.transaction.routing import partition_of

USERS_MAX: Final = 96
READS_MAX: Final = 128
READS_WANTED: Final = 2

_log = logging.getLogger(__name__)


class Reading(msgspec.Struct, frozen=True):
    """One user's standing, and the evaluator of the very catalog that its figures were counted by."""

    user_id: AuthorisedUser
    partition: int
    standing: Standing
    evaluator: Evaluator

    def status(
        self, at: int | Period, campaign: str | None = None, pending: bool | UnsetType | None = UNSET
    ) -> UserStatus:
        """Return the user's status; see `Evaluator.status`."""
        user_id = self.user_id.decode()
        return self.evaluator.status(user_id, self.partition, self.standing, at, campaign, pending)


class _Compiled(msgspec.Struct, frozen=True):
    revision: int
    evaluator: Evaluator
    catalog: Catalog
    partitions: int

    def placed(self, users: Sequence[AuthorisedUser]) -> list[tuple[AuthorisedUser, int]]:
        """Return users with their partitions."""
        count = self.partitions
        return [(user, partition_of(user, count)) for user in users]

    def readings(
        self, users: Sequence[tuple[AuthorisedUser, int]], standings: Sequence[Standing]
    ) -> list[Reading]:
        """Return the readings of users of this catalog."""
        evaluator = self.evaluator
        return [
            Reading(user_id, partition, standing, evaluator)
            for (user_id, partition), standing in zip(users, standings, strict=True)
        ]


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

    def status(self, user: AuthorisedUser, at: int | Period, campaign: str | None = None) -> UserStatus:
        """Return a user's status. See `Evaluator.status`.

        Raises:
            UnknownCampaign: there is no such campaign.
            StoreError: the store cannot be read.
        """
        return self.read([user])[0].status(at, campaign)

    def read(self, users: Sequence[AuthorisedUser]) -> list[Reading]:
        """Read users, at least one, from one snapshot.

        Raises:
            StoreError: the store cannot be read.
        """
        compiled = self._compiled or self._compile()
        while True:
            placed = compiled.placed(users)
            standings = self._store.standings(placed)
            if standings[0].catalog_revision == compiled.revision:
                return compiled.readings(placed, standings)
            compiled = self._compile()

    async def read_in_thread(self, threads: Executor, users: Sequence[AuthorisedUser]) -> list[Reading]:
        """Read users, as `read` does, in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(threads, self.read, users)

    async def read_in_loop(
        self, standings_in_loop: StandingsInLoop, users: Sequence[AuthorisedUser]
    ) -> list[Reading]:
        """Read users, as `read` does, in the running event loop; only a new catalog is read in a thread."""
        compiled = self._compiled or await asyncio.to_thread(self._compile)
        while True:
            placed = compiled.placed(users)
            standings = await standings_in_loop.read(placed)
            if standings[0].catalog_revision == compiled.revision:
                return compiled.readings(placed, standings)
            compiled = await asyncio.to_thread(self._compile)

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


_Waiting: TypeAlias = dict[AuthorisedUser, list[asyncio.Future[Reading]]]
ReadElsewhere: TypeAlias = Callable[[Sequence[AuthorisedUser]], Coroutine[Any, Any, list[Reading]]]
"""Reads users without holding up the event loop."""


class JointReader:
    """Reads what several requests ask for at once, each user one time.

    A store in this process is read in the event loop, on its next turn: nobody waits for company, the
    read is due as soon as the loop has started what is ready now. Such a store may let other threads run
    at each key (LMDB's binding does); were requests read one by one, the server's I/O thread and Python's
    would take turns several times for each of them, which costs more than all the rest.

    A store elsewhere is read after a window in which requests gather. Several reads are under way at once,
    so a slow one holds up nobody else's for longer than the patience. While `READS_WANTED` of them are,
    requests go on gathering for so long: what a read costs is shared by more users the more there is to do.
    """

    def __init__(
        self,
        reader: StatusReader,
        read_elsewhere: ReadElsewhere | None = None,
        *,
        window_seconds: float = 0.0,
        patience_seconds: float = 0.0,
        users_max: int = USERS_MAX,
        reads_max: int = READS_MAX,
    ) -> None:
        """Read through `reader`; for one event loop.

        Args:
            reader: What is read through, in the loop, if there is no `read_elsewhere`.
            read_elsewhere: Reads instead, elsewhere.
            window_seconds: How long the first request of a read waits for others; 0 is the next turn.
            patience_seconds: How much longer it waits while `READS_WANTED` reads are under way.
            users_max: The most users of one read.
            reads_max: With so many reads under way elsewhere, further ones are refused.
        """
        self._reader = reader
        self._read_elsewhere = read_elsewhere
        self._window_seconds = window_seconds
        self._patience_seconds = patience_seconds
        self._users_max = users_max
        self._reads_max = reads_max
        self._waiting: _Waiting = {}
        self._is_due = False
        self._reads: set[asyncio.Task[list[Reading]]] = set()

    def read(self, user: AuthorisedUser) -> asyncio.Future[Reading]:
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
                loop.call_later(self._window_seconds, self._end_window, waiting)
            else:
                loop.call_soon(self._read_waiting, waiting)
        same = waiting.get(user)
        if same is not None:
            same.append(future)
            return future
        waiting[user] = [future]
        if len(waiting) >= self._users_max:
            self._read_waiting(waiting)
        return future

    def _end_window(self, waiting: _Waiting) -> None:
        if waiting is self._waiting and self._patience_seconds and len(self._reads) >= READS_WANTED:
            self._is_due = True
            asyncio.get_running_loop().call_later(self._patience_seconds, self._read_waiting, waiting)
        else:
            self._read_waiting(waiting)

    def _read_waiting(self, waiting: _Waiting) -> None:
        if waiting is not self._waiting:
            # It was full before it was due, or a read ended.
            return
        self._waiting = {}
        self._is_due = False
        if self._read_elsewhere is None:
            try:
                readings = self._reader.read(list(waiting))
            except Exception as error:
                # Each request is told, and its route logs it.
                _refuse(waiting, error)
            else:
                _answer(waiting, readings)
        elif len(self._reads) >= self._reads_max:
            _refuse(waiting, StoreBusy(f"{len(self._reads)} reads are under way already"))
        else:
            read = asyncio.get_running_loop().create_task(self._read_elsewhere(list(waiting)))
            self._reads.add(read)
            read.add_done_callback(partial(self._finish, waiting))

    def _finish(self, waiting: _Waiting, read: asyncio.Task[list[Reading]]) -> None:
        self._reads.discard(read)
        if read.cancelled():
            _refuse(waiting, StoreBusy("the server stops"))
        elif (error := read.exception()) is not None:
            if isinstance(error, StoreBusy):
                _log.warning("store_busy", extra={"users": len(waiting), "cause": str(error)})
            _refuse(waiting, error)
        else:
            _answer(waiting, read.result())
        if self._is_due:
            self._read_waiting(self._waiting)


def _answer(waiting: _Waiting, readings: Sequence[Reading]) -> None:
    for futures, reading in zip(waiting.values(), readings, strict=True):
        for future in futures:
            # A request that was cancelled in between has no more use for it.
            if not future.done():
                future.set_result(reading)


def _refuse(waiting: _Waiting, error: BaseException) -> None:
    for futures in waiting.values():
        for future in futures:
            if not future.done():
                future.set_exception(error)
