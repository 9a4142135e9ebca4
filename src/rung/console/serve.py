"""The console's own listener: one process, apart from that of the status API."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server
from starlette.types import ASGIApp

from rung.console.origin import Origin
from rung.status.hosts import is_loopback_address
from rung.status.serve import HEAD_BYTES_MAX, ServeError, free_port, url_of

_LOOK_EVERY_SECONDS: Final = 0.02
_THREADS_END_SECONDS_MAX: Final = 1.0
_THREADS: Final = Path("/proc/self/task")


def serve(application: ASGIApp, host: str, port: int, origin: Origin, started: Callable[[str], None]) -> None:
    """Serve the console until SIGTERM or SIGINT. Call it in the main thread.

    Args:
        application: The console.
        host: An address, or `localhost`.
        port: 0 takes a free one.
        origin: How browsers reach it.
        started: Called with the address to open when the port answers.

    Raises:
        ServeError: the address is taken, or lies beyond loopback and no origin with TLS is set.
    """
    address = "127.0.0.1" if host == "localhost" else host
    if not is_loopback_address(address) and not origin.is_secure:
        raise ServeError(
            f"refused to listen on {host!r} without TLS: put a proxy with TLS before the console, and set "
            "console.origin in rung.toml to the https address by which browsers reach it"
        )
    chosen = free_port(address, port)
    threads = _threads()
    asyncio.run(_serve(application, address, chosen, origin, started))
    _wait_until_gone(threads)


async def _serve(
    application: ASGIApp, address: str, port: int, origin: Origin, started: Callable[[str], None]
) -> None:
    server = Server(
        application,
        address=address,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=10_000, max_buffer_size=HEAD_BYTES_MAX),
        websockets=False,
        log_level=LogLevels.error,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    announcing = loop.create_task(_announce(address, port, origin, started))
    try:
        await server.serve()
    finally:
        announcing.cancel()


async def _announce(address: str, port: int, origin: Origin, started: Callable[[str], None]) -> None:
    """Tell the address as soon as the port answers."""
    while True:
        try:
            _, writer = await asyncio.open_connection(address, port)
        except OSError:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        else:
            writer.close()
            break
    started(origin.text or url_of(address, port))


def _wait_until_gone(threads_before: int) -> None:
    """Wait until the server's own threads have ended, which nobody else joins.

    One that asks for the interpreter while that shuts down can only panic, and may take the process with it.
    """
    give_up_at = time.monotonic() + _THREADS_END_SECONDS_MAX
    while _threads() > threads_before and time.monotonic() < give_up_at:
        time.sleep(_LOOK_EVERY_SECONDS)


def _threads() -> int:
    """Return how many threads this process has, whoever made them; 0 where the system does not tell."""
    return len(list(_THREADS.iterdir())) if _THREADS.exists() else 0
