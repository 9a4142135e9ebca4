"""`rung serve`: one process that supervises the speed worker and the API's workers.

The parent runs Granian's supervisor; the speed worker is its sibling. All of them stop together:
on a signal gracefully, and with an error as soon as one of them ends by itself. Nothing is
restarted, because an error that nobody sees comes back. If the parent is killed, its children
notice and end at once.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Final

from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

if TYPE_CHECKING:
    from rung.status.api import Application


STOP_SECONDS_MAX: Final = 10
_API_STOP_SECONDS: Final = 4
_WORKER_STOP_SECONDS: Final = 5
# How long a child that ended by itself may have got a stop signal before the parent did.
_SIGNAL_SECONDS: Final = 0.5
_PARENT_LOST: Final = 70
_LISTEN_BACKLOG: Final = 1_024
_COLLECTED_AFTER: Final = 20_000
_HEAD_MILLISECONDS_MAX: Final = 5_000
HEAD_BYTES_MAX: Final = 12 << 10
"""About the most bytes of a request's line and headers, 8 KiB and a URL; more is answered with 431."""

_log = logging.getLogger(__name__)


class ServeError(Exception):
    """Serving cannot start, or ended by itself; the text names the cause."""


def serve(
    *,
    worker: Callable[[], None],
    application: Callable[[], Application],
    address: str = "127.0.0.1",
    port: int = 8080,
    workers: int = 1,
    started: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT, then stop within `STOP_SECONDS_MAX` seconds.

    Call it in the main thread. Both targets run in spawned processes, so they must be picklable: a
    function of a module, or a `functools.partial` of one.

    Args:
        worker: Runs the speed worker until SIGTERM; an exception ends it all.
        application: Makes the API application, in each API process.
        address: The address to listen on.
        port: 0 takes a free one.
        workers: The API processes.
        started: Called with the base URL when the port answers.

    Raises:
        ServeError: the address is taken or is none of this machine's, or one of the processes ended
            by itself.
    """
    port = free_port(address, port)
    multiprocessing.set_start_method("spawn", force=True)
    _Serving(worker, application, address, port, workers, started).run()


def free_port(address: str, port: int) -> int:
    """Return the port, or a free one for 0, after a look whether it can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise ServeError(
                f"cannot listen on {address} port {port}: {os.strerror(error.errno or 0)}. "
                "Stop what listens there, or choose another port."
            ) from error
        return probe.getsockname()[1]


def url_of(address: str, port: int) -> str:
    """Return the URL of a server that listens on an address, without a path."""
    name = f"[{address}]" if ":" in address else address
    return f"http://{name}:{port}"


class _Serving:
    """One run of the server."""

    def __init__(
        self,
        worker: Callable[[], None],
        application: Callable[[], Application],
        address: str,
        port: int,
        workers: int,
        started: Callable[[str], None],
    ) -> None:
        self._application = application
        self._address = address
        self._port = port
        self._started = started
        self._worker: BaseProcess = multiprocessing.get_context("spawn").Process(
            target=_run_worker, args=(worker,), name="rung-worker"
        )
        self._stopping = threading.Event()
        # Closed when it is time to stop: the server waits for streams, which have no end of their own.
        self._end_seen, self._going_on = multiprocessing.Pipe(duplex=False)
        self._worker_ended = False
        self._server = Server(
            "rung",
            address=address,
            port=port,
            interface=Interfaces.RSGI,
            workers=workers,
            # Granian's I/O thread beside Python's one: measured faster here than both in one.
            runtime_mode=RuntimeModes.mt,
            loop=Loops.uvloop,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(
                header_read_timeout=_HEAD_MILLISECONDS_MAX, max_buffer_size=HEAD_BYTES_MAX
            ),
            websockets=False,
            backlog=_LISTEN_BACKLOG,
            log_level=LogLevels.warning,
            workers_kill_timeout=_API_STOP_SECONDS,
        )
        self._server.on_startup(self._start_worker)

    def run(self) -> None:
        api_failed = False
        try:
            load = partial(_load_application, self._application, self._end_seen)
            self._server.serve(target_loader=load, wrap_loader=False)
        except SystemExit:
            # Granian ends so when one of its workers ended by itself.
            api_failed = True
        finally:
            self._stopping.set()
            self._stop_worker()
        if self._worker_ended:
            code = self._worker.exitcode
            raise ServeError(f"the speed worker ended by itself (exit code {code}); its error stands above")
        if api_failed:
            raise ServeError("an API process ended by itself; its error stands above")

    def _start_worker(self) -> None:
        # Granian would start its workers anew; a terminal that is closed means to stop.
        signal.signal(signal.SIGHUP, self._interrupt)
        self._worker.start()
        threading.Thread(target=self._watch_worker, name="watch-worker", daemon=True).start()
        threading.Thread(target=self._watch_end, name="watch-end", daemon=True).start()
        threading.Thread(target=self._announce, name="announce", daemon=True).start()

    def _interrupt(self, *_signal: object) -> None:
        self._server.interrupt_signal = True
        self._server.main_loop_interrupt.set()

    def _watch_worker(self) -> None:
        # Not `join`: only one thread may reap the process, and that is the one that stops it.
        wait([self._worker.sentinel])
        if not self._stopping.wait(_SIGNAL_SECONDS) and not self._server.interrupt_signal:
            self._worker_ended = True
            self._interrupt()

    def _watch_end(self) -> None:
        self._server.main_loop_interrupt.wait()
        self._going_on.close()

    def _announce(self) -> None:
        """Tell the URL as soon as the port answers."""
        while not self._stopping.is_set():
            try:
                socket.create_connection((self._address, self._port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                self._started(url_of(self._address, self._port))
                return

    def _stop_worker(self) -> None:
        if self._worker.pid is None:
            return
        self._worker.terminate()
        self._worker.join(_WORKER_STOP_SECONDS)
        if self._worker.is_alive():
            # Safe at any moment: what is not committed is read again from the log.
            _log.warning("worker_killed", extra={"waited_seconds": _WORKER_STOP_SECONDS})
            self._worker.kill()
            self._worker.join()


def _run_worker(worker: Callable[[], None]) -> None:
    depend_on_parent()
    worker()


def _load_application(application: Callable[[], Application], end_seen: Any) -> Application:
    depend_on_parent()
    made = application()

    def end_streams() -> None:
        wait([end_seen])
        made.end_streams()

    threading.Thread(target=end_streams, name="end-streams", daemon=True).start()
    # What is there now stays, and what a request makes goes with it, by counting references alone. To look
    # for cycles as often as Python does by itself takes a seventh of the time of a status.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECTED_AFTER)
    return made


def depend_on_parent() -> None:
    """Leave signals of the terminal to the parent, and end when the parent is gone."""
    os.setpgid(0, 0)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        wait([parent.sentinel])
        os._exit(_PARENT_LOST)

    threading.Thread(target=end_with_parent, name="watch-parent", daemon=True).start()
