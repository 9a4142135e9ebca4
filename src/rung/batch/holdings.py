"""What a lake holds of each partition of its log, and what is wrong with that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from rung.lake.port import Lake, LakeError, LakeState
from rung.log.port import Log


@dataclass(frozen=True, slots=True)
class Holding:
    """A partition in the lake, and the same in the log.

    `position` is the first offset that is not in the lake; `first` and `last` are days, None if it has none.
    """

    partition: int
    position: int
    start: int
    end: int
    events: int
    files: int
    bytes: int
    first: date | None
    last: date | None

    @property
    def behind(self) -> int:
        """How many offsets of the log are not in the lake."""
        return max(0, self.end - self.position)

    @property
    def problem(self) -> str:
        """What is wrong and what to do about it; empty when all is well."""
        if self.start > self.position:
            return (
                f"partition {self.partition}: the events from offset {self.position} to before {self.start} "
                "were deleted from the log before they were archived: restore the log from a copy, and have "
                "it keep events longer than an archiver may rest"
            )
        if self.position > self.end:
            return (
                f"partition {self.partition}: the lake goes up to offset {self.position}, and the log ends "
                f"before {self.end}: the log has lost events; restore it from a copy"
            )
        if self.events > self.position:
            return (
                f"partition {self.partition}: the lake has {self.events} events, and at most {self.position}"
                " can be: events are there twice; restore the lake from a copy"
            )
        return ""

    @property
    def days_text(self) -> str:
        """The first and the last day, in words."""
        if self.first is None or self.last is None:
            return ""
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"

    def as_json(self) -> dict[str, object]:
        """Return it for a program to read."""
        return {
            "partition": self.partition,
            "position": self.position,
            "start": self.start,
            "end": self.end,
            "behind": self.behind,
            "events": self.events,
            "files": self.files,
            "bytes": self.bytes,
            "first_day": None if self.first is None else str(self.first),
            "last_day": None if self.last is None else str(self.last),
        }


def holdings(log: Log, lake: Lake) -> tuple[LakeState, list[Holding]]:
    """Return what a lake holds, and what of each partition.

    Raises:
        LakeError: it belongs to another log.
    """
    # Between the log's starts and its ends: neither what is archived and trimmed meanwhile nor what is
    # appended and archived may look lost.
    starts = log.starts()
    state = lake.state()
    ends = log.ends()
    if state.log != log.identity():
        raise LakeError(
            "the lake belongs to another log: point Rung at the one that it was made from, or choose another "
            "folder for this log's lake (lake.uri)"
        )
    found: list[Holding] = []
    for partition, end in ends.items():
        files = [file for file in state.files if file.partition == partition]
        days = [file.day for file in files]
        found.append(
            Holding(
                partition,
                state.positions[partition],
                starts[partition],
                end,
                sum(file.events for file in files),
                len(files),
                sum(file.bytes for file in files),
                min(days, default=None),
                max(days, default=None),
            )
        )
    return state, found
