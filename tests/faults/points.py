"""At which points which process dies, and where that is tested; workers have a table of their own."""

from __future__ import annotations

from typing import Final

OF_ARCHIVERS: Final = ("archiving", "archived")
"""`test_archivers.py`."""

OF_BATCH_JOBS: Final = (
    *("claims_settled", "partition_aggregated", "snapshot_made"),
    *("past_aggregated", "backfilling", "backfilled"),
    "repairing",
)
"""`test_batch_jobs.py`."""

OF_SETTLEMENT: Final = ("closing_written", "keeping_steps", "steps_kept")
"""`cli/test_batch_close.py` and `batch/test_kept_steps.py`."""

OF_RETENTION: Final = (
    *("horizon_moved", "pruning", "settling", "settled"),
    *("erasing_lake", "erasing_user", "erasing_settled", "erased"),
)
"""`batch/test_prune.py` and `batch/test_erase.py`."""

OF_OTHERS: Final = frozenset({*OF_ARCHIVERS, *OF_BATCH_JOBS, *OF_SETTLEMENT, *OF_RETENTION})
"""Those at which no worker dies."""
