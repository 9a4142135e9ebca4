"""Adding contributions to stored figures."""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.plan.run import Contributions
from rung.speed.figures import FigureOverflow, add_figures
from rung.store.port import StoreError
from rung.store.records import figures, figures_of

Row: TypeAlias = tuple[int, int, int, int, int]
"""Owner, series, period, token and value."""

OWNERS = 4
ROWS = st.lists(
    st.tuples(
        st.integers(0, OWNERS - 1),
        st.sampled_from([1, 2, 2**24 - 1]),
        st.sampled_from([0, 24_259, 47_481]),
        st.sampled_from([0, 1, 2**64 - 1]),
        st.integers(-3, 3),
    ),
    max_size=30,
)


def added(records: list[bytes | None], rows: list[Row]) -> list[bytes]:
    """Add rows to records."""
    columns = list(zip(*rows, strict=True)) or [()] * 5
    owners, series, periods, values = (np.array(columns[place], dtype=np.int64) for place in (0, 1, 2, 4))
    tokens = np.array(columns[3], dtype=np.uint64)
    return add_figures(records, Contributions(owners, series, periods, tokens, values))


@given(ROWS, ROWS)
def test_sums_are_kept_and_zeros_are_not(first: list[Row], second: list[Row]) -> None:
    """Whatever is added in whatever parts, each figure is its sum, in order, and zero is absent."""
    records = added(list(added([None] * OWNERS, first)), second)
    sums: Counter[tuple[int, int, int, int]] = Counter()
    for owner, series, period, token, value in first + second:
        sums[owner, period, series, token] += value
    for owner, record in enumerate(records):
        expected = sorted(
            (t > 0, p, s, t, value) for (o, p, s, t), value in sums.items() if o == owner and value
        )
        assert list(figures(record)) == [(s, p, t, value) for _, p, s, t, value in expected]
        for period in (0, 24_259, 47_481, 1):
            found = sorted((s, t, value) for _, p, s, t, value in expected if p == period)
            assert sorted(figures_of(record, period)) == found
    assert records == added([None] * OWNERS, first + second)


def test_a_figure_beyond_its_bounds_halts() -> None:
    """A sum that would wrap is an error, never a wrong figure."""
    most = added([None], [(0, 1, 0, 0, 2**62)])
    assert [value for *_, value in figures(most[0])] == [2**62]
    with pytest.raises(FigureOverflow, match=r"a figure of a user reaches 9.22e\+18"):
        added(list(most), [(0, 1, 0, 0, 2**62)])


def test_another_format_is_refused() -> None:
    """A record of another release is not read as if it were known."""
    with pytest.raises(StoreError, match="a user record has a format other than 1"):
        added([b"\x02" + bytes(15)], [(0, 1, 0, 0, 1)])
