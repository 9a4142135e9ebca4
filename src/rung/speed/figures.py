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
_FIGURE_MAX: Final = 2**62
OWNERS_MAX: Final = 1 << (63 - _SERIES_BITS - _PERIOD_BITS)
"""How many users one call can take: owner, period and series share one 64-bit sort key."""


class FigureOverflow(ArithmeticError):
    """A figure does not fit its 64 bits; the worker halts rather than store a wrong one."""


def add_figures(records: Sequence[bytes | None], contributions: Contributions) -> list[bytes]:
    """Return the records of users after adding contributions.

    An owner of the contributions is the index of its record. A figure that becomes zero is left
    out, so equal sums give equal bytes whatever way led to them.

    Raises:
        StoreError: a record has an unknown format.
        FigureOverflow: a figure leaves its bounds.
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
    sums = _sums(values[order], starts)
    kept = starts[sums != 0]
    figures = np.zeros(len(kept), dtype=FIGURE)
    figures["series"] = keys[kept] & ((1 << _SERIES_BITS) - 1)
    figures["period"] = (keys[kept] >> _SERIES_BITS) & ((1 << _PERIOD_BITS) - 1)
    figures["token"] = tokens[kept]
    figures["value"] = sums[sums != 0]
    return encode_figures(keys[kept] >> (_SERIES_BITS + _PERIOD_BITS), figures, len(records))


def _sums(values: Integers, starts: Integers) -> Integers:
    """Return the sum from each start to just before the next one."""
    if len(starts) == 0:
        return values[:0]
    # 64-bit sums wrap silently. The same sums in floating point are coarse, but do not.
    worst = float(np.abs(np.add.reduceat(values.astype(np.float64), starts)).max())
    if worst > _FIGURE_MAX:
        raise FigureOverflow(
            f"a figure of a user reaches {worst:.3g}, above the {_FIGURE_MAX:.3g} that a figure may be. "
            "No real campaign gets there: look for wrong amounts, or for a sum that multiplies too much."
        )
    return np.add.reduceat(values, starts)


def _keys(owners: Integers, periods: Integers, series: Integers) -> Integers:
    return (owners << (_SERIES_BITS + _PERIOD_BITS)) | (periods.astype(np.int64) << _SERIES_BITS) | series
