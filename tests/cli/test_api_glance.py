"""What `rung top` learns from the API's metrics: requests of each process, and why nothing can be told."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from rung.cli.api_glance import ApiWatch
from rung.status.lag import Lag
from rung.status.metrics import Exposition, RequestMetrics
from rung.store.port import Counters

KEY = "rung_000000000000_key"


class Api:
    """The metrics of two processes, which answer in turn, for whoever has the key."""

    def __init__(self) -> None:
        self.status = 200
        self.requests = [RequestMetrics(), RequestMetrics()]
        self._answers = 0

    def render(self) -> bytes:
        process = self._answers % 2
        self._answers += 1
        lag = Lag({}, {}, {}, {}, seconds=0.0)
        return Exposition(Counters, lambda: lag, self.requests[process], process).render()


@contextmanager
def serving(api: Api) -> Generator[int]:
    """Serve metrics on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_known = self.headers["authorization"] == f"Bearer {KEY}"
            self.send_response(api.status if is_known else 401)
            self.end_headers()
            self.wfile.write(api.render() if is_known else b"")

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_requests_of_all_processes() -> None:
    """Each process counts for itself: the sums are told, and the rate from the second answer of one on."""
    api = Api()
    for process, (status, count) in enumerate([(200, 5), (503, 2)]):
        for _ in range(count):
            api.requests[process].observe("status", status, 0.001)
    with serving(api) as port, closing(ApiWatch("127.0.0.1", port, KEY)) as watch:
        first, second = watch.look(), watch.look()
        assert (first.requests, first.errors, first.requests_per_second) == (5, 0, None)
        assert (second.requests, second.errors, second.requests_per_second) == (7, 2, None)
        assert watch.look().requests_per_second == 0
        api.requests[1].observe("status", 200, 0.001)
        fourth = watch.look()
        assert (fourth.requests, fourth.errors, fourth.problem) == (8, 2, "")
        assert fourth.requests_per_second


def test_a_process_that_ended() -> None:
    """A process that has not answered for a minute is counted no more."""
    api, now = Api(), [0.0]
    for requests in api.requests:
        requests.observe("status", 200, 0.001)
    with serving(api) as port, closing(ApiWatch("127.0.0.1", port, KEY, lambda: now[0])) as watch:
        assert [watch.look().requests for _ in range(2)] == [1, 2]
        now[0] = 61.0
        assert watch.look().requests == 1


@pytest.mark.parametrize(
    ("key", "status", "problem"),
    [
        (None, 200, "wants a key that may read metrics: --key-file FILE"),
        ("rung_other", 200, "wants a key that may read metrics: --key-file FILE"),
        (KEY, 403, "wants a key that may read metrics: --key-file FILE"),
        (KEY, 503, "answers 503"),
    ],
)
def test_no_answer(key: str | None, status: int, problem: str) -> None:
    """Why nothing can be told is said."""
    api = Api()
    api.status = status
    with serving(api) as port, closing(ApiWatch("127.0.0.1", port, key)) as watch:
        assert watch.look().problem == problem


@pytest.mark.parametrize(
    ("host", "place"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]")]
)
def test_nobody_there(host: str, place: str) -> None:
    """An API that is not there is told with where it was looked for."""
    with serving(Api()) as port:
        pass
    with closing(ApiWatch(host, port, KEY)) as watch:
        seen = watch.look()
    assert (seen.url, seen.problem) == (f"http://{place}:{port}", "not reachable")
