"""Prune: forget what is older than any campaign keeps, once the lake has it and the store is proved right.

1. the horizon moves in the catalog, by one compare-and-set: from then on no version counts older periods, and
an event that may be of an older transaction waits to be settled; 2. records and figures of before are
removed; 3. what waits is settled from the lake; 4. an embedded log is trimmed up to the horizon.

Each step may be cut short, and all of them run again. The lake keeps everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from rung.batch.archive import archive_up_to
from rung.batch.retention.horizon import Horizon, move_horizon, plan_horizon
from rung.batch.retention.settle_pruned import Forget, SettledEvents, no_mirror, settle_pruned, waiting_events
from rung.batch.retention.sweep import Stale, Swept, count_stale, sweep
from rung.batch.trim import trim_behind
from rung.batch.workshop import Workshop
from rung.campaign.calendar import MICROSECONDS_PER_SECOND
from rung.faultpoints import passing
from rung.lake.port import Lake
from rung.log.port import Trimmable


class PruneRefused(Exception):
    """Something stands against it; `reasons` are all of them, each with what to do."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.reasons = reasons
        super().__init__("\n".join(reasons))


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was pruned, or would be.

    Attributes:
        horizon: Where it moved from and to.
        swept: What is removed.
        waiting: How many events waited in quarantine to be settled.
        settled: What became of them.
        starts: Where each partition of an embedded log starts now; None if the log deletes events by itself.
    """

    horizon: Horizon
    swept: Swept
    waiting: int
    settled: SettledEvents
    starts: Mapping[int, int] | None


def plan_prune(workshop: Workshop) -> Pruned:
    """Return what a prune would do, and what stands against it; nothing is changed."""
    horizon = plan_horizon(workshop)
    return Pruned(
        horizon,
        count_stale(workshop.store, Stale(horizon.after)),
        sum(1 for _ in waiting_events(workshop.store)),
        SettledEvents(),
        workshop.log.starts() if isinstance(workshop.log, Trimmable) else None,
    )


def prune(
    workshop: Workshop, who: str, reason: str, told: Callable[[str], object], forget: Forget = no_mirror
) -> Pruned:
    """Forget what is no longer kept.

    Args:
        workshop: What to work with.
        who: Who does it.
        reason: Why.
        told: Is told what is being done.
        forget: Takes events out of the quarantine's mirror before they are released.

    Raises:
        PruneRefused: something stands against it; nothing is changed.
        LakeError: the lake cannot be read or written.
        Overtaken: others changed the same at every attempt; what was done before stays.
    """
    applied = workshop.store.applied()
    ends = {partition: state.offset + 1 for partition, state in applied.items()}
    archive_up_to(workshop.log, workshop.lake, ends)
    horizon = plan_horizon(workshop)
    if horizon.refusals:
        raise PruneRefused(horizon.refusals)
    catalog = move_horizon(workshop, horizon.after.kept_from, who, reason)
    passing("horizon_moved")
    swept = sweep(
        workshop,
        lambda done: told(f"removed {done.transactions:,} transactions, and figures of {done.users:,} users"),
    )
    waiting = sum(1 for _ in waiting_events(workshop.store))
    settled = settle_pruned(workshop, lambda count: told(f"settled {count:,} events"), forget)
    starts = None
    if isinstance(workshop.log, Trimmable):
        limits = _offsets_from(workshop.lake, catalog.kept_from)
        starts = trim_behind(workshop.log, workshop.lake, workshop.store, limits)
    return Pruned(horizon, swept, waiting, settled, starts)


def _offsets_from(lake: Lake, kept_from: int) -> dict[int, int]:
    """Return the offset of each partition's first event that was appended on a day or after it."""
    day = datetime.fromtimestamp(kept_from // MICROSECONDS_PER_SECOND, UTC).date()
    state = lake.state()
    return {
        partition: min(
            (file.first_offset for file in state.files if file.partition == partition and file.day >= day),
            default=position,
        )
        for partition, position in state.positions.items()
    }
