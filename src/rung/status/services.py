"""What the API stands on, and what it bears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rung.access.subjects import AuthorisedUser
from rung.log.port import Producer
from rung.status.explanation import Explanation
from rung.status.gate import Gate
from rung.status.lag import LogState
from rung.status.messages import EVENTS_BYTES_MAX, EVENTS_MAX
from rung.status.parameters import ExplainQuery
from rung.store.loop_port import StandingsInLoop
from rung.store.port import Store


@dataclass(frozen=True, slots=True)
class Limits:
    """What the API bears.

    `body_*_max` and `event_bytes_max` bound one request, `streams_max` the streams of statuses at once. With
    more than `lag_events_max` events waiting to be applied it takes no further ones; with one that waits
    longer than `lag_seconds_max` it is not ready.
    """

    body_bytes_max: int = EVENTS_BYTES_MAX
    body_lines_max: int = EVENTS_MAX
    event_bytes_max: int = 1 << 24
    lag_events_max: int = 5_000_000
    lag_seconds_max: float = 60.0
    streams_max: int = 1_000


@dataclass(frozen=True, slots=True)
class Services:
    """What the API stands on.

    `clock` gives microseconds since the epoch. `close` is called when the server stops, after the
    last request and the last append. `partitions` tells the log's number of them when the log cannot be
    asked; without it, the log is. What is remote is never waited for in the event loop, but in threads; what
    is not, is asked right there, because it answers sooner than a thread starts. `standings` reads the same
    store in the event loop, for statuses.

    `gate` lets requests in. `explain` tells the transactions behind a user's figures; it is called in a
    thread, and raises `UnknownCampaign`, a `Problem`, or what store and log do. Pages of `allowed_origins`
    may ask for their user's own.
    """

    store: Store
    log: LogState
    producer: Producer
    clock: Callable[[], int]
    close: Callable[[], None]
    gate: Gate
    explain: Callable[[AuthorisedUser, ExplainQuery], Explanation]
    limits: Limits = field(default_factory=Limits)
    partitions: Callable[[], int] | None = None
    standings: StandingsInLoop | None = None
    allowed_origins: tuple[str, ...] = ()
    store_is_remote: bool = False
    log_is_remote: bool = False

    @property
    def is_remote(self) -> bool:
        """Whether the store or the log is asked over a network."""
        return self.store_is_remote or self.log_is_remote
