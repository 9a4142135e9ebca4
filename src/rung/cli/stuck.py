"""What to do about partitions that cannot go on, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rung.status.lag import Stuck

_FIXES: Final = {
    Stuck.AHEAD_OF_LOG: (
        "the log has lost events that are applied. Statuses keep what they have; bring the log back, or"
        " derive all figures from what it has with `rung replay`"
    ),
    Stuck.PASSED_BY_RETENTION: (
        "events were trimmed away before they were applied. Bring them back, or start over on an empty"
        " store whose log has all events; keep them longer from now on"
    ),
    Stuck.LOG_REPLACED: (
        "the store's positions are of another log, or of other partitions. Point Rung at the right one, or"
        " derive all figures from this one with `rung replay`"
    ),
}


def stuck_text(stuck: Mapping[int, Stuck]) -> str:
    """Return which partitions are stuck, why, and what to do, in one line; at least one is."""
    parts: list[str] = []
    for reason in Stuck:
        partitions = [str(partition) for partition, found in sorted(stuck.items()) if found is reason]
        if partitions:
            noun = "partition" if len(partitions) == 1 else "partitions"
            parts.append(f"{noun} {', '.join(partitions)}: {_FIXES[reason]}")
    return "; ".join(parts)
