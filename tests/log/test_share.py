from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.log.share import shares


@pytest.mark.parametrize(
    ("available", "total", "expected"),
    [
        ([10, 10, 10], 9, [3, 3, 3]),
        ([10, 10, 10], 10, [4, 3, 3]),
        ([1, 10, 10], 9, [1, 4, 4]),
        ([1, 2, 10], 9, [1, 2, 6]),
        ([1, 1, 1], 9, [1, 1, 1]),
        ([5, 5, 5], 2, [1, 1, 0]),
        ([5], 3, [3]),
        ([5, 5], 0, [0, 0]),
        ([], 5, []),
    ],
)
def test_table(available: list[int], total: int, expected: list[int]) -> None:
    """Even shares, what one leaves goes to the others, and the odd one to the first."""
    assert list(shares(dict(enumerate(available)), total).values()) == expected


@given(st.lists(st.integers(1, 100), min_size=1, max_size=8), st.integers(0, 500))
def test_laws(available: list[int], total: int) -> None:
    """All that can be given is given, and only who gets all that it has gets less than another."""
    given_shares = list(shares(dict(enumerate(available)), total).values())
    assert sum(given_shares) == min(total, sum(available))
    for share, there in zip(given_shares, available, strict=True):
        assert 0 <= share <= there
        assert share == there or share >= max(given_shares) - 1
