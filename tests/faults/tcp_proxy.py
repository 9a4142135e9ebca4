"""A proxy for any TCP protocol that delays, holds, resets, cuts and refuses, and counts what it did.

A cut ends a connection after so many bytes, wherever in a frame that is. What is drawn, is drawn from one seeded
source. Faults can be switched at any time, from any thread, and hold for connections that are there as well as for
new ones.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, Self, cast

from faults.loop_thread import LOOPBACK, LoopThread

_CUT_AFTER_SECONDS: Final = 0.01


@dataclass(slots=True)
class TcpCounts:
    """What a proxy did: connections accepted, and how many were reset, cut, held; bytes passed on and delayed."""

    connections: int = 0
    unreachable: int = 0
    resets: int = 0
    cuts: int = 0
    held: int = 0
    passed_bytes: int = 0
    delayed_bytes: int = 0


@dataclass(slots=True)
class _Faults:
    delay_seconds: tuple[float, float] = (0.0, 0.0)
    cut_bytes: tuple[int, int] | None = None
    holding: bool = False


class TcpProxy:
    """A proxy on loopback before a server; `port` is its own, known after `start`. A context manager."""

    def __init__(self, target_host: str, target_port: int, seed: int = 0) -> None:
        self.target = (target_host, target_port)
        self.port = 0
        self._counts = TcpCounts()
        self._faults = _Faults()
        self._random = Random(seed)
        self._pairs: set[_Pair] = set()
        self._loop = LoopThread("tcp-proxy")
        self._server: asyncio.AbstractServer | None = None

    def start(self, port: int = 0) -> Self:
        """Listen, on a free port or the one given."""
        self.port = port
        self._loop.start()
        self._loop.run(self._listen())
        return self

    def close(self) -> None:
        """End all connections and the proxy."""
        self._loop.run(self._shut())
        self._loop.close()

    def __enter__(self) -> Self:
        return self if self.port else self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def counts(self) -> TcpCounts:
        """Return what was done so far."""
        return replace(self._counts)

    def delay(self, seconds_min: float, seconds_max: float | None = None) -> None:
        """Pass on everything later, both ways, in order: each piece by a time drawn between the two."""
        self._faults.delay_seconds = (seconds_min, seconds_min if seconds_max is None else seconds_max)

    def hold(self) -> None:
        """Stop reading: connections are open and accepted, and nothing moves. `heal` lets it all go on."""
        self._loop.run(self._hold())

    def cut(self, bytes_min: int, bytes_max: int | None = None) -> None:
        """Reset every connection once so many more bytes have passed, both ways together; drawn for each."""
        self._loop.run(self._cut((bytes_min, bytes_min if bytes_max is None else bytes_max)))

    def reset_all(self) -> int:
        """Reset the connections that are there (RST, not FIN), and return how many those were."""
        return self._loop.run(self._reset_all())

    def refuse(self) -> None:
        """Stop listening: new connections are refused, those that are there go on. `heal` listens again."""
        self._loop.run(self._refuse())

    def heal(self) -> None:
        """End all faults."""
        self._loop.run(self._heal())

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Pair(self).near, LOOPBACK, self.port, reuse_address=True, backlog=512
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        await self._refuse()
        for pair in list(self._pairs):
            pair.reset()

    async def _hold(self) -> None:
        self._faults.holding = True
        for pair in self._pairs:
            pair.hold()

    async def _cut(self, cut_bytes: tuple[int, int]) -> None:
        self._faults.cut_bytes = cut_bytes
        for pair in self._pairs:
            pair.draw_cut()

    async def _reset_all(self) -> int:
        pairs = list(self._pairs)
        for pair in pairs:
            pair.reset()
        self._counts.resets += len(pairs)
        return len(pairs)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _heal(self) -> None:
        self._faults = _Faults()
        for pair in self._pairs:
            pair.release()
        if self._server is None:
            await self._listen()


class _Pair:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy: TcpProxy) -> None:
        self.proxy = proxy
        self.near = _Side(self)
        self.far = _Side(self)
        self._left_bytes: int | None = None
        self._cutting: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None

    @property
    def faults(self) -> _Faults:
        return self.proxy._faults

    @property
    def counts(self) -> TcpCounts:
        return self.proxy._counts

    def accepted(self) -> None:
        self.proxy._pairs.add(self)
        self.counts.connections += 1
        self.draw_cut()
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.far, *self.proxy.target)
        except OSError:
            # The server is down: the client sees that, and the count says so.
            self.counts.unreachable += 1
            self.reset()

    def draw_cut(self) -> None:
        if self._cutting is not None:
            return
        bounds = self.faults.cut_bytes
        self._left_bytes = None if bounds is None else self.proxy._random.randint(*bounds)

    def draw_delay_seconds(self) -> float:
        return self.proxy._random.uniform(*self.faults.delay_seconds)

    def allowed(self, data: bytes) -> bytes:
        """Return what of the data may pass; if that is the last of it, the connection is cut."""
        if self._left_bytes is None:
            return data
        passed = data[: self._left_bytes]
        self._left_bytes -= len(passed)
        if self._left_bytes == 0 and self._cutting is None:
            # A reset throws away what the receiver has not read, so it gets a moment for the last bytes.
            self._cutting = asyncio.get_running_loop().call_later(_CUT_AFTER_SECONDS, self._cut)
        return passed

    def _cut(self) -> None:
        self.counts.cuts += 1
        self.reset()

    def hold(self) -> None:
        self.counts.held += 1
        self.near.pause_reading()
        self.far.pause_reading()

    def release(self) -> None:
        if self._cutting is None:
            self._left_bytes = None
        for side in (self.near, self.far):
            side.hasten()
            side.go_on()

    def reset(self) -> None:
        self.proxy._pairs.discard(self)
        if self._cutting is not None:
            self._cutting.cancel()
        for side in (self.near, self.far):
            side.reset()

    def ended(self) -> None:
        self.proxy._pairs.discard(self)


class _Side(asyncio.Protocol):
    """One of the two connections: what it receives, the other one sends."""

    def __init__(self, pair: _Pair) -> None:
        self._pair = pair
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._blocked = False
        self._closed = False
        self._was_reset = False

    @property
    def _other(self) -> _Side:
        return self._pair.far if self is self._pair.near else self._pair.near

    @property
    def _may_pass(self) -> bool:
        """Whether there is somewhere to send to, and nothing is held."""
        return self._other._transport is not None and not self._pair.faults.holding

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self is self._pair.near:
            self._pair.accepted()
            if self._pair.faults.holding:
                self._pair.counts.held += 1
        elif self._other._was_reset:
            self.reset()
        else:
            # What the client has sent by now, if it may go.
            self._other.go_on()

    def data_received(self, data: bytes) -> None:
        delayed = self._pair.faults.delay_seconds[1] > 0
        if delayed:
            self._pair.counts.delayed_bytes += len(data)
        if delayed or self._waiting or not self._may_pass:
            self._later(data)
        else:
            self._pass_on(data)
        if not self._may_pass:
            self.pause_reading()

    def eof_received(self) -> bool:
        if self._waiting or not self._may_pass:
            self._later(None)
        else:
            self._pass_on(None)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._pair.ended()
        if exc is not None:
            self._other.reset()
        elif not self._waiting:
            self._other.finish()

    def pause_writing(self) -> None:
        self._blocked = True
        self._other.pause_reading()

    def resume_writing(self) -> None:
        self._blocked = False
        self._other.resume_reading()

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if (
            self._may_pass
            and not self._other._blocked
            and self._transport is not None
            and not self._transport.is_closing()
        ):
            self._transport.resume_reading()

    def hasten(self) -> None:
        """Pass on what waits for its time, at once."""
        self._waiting = deque((0.0, data) for _, data in self._waiting)

    def go_on(self) -> None:
        """Pass on what is due, if it may pass, and read again."""
        if self._timer is not None:
            self._timer.cancel()
        self._due()
        self.resume_reading()

    def reset(self) -> None:
        self._was_reset = True
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()
        if self._transport is not None and not self._closed:
            pseudo_socket: Any = self._transport.get_extra_info("socket")
            pseudo_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def finish(self) -> None:
        """Close once everything is sent."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def _pass_on(self, data: bytes | None) -> None:
        target = self._other._transport
        if target is None or target.is_closing():
            return
        if data is None:
            target.write_eof()
            return
        passed = self._pair.allowed(data)
        self._pair.counts.passed_bytes += len(passed)
        target.write(passed)

    def _later(self, data: bytes | None) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._pair.draw_delay_seconds()
        if self._waiting:
            due = max(due, self._waiting[-1][0])
        self._waiting.append((due, data))
        if self._timer is None and self._may_pass:
            self._timer = loop.call_at(due, self._due)

    def _due(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        if not self._may_pass:
            return
        while self._waiting and self._waiting[0][0] <= loop.time():
            self._pass_on(self._waiting.popleft()[1])
        if self._waiting:
            self._timer = loop.call_at(self._waiting[0][0], self._due)
        elif self._closed:
            self._other.finish()
