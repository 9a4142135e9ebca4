"""Corrections: what is added to users' figures beside the events, each at most once.

A correction has an id. That a user's figures have it is a mark among them (`rung.store.marks`), of period 0,
so it is stored with what it adds, in any store, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rung.plan.run import Contributions
from rung.store.marks import MARKS
from rung.store.records import decode_figures
from rung.transaction.history import Integers, Mask


def have(records: Sequence[bytes | None], token: int) -> Mask:
    """Tell which users' figures have a correction.

    Raises:
        StoreError: a record has an unknown format.
    """
    owners, found = decode_figures(records)
    marked = np.zeros(len(records), dtype=np.bool_)
    marked[owners[(found["series"] == MARKS) & (found["token"] == token)]] = True
    return marked


def with_marks(contributions: Contributions, owners: Integers, token: int) -> Contributions:
    """Return contributions and the mark of a correction for each of the owners."""
    count = len(owners)
    return Contributions(
        np.concatenate([contributions.owners, owners]),
        np.concatenate([contributions.series, np.full(count, MARKS, dtype=np.int64)]),
        np.concatenate([contributions.periods, np.zeros(count, dtype=np.int64)]),
        np.concatenate([contributions.tokens, np.full(count, token, dtype=np.uint64)]),
        np.concatenate([contributions.values, np.ones(count, dtype=np.int64)]),
    )
