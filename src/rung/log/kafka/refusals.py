"""Why a topic, or a position in it, is not the one that was read so far."""

from __future__ import annotations

from rung.log.kafka.settings import KafkaSettings
from rung.log.port import LogIdentity, LogReplaced, PositionOutOfRange


def check_same(settings: KafkaSettings, expected: LogIdentity, found: LogIdentity) -> None:
    """Check that a topic is the one that was read so far.

    Raises:
        LogReplaced: it was made anew, or has other partitions.
    """
    if found.name != expected.name:
        raise LogReplaced(
            f"topic {settings.topic} was made anew: it is {found.name}, not {expected.name}; the positions "
            "in the store mean nothing in it, so use a new store, or derive this one again with `rung replay`"
        )
    if found.partitions != expected.partitions:
        raise LogReplaced(
            f"topic {settings.topic} ({found.name}) has {found.partitions} partitions now, not "
            f"{expected.partitions}: users have moved between partitions; make a new topic with as many, "
            "append all events to it, and derive the store again with `rung replay`"
        )


def out_of_range(partition: int, offset: int, start: int, end: int) -> PositionOutOfRange:
    """Return the error for an offset that a partition does not have."""
    if offset < start:
        return PositionOutOfRange(
            f"partition {partition} starts at offset {start}: retention has passed {offset}, and events "
            "would be missed; restore the log, or a store that has applied them",
            partition,
        )
    return PositionOutOfRange(
        f"partition {partition} ends at offset {end}, so position {offset} is ahead of the log: the log lost "
        "its tail, or the store belongs to another one; restore the log, and never reset the position",
        partition,
    )
