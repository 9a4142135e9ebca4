"""Reading statuses: by the present catalog, one by one and many at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from cli.command import SPEC
from rung.access.subjects import for_operator
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.log.port import LogUnavailable
from rung.status.reader import JointReader, Reading, StatusReader
from rung.store.memory import MemoryStore
from rung.store.port import Standing, StoreBusy, StoreError
from rung.transaction.routing import partition_of
from rung.transaction.times import parse_time

AT = parse_time("2021-08-04T12:00:00Z") or 0


class WatchedStore(MemoryStore):
    """A store in memory that tells how it was read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[list[bytes]] = []
        self.error: Exception | None = None

    def standings(self, users: Sequence[tuple[bytes, int]]) -> Sequence[Standing]:
        self.reads.append([user_id for user_id, _partition in users])
        if self.error is not None:
            raise self.error
        return super().standings(users)


def put(store: MemoryStore, spec: str) -> None:
    revision, record = store.catalog()
    catalog = Catalog.decode(record).apply(load(spec, "spec"), {})
    store.put_catalog(revision, catalog.encode(), {})


def test_the_catalog_of_the_snapshot() -> None:
    """A status is evaluated by the catalog that its snapshot names, however the catalog moves on."""
    store = WatchedStore()
    reader = StatusReader(store, 4)
    assert reader.status(for_operator(b"ann"), AT).campaigns == ()
    put(store, SPEC)
    assert [one.campaign for one in reader.status(for_operator(b"ann"), AT).campaigns] == ["small"]
    put(store, SPEC.replace("small", "second"))
    assert [one.campaign for one in reader.status(for_operator(b"ann"), AT).campaigns] == ["small", "second"]
    assert list(reader.catalog().campaigns) == ["small", "second"]


def test_joint_reads() -> None:
    """What is asked for in one turn of the loop is read from one snapshot, each user once."""
    store = WatchedStore()
    put(store, SPEC)
    joint = JointReader(StatusReader(store, 4))

    async def ask() -> list[bytes]:
        first = await asyncio.gather(*(joint.read(for_operator(user)) for user in (b"a", b"b", b"a")))
        return [reading.user_id for reading in (*first, await joint.read(for_operator(b"c")))]

    assert asyncio.run(ask()) == [b"a", b"b", b"a", b"c"]
    assert store.reads == [[b"a", b"b"], [b"c"]]


def test_a_failed_read_is_told_to_everyone() -> None:
    """A store that cannot be read fails every request of the turn, and none of the next."""
    store = WatchedStore()
    joint = JointReader(StatusReader(store, 4))

    async def ask() -> None:
        store.error = StoreError("gone")
        results = await asyncio.gather(
            joint.read(for_operator(b"a")), joint.read(for_operator(b"b")), return_exceptions=True
        )
        assert [str(result) for result in results] == ["gone", "gone"]
        store.error = None
        assert (await joint.read(for_operator(b"a"))).user_id == b"a"

    asyncio.run(ask())


@pytest.mark.parametrize("fails", [False, True])
def test_a_cancelled_request(fails: bool) -> None:
    """A request that is given up leaves those beside it alone, whether their read succeeds or not."""
    store = WatchedStore()
    joint = JointReader(StatusReader(store, 4))

    async def ask() -> None:
        store.error = StoreError("gone") if fails else None
        given_up, kept = joint.read(for_operator(b"a")), joint.read(for_operator(b"b"))
        given_up.cancel()
        if fails:
            with pytest.raises(StoreError):
                await kept
        else:
            assert (await kept).user_id == b"b"
        assert given_up.cancelled()

    asyncio.run(ask())


def test_the_partitions_are_asked_again_with_the_catalog() -> None:
    """The number of partitions is asked when it is needed first, and again with every new catalog."""
    counts = [8, 4]
    store = WatchedStore()
    reader = StatusReader(store, counts.pop)
    assert counts == [8, 4]
    assert {reader.read([for_operator(b"ann")])[0].partition for _ in range(3)} == {partition_of(b"ann", 4)}
    put(store, SPEC)
    assert reader.read([for_operator(b"ann")])[0].partition == partition_of(b"ann", 8)
    assert counts == []


def test_partitions_that_nobody_knows_yet() -> None:
    """While the number of partitions cannot be told a read fails, and the next one asks again."""
    unknown = [LogUnavailable("nobody is there")]

    def partitions() -> int:
        if unknown:
            raise unknown.pop()
        return 4

    reader = StatusReader(WatchedStore(), partitions)
    with pytest.raises(LogUnavailable):
        reader.read([for_operator(b"ann")])
    assert reader.read([for_operator(b"ann")])[0].user_id == b"ann"


def in_threads(store: MemoryStore, threads: ThreadPoolExecutor, **limits: Any) -> JointReader:
    """Return a joint reader of a store elsewhere."""
    reader = StatusReader(store, 4)
    return JointReader(reader, partial(reader.read_in_thread, threads), **limits)


class SlowStore(WatchedStore):
    """A store whose reads of some users wait until they are let go."""

    def __init__(self, *slow: bytes) -> None:
        super().__init__()
        self.go = threading.Event()
        self._slow = set(slow)

    def standings(self, users: Sequence[tuple[bytes, int]]) -> Sequence[Standing]:
        if self._slow & {user_id for user_id, _partition in users}:
            assert self.go.wait(10)
        return super().standings(users)


