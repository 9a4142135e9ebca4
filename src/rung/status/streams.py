"""Streams of a user's status: server-sent events, a snapshot first, then one at each change.

All streams of a process share one loop, which reads each user once however many look on. A stream holds the
newest event only: who reads slowly misses what is past, and nothing piles up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Final

from rung.access.subjects import AuthorisedUser
from rung.log.port import LogError
from rung.status.parameters import Query
from rung.status.problem import Problem, unavailable
from rung.status.reader import Reading
from rung.status.users import UserDocuments, etag_of
from rung.store.port import StoreBusy, StoreError

LOOK_SECONDS: Final = 0.25
"""How often the users of all streams are read."""
HEARTBEAT_SECONDS: Final = 15.0
_AGAIN_SECONDS: Final = 10.0
"""How often a status is evaluated anew though nothing is stored: a period may have ended."""
_RETRY: Final = b"retry: 2000\n\n"
_HEARTBEAT: Final = b": heartbeat\n\n"

_log = logging.getLogger(__name__)


class Stream:
    """One open stream. Whoever has it reads its pieces, and closes it."""

    def __init__(
        self,
        query: Query,
        ended_by: Callable[[], str | None],
        heartbeat_seconds: float,
        closed: Callable[[Stream], None],
    ) -> None:
        """Take what it is of, what tells why it is over, and what is called once when it is closed."""
        self.query = query
        self.ended_by = ended_by
        self.seen: tuple[object, ...] = ()
        self.shown: object = None
        self._heartbeat_seconds = heartbeat_seconds
        self._closed: Callable[[Stream], None] | None = closed
        self._changed = asyncio.Event()
        self._event = b""
        self._end: str | None = None

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yield what is to be sent, when it is due."""
        yield _RETRY
        while True:
            try:
                async with asyncio.timeout(self._heartbeat_seconds):
                    await self._changed.wait()
            except TimeoutError:
                yield _HEARTBEAT
                continue
            self._changed.clear()
            if self._event:
                event, self._event = self._event, b""
                yield event
            if self._end is not None:
                yield b'event: end\ndata: {"reason":"%s"}\n\n' % self._end.encode()
                return

    def show(self, event: bytes) -> None:
        """Send an event next, in place of one that was not sent yet."""
        self._event = event
        self._changed.set()

    def finish(self, reason: str) -> None:
        """Send the end."""
        self._end = reason
        self._changed.set()

    def close(self) -> None:
        """Leave. Closing twice is fine."""
        if self._closed is not None:
            closed, self._closed = self._closed, None
            closed(self)


class Streams:
    """The open streams of a process. For one event loop."""

    def __init__(
        self,
        read: Callable[[AuthorisedUser], Awaitable[Reading]],
        documents: UserDocuments,
        streams_max: int,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        """Open none yet.

        Args:
            read: Reads a user, together with others who are asked for at once.
            documents: Renders a status.
            streams_max: The most streams at once.
            heartbeat_seconds: How long a stream is silent at most.
        """
        self._read = read
        self._documents = documents
        self._streams_max = streams_max
        self._heartbeat_seconds = heartbeat_seconds
        self._open: dict[AuthorisedUser, list[Stream]] = {}
        self._count = 0
        self._loop: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """The number of open streams."""
        return self._count

    async def open(self, user: AuthorisedUser, query: Query, ended_by: Callable[[], str | None]) -> Stream:
        """Return a stream, which the caller has to close.

        Args:
            user: Whose status it is of.
            query: Which campaign.
            ended_by: Tells why the caller may look on no more, None as long as that is allowed.

        Raises:
            Problem: 404, there is no such campaign; 503, there are too many streams.
            StoreError: the store cannot be read.
            StoreBusy: it does not answer.
        """
        if self._count >= self._streams_max:
            detail = (
                f"{self._count:,} streams are open, as many as may be; ask for the status itself, or again"
            )
            raise unavailable("too_many_streams", detail)
        stream = Stream(query, ended_by, self._heartbeat_seconds, partial(self._close, user))
        streams = self._open.setdefault(user, [])
        # It counts while its snapshot is read, so that no more of them are let in meanwhile.
        streams.append(stream)
        self._count += 1
        try:
            self._update(stream, await self._read(user))
        except BaseException:
            stream.close()
            raise
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._look())
        return stream

    def stop(self) -> None:
        """End all streams."""
        for stream in self._all():
            stream.finish("stopping")
        if self._loop is not None:
            self._loop.cancel()

    def _close(self, user: AuthorisedUser, stream: Stream) -> None:
        self._count -= 1
        streams = self._open[user]
        streams.remove(stream)
        if not streams:
            del self._open[user]

    def _all(self) -> list[Stream]:
        return [stream for streams in self._open.values() for stream in streams]

    async def _look(self) -> None:
        """Read the users of all streams again and again, until there is none."""
        try:
            while self._open:
                await asyncio.sleep(LOOK_SECONDS)
                for stream in self._all():
                    reason = stream.ended_by()
                    if reason is not None:
                        stream.finish(reason)
                users = list(self._open)
                read = await asyncio.gather(*map(self._read, users), return_exceptions=True)
                for user, reading in zip(users, read, strict=True):
                    self._take(user, reading)
        except Exception:
            _log.exception("streams_failed")
            for stream in self._all():
                stream.finish("failed")

    def _take(self, user: AuthorisedUser, reading: Reading | BaseException) -> None:
        """Show what was read to those who look on; what cannot be read now is read again."""
        if isinstance(reading, BaseException):
            if not isinstance(reading, StoreError | StoreBusy | LogError):
                raise reading
            _log.warning("stream_waits", extra={"cause": str(reading)})
            return
        for stream in self._open.get(user, ()):
            try:
                self._update(stream, reading)
            except Problem:
                # The campaign that is looked at is there no more.
                stream.finish("unknown_campaign")

    def _update(self, stream: Stream, reading: Reading) -> None:
        """Show a reading, if anything of what is shown differs from before."""
        standing = reading.standing
        moment = int(time.monotonic() / _AGAIN_SECONDS)
        seen = standing.figures, standing.user_attributes, standing.catalog_revision, moment
        if seen == stream.seen:
            return
        stream.seen = seen
        shown, body = self._documents.shown(stream.query, reading)
        if shown != stream.shown:
            stream.shown = shown
            stream.show(b"event: status\nid: %s\ndata: %s\n\n" % (etag_of(body).encode(), body))
