"""Streams: a snapshot, each change, an end with its reason, and no more of them than are allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import pytest

from cli.command import SPEC, purchase
from harness import ticking
from rung.access.subjects import AuthorisedUser, for_operator
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.log.embedded import EmbeddedLog
from rung.speed.worker import Worker, WorkerSettings
from rung.status.parameters import Query
from rung.status.problem import Problem
from rung.status.reader import JointReader, Reading, StatusReader
from rung.status.streams import Stream, Streams
from rung.status.users import UserDocuments
from rung.store.memory import MemoryStore
from rung.store.port import StoreBusy
from rung.transaction.times import parse_time

AT = parse_time("2021-08-04T12:00:00Z") or 0
ANN, BOB = for_operator(b"ann"), for_operator(b"bob")
ALL = Query()


class Scene:
    """A store with a log behind it, and the streams of its users."""

    def __init__(self, folder: Any, streams_max: int = 10, heartbeat_seconds: float = 60.0) -> None:
        self.now = AT
        self.store = MemoryStore()
        self.log = EmbeddedLog.open(folder / "log", 4, ticking())
        self.put(SPEC)
        self.busy = False
        self.reads = 0
        documents = UserDocuments(lambda: self.now, lambda _partition, _offset: None)
        self.joint = JointReader(StatusReader(self.store, 4))
        self.streams = Streams(self._read, documents, streams_max, heartbeat_seconds)

    async def _read(self, user: AuthorisedUser) -> Reading:
        self.reads += 1
        if self.busy:
            raise StoreBusy("for a moment")
        return await self.joint.read(user)

    def put(self, spec: str) -> None:
        revision, record = self.store.catalog()
        catalog = Catalog.decode(record).apply(load(spec, "spec"), self.store.reached())
        self.store.put_catalog(revision, catalog.encode(), self.store.reached())

    def pay(self, *events: str) -> None:
        self.log.producer().append([event.encode() for event in events])
        worker = Worker(self.log.consumer(), self.store, WorkerSettings(), ticking())
        while worker.step(0.0):
            pass
        worker.close()

    async def open(
        self, user: AuthorisedUser = ANN, ended_by: Callable[[], str | None] = lambda: None
    ) -> tuple[Stream, AsyncGenerator[bytes]]:
        """Return a stream and its pieces, after the first one."""
        stream = await self.streams.open(user, ALL, ended_by)
        pieces = stream.pieces()
        assert await anext(pieces) == b"retry: 2000\n\n"
        return stream, pieces


def played(work: Coroutine[Any, Any, None]) -> None:
    """Run a scenario, which has 60 seconds."""

    async def within() -> None:
        async with asyncio.timeout(60):
            await work

    asyncio.run(within())


@pytest.fixture
def scene(tmp_path: Any) -> Any:
    """Give a scene."""
    made = Scene(tmp_path)
    yield made
    made.log.close()


def test_a_snapshot_and_each_change(scene: Scene) -> None:
    """The status comes first, then again whenever it changes: a payment, a campaign, a new period."""

    async def scenario() -> None:
        stream, pieces = await scene.open()
        assert b'"payments":0' in await anext(pieces)
        scene.pay(purchase("t1"))
        event = await anext(pieces)
        assert b'"payments":1' in event
        assert event.startswith(b'event: status\nid: "')
        assert event.endswith(b"}\n\n")
        assert event.count(b"\n") == 4
        scene.put(SPEC.replace("small", "second"))
        assert b'"campaign":"second"' in await anext(pieces)
        stream.close()

    played(scenario())


def test_other_users_are_no_change(scene: Scene) -> None:
    """What others pay is no event of a user's stream, though the position moves on."""

    async def scenario() -> None:
        stream, pieces = await scene.open()
        await anext(pieces)
        for number in range(3):
            scene.pay(purchase(f"b{number}", user="bob"))
        scene.pay(purchase("t1"))
        assert b'"payments":1' in await anext(pieces)
        stream.close()

    played(scenario())