def test_a_slow_read_holds_up_nobody() -> None:
    """In threads many reads are under way at once: one that is slow is waited for by its users alone."""
    store = SlowStore(b"slow")
    with ThreadPoolExecutor(2) as threads:

        async def ask() -> None:
            joint = in_threads(store, threads, window_seconds=0.001)
            slow = joint.read(for_operator(b"slow"))
            await asyncio.sleep(0.01)
            assert [(await joint.read(for_operator(user))).user_id for user in (b"a", b"b")] == [b"a", b"b"]
            assert not slow.done()
            store.go.set()
            assert (await slow).user_id == b"slow"

        asyncio.run(ask())
    assert store.reads == [[b"a"], [b"b"], [b"slow"]]


def test_a_window_gathers() -> None:
    """What is asked for within a window is one read; each user is asked for once."""
    store = WatchedStore()
    with ThreadPoolExecutor(2) as threads:

        async def ask() -> None:
            joint = in_threads(store, threads, window_seconds=0.1)
            first = joint.read(for_operator(b"a"))
            await asyncio.sleep(0.01)
            found = await asyncio.gather(
                first, joint.read(for_operator(b"b")), joint.read(for_operator(b"a"))
            )
            assert [reading.user_id for reading in found] == [b"a", b"b", b"a"]

        asyncio.run(ask())
    assert store.reads == [[b"a", b"b"]]


def test_requests_gather_while_reads_are_under_way() -> None:
    """While two reads are under way the next waits for one of them to end, and no longer than its patience."""
    store = SlowStore(b"a", b"b")
    with ThreadPoolExecutor(4) as threads:

        async def ask() -> None:
            joint = in_threads(store, threads, window_seconds=0.001, patience_seconds=0.1)
            slow: list[asyncio.Future[Reading]] = []
            for user in (b"a", b"b"):
                slow.append(joint.read(for_operator(user)))
                await asyncio.sleep(0.02)
            third = joint.read(for_operator(b"c"))
            await asyncio.sleep(0.02)
            gathered = await asyncio.gather(third, joint.read(for_operator(b"d")))
            assert not any(read.done() for read in slow)
            assert [reading.user_id for reading in gathered] == [b"c", b"d"]
            last = joint.read(for_operator(b"e"))
            await asyncio.sleep(0.02)
            store.go.set()
            assert [(await read).user_id for read in (*slow, last)] == [b"a", b"b", b"e"]

        asyncio.run(ask())
    assert store.reads[0] == [b"c", b"d"]
    assert sorted(store.reads[1:]) == [[b"a"], [b"b"], [b"e"]]


class InLoop:
    """Reads a store in the event loop."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.closed = 0

    async def read(self, users: Sequence[tuple[bytes, int]]) -> Sequence[Standing]:
        await asyncio.sleep(0)
        return self.store.standings(users)

    async def close(self) -> None:
        self.closed += 1


def test_reads_in_the_loop() -> None:
    """A store that is read in the loop gives each user by the catalog of its snapshot, as in a thread."""
    store = WatchedStore()
    reader = StatusReader(store, 4)
    joint = JointReader(reader, partial(reader.read_in_loop, InLoop(store)), window_seconds=0.001)

    async def ask() -> list[list[str]]:
        found: list[list[str]] = []
        for name in ("small", "second"):
            put(store, SPEC.replace("small", name))
            both = await asyncio.gather(joint.read(for_operator(b"a")), joint.read(for_operator(b"b")))
            assert [reading.user_id for reading in both] == [b"a", b"b"]
            found.append([one.campaign for one in both[0].status(AT).campaigns])
        return found

    assert asyncio.run(ask()) == [["small"], ["small", "second"]]


@pytest.mark.parametrize("window_seconds", [0.0, 0.001, 60.0])
def test_a_full_read_does_not_wait(window_seconds: float) -> None:
    """A read of as many users as one may have begins at once, and what comes next has its own window."""
    store = WatchedStore()
    users = [b"%d" % number for number in range(6)]
    with ThreadPoolExecutor(1) as threads:

        async def ask() -> None:
            joint = in_threads(store, threads, window_seconds=window_seconds, users_max=3)
            found = await asyncio.gather(*(joint.read(for_operator(user)) for user in users))
            assert [reading.user_id for reading in found] == users

        asyncio.run(ask())
    assert store.reads == [users[:3], users[3:]]


def test_too_many_reads() -> None:
    """When more reads are under way than may be, further ones are refused at once, and later taken again."""
    store = SlowStore(b"slow")
    with ThreadPoolExecutor(1) as threads:

        async def ask() -> None:
            joint = in_threads(store, threads, reads_max=1)
            slow = joint.read(for_operator(b"slow"))
            await asyncio.sleep(0.001)
            with pytest.raises(StoreBusy, match="1 reads are under way already"):
                await joint.read(for_operator(b"a"))
            store.go.set()
            assert (await slow).user_id == b"slow"
            assert (await joint.read(for_operator(b"a"))).user_id == b"a"

        asyncio.run(ask())


def test_a_failed_read_in_a_thread() -> None:
    """A read that fails in a thread fails each of its requests, and no other read."""
    store = WatchedStore()
    with ThreadPoolExecutor(1) as threads:

        async def ask() -> None:
            joint = in_threads(store, threads)
            store.error = StoreBusy("throttled")
            given_up, *kept = (
                joint.read(for_operator(b"a")),
                joint.read(for_operator(b"a")),
                joint.read(for_operator(b"b")),
            )
            given_up.cancel()
            results = await asyncio.gather(*kept, return_exceptions=True)
            assert [str(result) for result in results] == ["throttled", "throttled"]
            store.error = None
            assert (await joint.read(for_operator(b"a"))).user_id == b"a"

        asyncio.run(ask())
