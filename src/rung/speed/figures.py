"""Add contributions to the stored figures of users: one sorted sum over both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from rung.plan.run import Contributions
from rung.store.records import FIGURE, decode_figures, encode_figures
from rung.transaction.history import Integers

_SERIES_BITS: Final = 24
_PERIOD_BITS: Final = 16
OWNERS_MAX: Final = 1 << (63 - _SERIES_BITS - _PERIOD_BITS)
"""How many users one call can take: owner, period and series share one 64-bit sort key."""


def add_figures(records: Sequence[bytes | None], contributions: Contributions) -> list[bytes]:
    """Return the records of users after adding contributions.

    An owner of the contributions is the index of its record. A figure that becomes zero is left
    out, so equal sums give equal bytes whatever way led to them.

    Raises:
        StoreError: a record has an unknown format.
    """
    owners, stored = decode_figures(records)
    keys = _keys(
        np.concatenate([owners, contributions.owners]),
        np.concatenate([stored["period"], contributions.periods]),
        np.concatenate([stored["series"], contributions.series]),
    )
    tokens = np.concatenate([stored["token"], contributions.tokens])
    values = np.concatenate([stored["value"], contributions.values])
    order = np.lexsort((tokens, keys)) if tokens.any() else np.argsort(keys, kind="stable")
    keys, tokens = keys[order], tokens[order]
    first = np.ones(len(keys), dtype=np.bool_)
    first[1:] = (keys[1:] != keys[:-1]) | (tokens[1:] != tokens[:-1])
    starts = np.flatnonzero(first)
    sums = np.add.reduceat(values[order], starts) if len(starts) else values[:0]
    kept = starts[sums != 0]
    figures = np.zeros(len(kept), dtype=FIGURE)
    figures["series"] = keys[kept] & ((1 << _SERIES_BITS) - 1)
    figures["period"] = (keys[kept] >> _SERIES_BITS) & ((1 << _PERIOD_BITS) - 1)
    figures["token"] = tokens[kept]
    figures["value"] = sums[sums != 0]
    return encode_figures(keys[kept] >> (_SERIES_BITS + _PERIOD_BITS), figures, len(records))


def _keys(owners: Integers, periods: Integers, series: Integers) -> Integers:
    return (owners << (_SERIES_BITS + _PERIOD_BITS)) | (periods.astype(np.int64) << _SERIES_BITS) | series
