"""How far the store is behind the log, in events and in time, and which partitions cannot go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from rung.log.port import LogIdentity, Position, PositionOutOfRange
from rung.store.port import NOTHING_APPLIED, BoundLog, Store

_MICROSECONDS: Final = 1_000_000


class LogState(Protocol):
    """What lag is measured on; the log itself, without reading events."""

    def identity(self) -> LogIdentity:
        """Return what tells this log from any other, as it is now."""
        ...

    def starts(self) -> Mapping[int, int]:
        """Return, for every partition of the log, the offset of its oldest event (its end if it is empty)."""
        ...

    def ends(self) -> Mapping[int, int]:
        """Return, for every partition of the log, the offset that the next event will get."""
        ...

    def appended_at(self, position: Position) -> int:
        """Return when an event was appended, in microseconds since the epoch."""
        ...


class Stuck(Enum):
    """Why a partition cannot go on: the log does not have the event that follows the stored position."""

    AHEAD_OF_LOG = "ahead_of_log"
    """The position lies past the end: the log has lost events that the store has applied."""
    PASSED_BY_RETENTION = "passed_by_retention"
    """The next event was trimmed away before it was applied."""
    LOG_REPLACED = "log_replaced"
    """The positions refer to another log, or to other partitions."""

    @property
    def text(self) -> str:
        """The reason in a few words."""
        return _TEXTS[self]


_TEXTS: Final = {
    Stuck.AHEAD_OF_LOG: "ahead of the log",
    Stuck.PASSED_BY_RETENTION: "passed by retention",
    Stuck.LOG_REPLACED: "other log",
}


@dataclass(frozen=True, slots=True)
class Standings:
    """Where log and store stand at one moment.

    `starts` and `ends` are the log's, `applied` is the last offset applied (-1: none), for each of the
    log's partitions; `stuck` has those that cannot go on, with the reason.
    """

    starts: Mapping[int, int]
    ends: Mapping[int, int]
    applied: Mapping[int, int]
    stuck: Mapping[int, Stuck]

    @property
    def events(self) -> Mapping[int, int]:
        """The events not yet applied, per partition."""
        return {partition: max(0, end - 1 - self.applied[partition]) for partition, end in self.ends.items()}


@dataclass(frozen=True, slots=True)
class Lag(Standings):
    """A lag at one moment.

    `seconds` is how long the oldest event that is not applied has waited, in the partitions that can
    go on; 0 if there is none.
    """

    seconds: float = field(kw_only=True)


def lag_events(store: Store, log: LogState) -> int:
    """Return how many events are in the log and not yet applied."""
    applied = store.applied()
    return sum(
        max(0, end - 1 - applied.get(partition, NOTHING_APPLIED).offset)
        for partition, end in log.ends().items()
    )


def read_standings(store: Store, log: LogState) -> Standings:
    """Return where log and store stand.

    The store is read between the log's starts and its ends, so that neither an event that is trimmed
    nor one that is applied meanwhile makes a partition look stuck.
    """
    identity = log.identity()
    starts = log.starts()
    bound = store.bound()
    stored = store.applied()
    is_other = bound is not None and bound != BoundLog(*identity)
    ends = log.ends()
    applied = {partition: stored.get(partition, NOTHING_APPLIED).offset for partition in ends}
    stuck: dict[int, Stuck] = {}
    for partition, end in ends.items():
        following = applied[partition] + 1
        if is_other:
            stuck[partition] = Stuck.LOG_REPLACED
        elif following > end:
            stuck[partition] = Stuck.AHEAD_OF_LOG
        elif following < starts.get(partition, 0):
            stuck[partition] = Stuck.PASSED_BY_RETENTION
    return Standings(starts, ends, applied, stuck)


def measure_lag(store: Store, log: LogState, clock: Callable[[], int]) -> Lag:
    """Return the lag now; `clock` gives microseconds since the epoch.

    The store is read before the log's ends, so an event that is applied in between counts as waiting,
    and the lag is never below the truth.
    """
    now = read_standings(store, log)
    oldest: list[int] = []
    for partition, end in now.ends.items():
        following = now.applied[partition] + 1
        if partition not in now.stuck and following < end:
            try:
                oldest.append(log.appended_at(Position(partition, following)))
            except PositionOutOfRange:
                # Trimmed since, or an offset that a log leaves out: nobody waits for it.
                continue
    seconds = max(0, clock() - min(oldest)) / _MICROSECONDS if oldest else 0.0
    return Lag(now.starts, now.ends, now.applied, now.stuck, seconds=seconds)
