"""How far the store is behind the log, in events and in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from rung.log.port import Position
from rung.store.port import NOTHING_APPLIED, Store

_MICROSECONDS: Final = 1_000_000


class LogState(Protocol):
    """What lag is measured on; the log itself, without reading events."""

    def ends(self) -> Mapping[int, int]:
        """Return, for every partition of the log, the offset that the next event will get."""
        ...

    def appended_at(self, position: Position) -> int:
        """Return when an event was appended, in microseconds since the epoch."""
        ...


@dataclass(frozen=True, slots=True)
class Lag:
    """A lag at one moment.

    `applied` is the last offset applied per partition, `ends` the next one to be appended.
    `seconds` is how long the oldest event that is not applied has waited; 0 if there is none.
    """

    applied: Mapping[int, int]
    ends: Mapping[int, int]
    seconds: float

    @property
    def events(self) -> Mapping[int, int]:
        """The events not yet applied, per partition."""
        return {partition: end - 1 - self.applied[partition] for partition, end in self.ends.items()}


def lag_events(store: Store, log: LogState) -> int:
    """Return how many events are in the log and not yet applied."""
    applied = store.applied()
    return sum(
        end - 1 - applied.get(partition, NOTHING_APPLIED).offset for partition, end in log.ends().items()
    )


def measure_lag(store: Store, log: LogState, clock: Callable[[], int]) -> Lag:
    """Return the lag now; `clock` gives microseconds since the epoch.

    The store is read first, so an event that is applied in between counts as waiting, and the lag
    is never below the truth.

    Raises:
        PositionOutOfRange: the log no longer holds the next event to apply.
    """
    stored = store.applied()
    ends = log.ends()
    applied = {partition: stored.get(partition, NOTHING_APPLIED).offset for partition in ends}
    oldest = [
        log.appended_at(Position(partition, applied[partition] + 1))
        for partition, end in ends.items()
        if applied[partition] + 1 < end
    ]
    seconds = max(0, clock() - min(oldest)) / _MICROSECONDS if oldest else 0.0
    return Lag(applied, ends, seconds)
