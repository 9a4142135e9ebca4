"""A bounded table keeps what was used last, and never grows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rung.access.recent import Recent


@given(size=st.integers(1, 8), keys=st.lists(st.integers(0, 20), max_size=200))
def test_the_last_ones_are_there(size: int, keys: list[int]) -> None:
    """The last `size` different keys are found with what was put last, and twice as many are kept at most."""
    table: Recent[int, int] = Recent(size)
    put: dict[int, int] = {}
    for number, key in enumerate(keys):
        table.put(key, number)
        put[key] = number
        assert len(table) <= 2 * size
    last = list(dict.fromkeys(reversed(keys)))[:size]
    assert [table.get(key) for key in last] == [put[key] for key in last]


def test_what_is_used_stays() -> None:
    """A key that is asked for again and again outlives any number of others; one that is not, does not."""
    table: Recent[int, str] = Recent(4)
    table.put(0, "used")
    table.put(1, "unused")
    for key in range(2, 1_000):
        table.put(key, "other")
        assert table.get(0) == "used"
    assert table.get(1) is None


def test_forgetting() -> None:
    """What is discarded is gone, wherever it stood; so is all after a clear."""
    table: Recent[int, int] = Recent(2)
    for key in range(3):
        table.put(key, key)
    for key in range(3):
        table.discard(key)
        assert table.get(key) is None
    table.put(7, 7)
    table.clear()
    assert (table.get(7), len(table)) == (None, 0)
