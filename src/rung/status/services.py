"""What the API stands on, and what it bears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rung.log.port import Producer
from rung.status.lag import LogState
from rung.store.port import Store


@dataclass(frozen=True, slots=True)
class Limits:
    """What the API bears.

    `body_*_max` bound one request. With more than `lag_events_max` events waiting to be applied it
    takes no further ones; with one that waits longer than `lag_seconds_max` it is not ready.
    """

    body_bytes_max: int = 16 << 20
    body_lines_max: int = 200_000
    lag_events_max: int = 5_000_000
    lag_seconds_max: float = 60.0


@dataclass(frozen=True, slots=True)
class Services:
    """What the API stands on.

    `clock` gives microseconds since the epoch. `close` is called when the server stops, after the
    last request and the last append.
    """

    store: Store
    log: LogState
    producer: Producer
    clock: Callable[[], int]
    close: Callable[[], None]
    limits: Limits = field(default_factory=Limits)
