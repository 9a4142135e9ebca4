"""Trimming the log behind the archive: what is in the lake and in the store is needed there no longer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rung.lake.port import Lake, LakeDamaged, LakeError
from rung.log.port import Log, LogError, Trimmable
from rung.store.port import NOTHING_APPLIED, BoundLog, Store


class Trim(NamedTuple):
    """How far a partition may be trimmed: its start, and the end of what the lake and the store have."""

    start: int
    archived: int
    applied: int

    @property
    def before(self) -> int:
        """The offset before which nothing of the log is needed."""
        return max(self.start, min(self.archived, self.applied))


def plan_trim(log: Log, lake: Lake, store: Store) -> dict[int, Trim]:
    """Return how far each partition may be trimmed.

    Raises:
        LogError: events of this log are not deleted by Rung.
        LakeError: lake or store are of another log.
    """
    if not isinstance(log, Trimmable):
        raise LogError(
            "the events of a topic are deleted by its own rule and not by Rung: set `retention.ms` of the "
            "topic to longer than an archiver may ever rest, and watch `rung lake status`"
        )
    identity, state = log.identity(), lake.state()
    if state.log != identity:
        raise LakeError("the lake belongs to another log: nothing of this one is in it")
    bound = store.bound()
    if bound is not None and bound != BoundLog(*identity):
        raise LakeError("the store's positions refer to another log: nothing of this one is applied")
    # Both only ever go on, so what is read here is no further than what is true.
    stored = store.applied()
    return {
        partition: Trim(start, state.positions[partition], stored.get(partition, NOTHING_APPLIED).offset + 1)
        for partition, start in log.starts().items()
    }


def trim_behind(
    log: Log, lake: Lake, store: Store, at_most: Mapping[int, int] | None = None
) -> Mapping[int, int]:
    """Trim each partition up to what the lake and the store have, and never beyond.

    Blocks of the log are deleted as a whole, so a few events more may stay. The lease must be held: a replay
    takes the store back to the beginning. `at_most` gives offsets before which alone events may be deleted.

    Returns:
        Where each partition starts now.

    Raises:
        LogError: events of this log are not deleted by Rung.
        LakeError: lake or store are of another log.
        LakeDamaged: the lake does not have what it says it has; nothing was trimmed.
    """
    found = plan_trim(log, lake, store)
    if at_most is not None:
        found = {
            partition: trim._replace(applied=min(trim.applied, at_most[partition]))
            for partition, trim in found.items()
        }
    assert isinstance(log, Trimmable)
    _check_archived(lake, found)
    return {
        partition: log.trim(partition, trim.before) if trim.before > trim.start else trim.start
        for partition, trim in found.items()
    }


def _check_archived(lake: Lake, trims: Mapping[int, Trim]) -> None:
    """See to it that the lake has what is about to be trimmed, byte for byte: there is no other copy then."""
    state = lake.state()
    for partition, trim in trims.items():
        # A log that is trimmed here has an event at every offset.
        events = sum(file.events for file in state.files if file.partition == partition)
        if events != state.positions[partition]:
            raise LakeDamaged(
                f"the lake has {events} events of partition {partition}, and should have "
                f"{state.positions[partition]}: restore it from a copy"
            )
        for file in state.of_partition(partition, trim.start, trim.before):
            lake.check(file)
