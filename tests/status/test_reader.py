"""Reading statuses: by the present catalog, one by one and many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from cli.command import SPEC
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.status.reader import JointReader, StatusReader
from rung.store.memory import MemoryStore
from rung.store.port import Standing, StoreError
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
    assert reader.status(b"ann", AT).campaigns == ()
    put(store, SPEC)
    assert [one.campaign for one in reader.status(b"ann", AT).campaigns] == ["small"]
    put(store, SPEC.replace("small", "second"))
    assert [one.campaign for one in reader.status(b"ann", AT).campaigns] == ["small", "second"]
    assert list(reader.catalog().campaigns) == ["small", "second"]


def test_joint_reads() -> None:
    """What is asked for in one turn of the loop is read from one snapshot, each with its own user."""
    store = WatchedStore()
    put(store, SPEC)
    joint = JointReader(StatusReader(store, 4))

    async def ask() -> list[bytes]:
        first = await asyncio.gather(*(joint.read(user) for user in (b"a", b"b", b"a")))
        return [reading.user_id for reading in (*first, await joint.read(b"c"))]

    assert asyncio.run(ask()) == [b"a", b"b", b"a", b"c"]
    assert store.reads == [[b"a", b"b", b"a"], [b"c"]]


def test_a_failed_read_is_told_to_everyone() -> None:
    """A store that cannot be read fails every request of the turn, and none of the next."""
    store = WatchedStore()
    joint = JointReader(StatusReader(store, 4))

    async def ask() -> None:
        store.error = StoreError("gone")
        results = await asyncio.gather(joint.read(b"a"), joint.read(b"b"), return_exceptions=True)
        assert [str(result) for result in results] == ["gone", "gone"]
        store.error = None
        assert (await joint.read(b"a")).user_id == b"a"

    asyncio.run(ask())


@pytest.mark.parametrize("fails", [False, True])
def test_a_cancelled_request(fails: bool) -> None:
    """A request that is given up leaves those beside it alone, whether their read succeeds or not."""
    store = WatchedStore()
    joint = JointReader(StatusReader(store, 4))

    async def ask() -> None:
        store.error = StoreError("gone") if fails else None
        given_up, kept = joint.read(b"a"), joint.read(b"b")
        given_up.cancel()
        if fails:
            with pytest.raises(StoreError):
                await kept
        else:
            assert (await kept).user_id == b"b"
        assert given_up.cancelled()

    asyncio.run(ask())
