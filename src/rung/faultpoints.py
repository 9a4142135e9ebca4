"""Named points between two steps that must belong together: a test may kill, stop or watch a process there.

At a point that is not armed nothing happens, and nothing outside of tests arms one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

POINTS: Final = {
    "polled": "a worker has read events, and looked at nothing",
    "decided": "a worker knows what the events change, and has stored nothing of it",
    "opened": "a DynamoDB store says how far its partitions are reached, and has stored no user's part",
    "part_written": "a DynamoDB store has written some users' parts of a change, but not all",
    "parts_written": "a DynamoDB store has written all parts of a change, and not moved the positions",
    "committing": "an LMDB store has written a change, and not committed it",
    "committed": "a change is stored with its positions, and the log was not told",
    "reported": "the log was told of the positions",
    "overtaken": "a worker was refused, because another has written what it had read",
    "archiving": "an archiver has read events, and appended nothing of them",
    "archived": "the lake has events with their positions, and the log was not told",
    "claims_settled": "an aggregation knows whose the transactions are, and has written nothing",
    "partition_aggregated": "an aggregation has written some partitions, but not all",
    "snapshot_made": "an aggregation has written all files but the manifest",
    "closing_written": "a closing, an adjustment or grants have their rows in a file, and no manifest",
    "keeping_steps": "a closing knows the steps that some users have met, and has stored nothing of it",
    "steps_kept": "a closing has stored what every user has met, and not said that the period is closed",
    "repairing": "a repair knows what a user lacks, and has stored nothing of it",
    "past_aggregated": "a backfill has the past of a version, and has added nothing of it",
    "backfilling": "a backfill knows what some users lack, and has stored nothing of it",
    "backfilled": "a backfill has added the past to every user, and not said that the version is complete",
    "horizon_moved": "a prune has said what is kept from when on, and has removed nothing",
    "pruning": "a prune knows what some records become, and has stored nothing of it",
    "settling": "a settling knows what waiting events add, and has stored nothing of it",
    "settled": "a settling has stored what waiting events add, and they wait still",
    "erasing_lake": "an erasure knows what a file of the lake becomes, and has not replaced it",
    "erasing_user": "an erasure has written the lake, and not moved the user's records",
    "erasing_settled": "an erasure has renamed settled rows, and their manifest has the old checksum",
    "erased": "an erasure is done, and has not forgotten whose it was",
    "waiting": "a worker keeps its events in hand, because the log or the store cannot be reached",
}

_armed: dict[str, Callable[[], object]] = {}


def arm(point: str, action: Callable[[], object]) -> None:
    """Have an action done whenever a point is passed.

    Raises:
        KeyError: there is no such point.
    """
    if point not in POINTS:
        raise KeyError(point)
    _armed[point] = action


def disarm(point: str) -> None:
    """Do nothing at a point any more."""
    _armed.pop(point, None)


def passing(point: str) -> None:
    """Do what the point is armed with, if it is."""
    action = _armed.get(point)
    if action is not None:
        action()
