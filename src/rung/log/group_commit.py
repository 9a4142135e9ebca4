"""Group commit: many callers append at once, and share one durable commit.

A durable commit costs about the same for one event as for a thousand. So one thread commits
whatever is waiting, and what arrives meanwhile waits for the next commit: the more callers, the
larger the groups.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread

from rung.log.port import LogError, Position, Producer

WAITING_BYTES_MAX = 1 << 26
COMMIT_BYTES_MAX = 1 << 24


class Overloaded(Exception):
    """Too much waits to be appended already; try again later."""


@dataclass(frozen=True, slots=True)
class _Request:
    payloads: Sequence[bytes]
    size_bytes: int
    positions: Future[Sequence[Position]] = field(default_factory=Future[Sequence[Position]])


class GroupCommit:
    """A producer for many threads; it appends through another producer, in a thread of its own.

    Close it before that other producer, which stays open.
    """

    def __init__(
        self,
        producer: Producer,
        waiting_bytes_max: int = WAITING_BYTES_MAX,
        commit_bytes_max: int = COMMIT_BYTES_MAX,
    ) -> None:
        """Start the thread.

        `waiting_bytes_max` bounds what may wait, `commit_bytes_max` what one commit takes; a
        single request may be larger than either.
        """
        self._producer = producer
        self._waiting_bytes_max = waiting_bytes_max
        self._commit_bytes_max = commit_bytes_max
        self._waiting: deque[_Request] = deque()
        self._waiting_bytes = 0
        self._closed = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="group-commit", daemon=True)
        self._thread.start()

    def submit(self, payloads: Sequence[bytes]) -> Future[Sequence[Position]]:
        """Ask for an append, and return at once; the result comes when the events are durable.

        All or none of the payloads are appended. Cancelling the result before its commit begins
        takes the request back.

        Raises:
            Overloaded: too much waits already.
            LogError: this producer is closed.
        """
        request = _Request(payloads, sum(map(len, payloads)))
        with self._changed:
            self._check_open()
            if not self._has_room(request):
                raise Overloaded(f"{self._waiting_bytes:,} bytes of events wait to be appended already")
            self._enqueue(request)
        return request.positions

    def append(self, payloads: Sequence[bytes]) -> Sequence[Position]:
        """Append events in order and return their positions once they are durable; wait for room first.

        Raises:
            LogError: the commit failed, or this producer is closed.
        """
        request = _Request(payloads, sum(map(len, payloads)))
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room(request))
            self._check_open()
            self._enqueue(request)
        return request.positions.result()

    def close(self) -> None:
        """Commit what waits, refuse what comes, and stop the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _check_open(self) -> None:
        if self._closed:
            raise LogError("this producer is closed")

    def _has_room(self, request: _Request) -> bool:
        return not self._waiting or self._waiting_bytes + request.size_bytes <= self._waiting_bytes_max

    def _enqueue(self, request: _Request) -> None:
        self._waiting.append(request)
        self._waiting_bytes += request.size_bytes
        self._changed.notify_all()

    def _run(self) -> None:
        while requests := self._next_requests():
            self._commit([one for one in requests if one.positions.set_running_or_notify_cancel()])

    def _next_requests(self) -> list[_Request]:
        """Wait for requests, and take as many as one commit may hold; none: it is time to stop."""
        requests: list[_Request] = []
        size_bytes = 0
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            while self._waiting:
                if requests and size_bytes + self._waiting[0].size_bytes > self._commit_bytes_max:
                    break
                request = self._waiting.popleft()
                size_bytes += request.size_bytes
                requests.append(request)
            self._waiting_bytes -= size_bytes
            self._changed.notify_all()
        return requests

    def _commit(self, requests: Sequence[_Request]) -> None:
        try:
            positions = self._producer.append(
                [payload for request in requests for payload in request.payloads]
            )
        except Exception as error:
            # Every caller of this commit is told; the next one is tried anew.
            for request in requests:
                request.positions.set_exception(error)
            return
        low = 0
        for request in requests:
            high = low + len(request.payloads)
            request.positions.set_result(positions[low:high])
            low = high
