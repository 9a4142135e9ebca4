"""How many requests the status API of a home answers, as its metrics tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import httpx2
import msgspec
from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT_SECONDS: Final = 0.5
_REQUESTS: Final = "rung_http_requests"
_SERVER_ERRORS_FROM: Final = 500
_FORGOTTEN_SECONDS: Final = 60.0


class ApiGlance(msgspec.Struct, frozen=True):
    """The API at one moment.

    Attributes:
        url: Where it is looked for.
        requests_per_second: What it answers; None until a process has been asked twice.
        requests, errors: What those processes that were asked have answered; errors of the server among it.
        problem: Why nothing can be told now; empty if it can.
    """

    url: str
    requests_per_second: float | None = None
    requests: int = 0
    errors: int = 0
    problem: str = ""


class _Process(msgspec.Struct):
    at: float
    requests: int
    errors: int
    rate: float | None = None


class ApiWatch:
    """Asks the API again and again. Each of its processes counts its own requests, and any answers."""

    def __init__(
        self, host: str, port: int, key: str | None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Look on a port of this machine; `key` may read metrics, None sends none."""
        place = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing listens here
        self._url = f"http://{f'[{place}]' if ':' in place else place}:{port}"
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._client = httpx2.Client(timeout=_TIMEOUT_SECONDS, trust_env=False)
        self._monotonic = monotonic
        self._processes: dict[str, _Process] = {}

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def look(self) -> ApiGlance:
        """Return what the API has answered so far."""
        try:
            answer = self._client.get(f"{self._url}/metrics", headers=self._headers)
        except httpx2.TransportError:
            return ApiGlance(self._url, problem="not reachable")
        if answer.status_code in {401, 403}:
            return ApiGlance(self._url, problem="wants a key that may read metrics: --key-file FILE")
        if answer.status_code != 200:
            return ApiGlance(self._url, problem=f"answers {answer.status_code}")
        self._count(answer.text)
        rates = [one.rate for one in self._processes.values() if one.rate is not None]
        return ApiGlance(
            self._url,
            round(sum(rates), 1) if rates else None,
            sum(one.requests for one in self._processes.values()),
            sum(one.errors for one in self._processes.values()),
        )

    def _count(self, metrics: str) -> None:
        now = self._monotonic()
        counted: dict[str, _Process] = {}
        for family in text_string_to_metric_families(metrics):
            if family.name != _REQUESTS:
                continue
            for sample in family.samples:
                one = counted.setdefault(sample.labels["process"], _Process(now, 0, 0))
                one.requests += int(sample.value)
                if int(sample.labels["status"]) >= _SERVER_ERRORS_FROM:
                    one.errors += int(sample.value)
        for name, one in counted.items():
            before = self._processes.get(name)
            if before is not None and now > before.at:
                one.rate = max(0, one.requests - before.requests) / (now - before.at)
            self._processes[name] = one
        # A process that ended answers no more.
        heard = {name: one for name, one in self._processes.items() if one.at > now - _FORGOTTEN_SECONDS}
        self._processes = heard