def test_who_is_slow_gets_the_newest(scene: Scene) -> None:
    """Nothing piles up: a client that reads late is told the present status once."""

    async def scenario() -> None:
        slow, slow_pieces = await scene.open()
        quick, quick_pieces = await scene.open()
        await anext(quick_pieces)
        for number in range(1, 4):
            scene.pay(purchase(f"t{number}"))
            assert b'"payments":%d' % number in await anext(quick_pieces)
        assert b'"payments":3' in await anext(slow_pieces)
        slow.close()
        quick.close()

    played(scenario())


def test_reads_are_shared(scene: Scene) -> None:
    """However many look on at a user, the user is read once at a time."""

    async def scenario() -> None:
        opened = [await scene.open() for _ in range(9)]
        one, one_pieces = await scene.open(BOB)
        before = scene.reads
        scene.pay(purchase("b1", user="bob"))
        await anext(one_pieces)
        assert b'"payments":1' in await anext(one_pieces)
        assert scene.reads - before <= 2 * 4
        for stream, _ in (*opened, (one, one_pieces)):
            stream.close()

    played(scenario())


def test_as_many_as_are_allowed(tmp_path: Any) -> None:
    """One stream more than allowed is refused; one that is closed, or never opened, makes room."""
    scene = Scene(tmp_path, streams_max=2)

    async def scenario() -> None:
        first, _ = await scene.open()
        second, _ = await scene.open(BOB)
        with pytest.raises(Problem) as caught:
            await scene.open()
        assert (caught.value.code, caught.value.status) == ("too_many_streams", 503)
        first.close()
        first.close()
        assert len(scene.streams) == 1
        with pytest.raises(Problem, match="unknown_campaign"):
            await scene.streams.open(ANN, Query(campaign="none"), lambda: None)
        scene.busy = True
        with pytest.raises(StoreBusy):
            await scene.open()
        scene.busy = False
        assert len(scene.streams) == 1
        third, _ = await scene.open()
        second.close()
        third.close()
        assert len(scene.streams) == 0

    played(scenario())
    scene.log.close()


def test_silence_is_a_heartbeat(tmp_path: Any) -> None:
    """A stream without changes says now and then that it is there."""
    scene = Scene(tmp_path, heartbeat_seconds=0.01)

    async def scenario() -> None:
        stream, pieces = await scene.open()
        await anext(pieces)
        assert await anext(pieces) == b": heartbeat\n\n"
        stream.close()

    played(scenario())
    scene.log.close()


@pytest.mark.parametrize("reason", ["expired", "revoked"])
def test_the_end(scene: Scene, reason: str) -> None:
    """A caller who may look on no more is told why, and that is the end."""

    async def scenario() -> None:
        reasons: list[str | None] = [None]
        stream, pieces = await scene.open(ended_by=lambda: reasons[0])
        await anext(pieces)
        reasons[0] = reason
        assert await anext(pieces) == b'event: end\ndata: {"reason":"%s"}\n\n' % reason.encode()
        with pytest.raises(StopAsyncIteration):
            await anext(pieces)
        stream.close()

    played(scenario())


def test_the_server_stops(scene: Scene) -> None:
    """A server that stops ends its streams."""

    async def scenario() -> None:
        stream, pieces = await scene.open()
        await anext(pieces)
        scene.streams.stop()
        assert b'"stopping"' in await anext(pieces)
        stream.close()

    played(scenario())


def test_a_store_that_is_busy_for_a_while(scene: Scene) -> None:
    """While the store does not answer a stream waits; then it goes on."""

    async def scenario() -> None:
        stream, pieces = await scene.open()
        await anext(pieces)
        scene.busy = True
        reads = scene.reads
        scene.pay(purchase("t1"))
        coming = asyncio.ensure_future(anext(pieces))
        while scene.reads < reads + 2:
            await asyncio.wait([coming], timeout=0.05)
        assert not coming.done()
        scene.busy = False
        assert b'"payments":1' in await coming
        stream.close()

    played(scenario())
