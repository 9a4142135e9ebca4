from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

import pytest

from rung.log.group_commit import GroupCommit, Overloaded
from rung.log.port import LogError, Position

WAIT_SECONDS = 10.0


class HeldProducer:
    """A producer of one partition, whose commits wait until they are let through."""

    def __init__(self) -> None:
        self.commits: list[list[bytes]] = []
        self.begun = threading.Semaphore(0)
        self.allowed = threading.Semaphore(0)
        self.failures: list[Exception] = []
        self.closed = False

    def append(self, payloads: Sequence[bytes]) -> Sequence[Position]:
        self.begun.release()
        assert self.allowed.acquire(timeout=WAIT_SECONDS)
        if self.failures:
            raise self.failures.pop()
        first = sum(map(len, self.commits))
        self.commits.append(list(payloads))
        return [Position(0, first + index) for index in range(len(payloads))]

    def close(self) -> None:
        self.closed = True


@contextmanager
def committing(
    producer: HeldProducer, waiting_bytes_max: int = 1_000, commit_bytes_max: int = 1_000
) -> Generator[GroupCommit]:
    group = GroupCommit(producer, waiting_bytes_max, commit_bytes_max)
    try:
        yield group
    finally:
        producer.allowed.release(1_000)
        group.close()


def busy(group: GroupCommit, producer: HeldProducer) -> Future[Sequence[Position]]:
    """Submit one event and wait until its commit has begun: what follows has to wait."""
    first = group.submit([b"first"])
    assert producer.begun.acquire(timeout=WAIT_SECONDS)
    return first


def test_one_commit_for_all() -> None:
    """What arrives during a commit is committed together, and each caller gets its own positions."""
    producer = HeldProducer()
    with committing(producer) as group:
        first = busy(group, producer)
        others = [group.submit([b"a%d" % number, b"b%d" % number]) for number in range(3)]
        assert not first.done()
        producer.allowed.release(2)
        assert list(first.result(WAIT_SECONDS)) == [Position(0, 0)]
        assert [list(other.result(WAIT_SECONDS)) for other in others] == [
            [Position(0, 1), Position(0, 2)],
            [Position(0, 3), Position(0, 4)],
            [Position(0, 5), Position(0, 6)],
        ]
    assert producer.commits == [[b"first"], [b"a0", b"b0", b"a1", b"b1", b"a2", b"b2"]]


def test_not_before_the_commit() -> None:
    """No caller gets positions before the commit is through."""
    producer = HeldProducer()
    with committing(producer) as group:
        first = busy(group, producer)
        second = group.submit([b"second"])
        producer.allowed.release()
        assert first.result(WAIT_SECONDS)
        assert producer.begun.acquire(timeout=WAIT_SECONDS)
        assert not second.done()


def test_error_reaches_all() -> None:
    """An error reaches every caller of its commit, and the next commit is tried."""
    producer = HeldProducer()
    with committing(producer) as group:
        first = busy(group, producer)
        producer.allowed.release()
        first.result(WAIT_SECONDS)
        busy_again = busy(group, producer)
        others = [group.submit([b"other"]) for _ in range(3)]
        producer.allowed.release()
        busy_again.result(WAIT_SECONDS)
        producer.failures.append(LogError("the disk is full"))
        producer.allowed.release()
        for other in others:
            with pytest.raises(LogError, match="the disk is full"):
                other.result(WAIT_SECONDS)
        after = group.submit([b"after"])
        producer.allowed.release()
        assert list(after.result(WAIT_SECONDS)) == [Position(0, 2)]


def test_commit_bound() -> None:
    """One commit takes no more bytes than its bound, unless a single request is larger."""
    producer = HeldProducer()
    with committing(producer, commit_bytes_max=10) as group:
        busy(group, producer)
        for payload in (b"1234", b"123456", b"1", b"x" * 50, b"2"):
            group.submit([payload])
    assert producer.commits == [[b"first"], [b"1234", b"123456"], [b"1"], [b"x" * 50], [b"2"]]


def test_overloaded() -> None:
    """A request beyond what may wait is refused at once; the others are not lost."""
    producer = HeldProducer()
    with committing(producer, waiting_bytes_max=10) as group:
        busy(group, producer)
        group.submit([b"12345678"])
        with pytest.raises(Overloaded, match="8 bytes of events wait"):
            group.submit([b"123"])
        group.submit([b"12"])
    assert producer.commits == [[b"first"], [b"12345678", b"12"]]


def test_append_waits_for_room() -> None:
    """A blocking append waits for room instead of being refused."""
    producer = HeldProducer()
    with committing(producer, waiting_bytes_max=10) as group:
        busy(group, producer)
        group.submit([b"12345678"])
        positions: list[Position] = []
        thread = threading.Thread(target=lambda: positions.extend(group.append([b"123", b"45"])))
        thread.start()
        producer.allowed.release(3)
        thread.join(WAIT_SECONDS)
        assert positions == [Position(0, 2), Position(0, 3)]


def test_cancel() -> None:
    """A request that is cancelled before its commit begins is not appended; a later one cannot be."""
    producer = HeldProducer()
    with committing(producer) as group:
        first = busy(group, producer)
        second = group.submit([b"second"])
        third = group.submit([b"third"])
        assert second.cancel()
        assert not first.cancel()
        producer.allowed.release(2)
        assert list(third.result(WAIT_SECONDS)) == [Position(0, 1)]
    assert producer.commits == [[b"first"], [b"third"]]


def test_close() -> None:
    """Close commits what waits, then refuses; the producer below stays open."""
    producer = HeldProducer()
    with committing(producer) as group:
        busy(group, producer)
        last = group.submit([b"last"])
    assert list(last.result(0)) == [Position(0, 1)]
    with pytest.raises(LogError, match="closed"):
        group.submit([b"late"])
    with pytest.raises(LogError, match="closed"):
        group.append([b"late"])
    group.close()
    assert not producer.closed


def test_await() -> None:
    """A coroutine can await the result of a request."""
    producer = HeldProducer()
    producer.allowed.release(10)

    async def append() -> Sequence[Position]:
        return await asyncio.wrap_future(group.submit([b"event"]))

    with committing(producer) as group:
        assert list(asyncio.run(append())) == [Position(0, 0)]


def test_nothing() -> None:
    """A request of nothing is answered with nothing."""
    producer = HeldProducer()
    producer.allowed.release(10)
    with committing(producer) as group:
        assert list(group.append([])) == []
