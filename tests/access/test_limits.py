"""Token buckets: never more than the burst and what time has brought, and never less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.access.limits import Buckets


@pytest.mark.parametrize("burst", [1, 2, 40])
def test_a_burst(burst: int) -> None:
    """A burst is had at once and not one more; what is refused says when it may come, and then it may."""
    buckets = Buckets(10.0, burst, 100)
    assert [buckets.take("ann", 5.0) for _ in range(burst - 1)] == [0.0] * (burst - 1)
    assert buckets.take("ann", 5.0) == 0.0
    wait = buckets.take("ann", 5.0)
    assert wait == pytest.approx(0.1)
    assert buckets.take("ann", 5.0 + 0.99 * wait) > 0
    assert buckets.take("ann", 5.0 + wait) == 0.0
    assert buckets.take("ann", 5.0 + wait) > 0


def test_names_have_buckets_of_their_own() -> None:
    """What one name has spent is not missing to another."""
    buckets = Buckets(1.0, 1, 100)
    assert buckets.take("ann", 0.0) == 0.0
    assert buckets.take("ann", 0.0) > 0
    assert buckets.take("bob", 0.0) == 0.0


@pytest.mark.parametrize(("cost", "is_taken"), [(9, True), (10, True), (11, False)])
def test_costs(cost: int, is_taken: bool) -> None:
    """What costs several is taken as a whole or not at all."""
    buckets = Buckets(1.0, 10, 100)
    assert (buckets.take("ann", 0.0, cost) == 0.0) is is_taken
    left = 10 - cost if is_taken else 10
    assert [buckets.take("ann", 0.0) == 0.0 for _ in range(11)] == [number < left for number in range(11)]


def test_a_peek_takes_nothing() -> None:
    """A look says what would happen, and changes nothing."""
    buckets = Buckets(1.0, 1, 100)
    assert [buckets.peek("ann", 0.0) for _ in range(3)] == [0.0] * 3
    assert buckets.take("ann", 0.0) == 0.0
    assert buckets.peek("ann", 0.0) == pytest.approx(1.0)
    assert buckets.peek("ann", 1.0) == 0.0


@given(st.floats(0.1, 100), st.integers(1, 20), st.lists(st.floats(0, 2, allow_nan=False), max_size=150))
def test_never_more_and_never_less(per_second: float, burst: int, gaps: list[float]) -> None:
    """At each moment just as much may be taken as a bucket that fills steadily holds."""
    buckets = Buckets(per_second, burst, 100)
    now, held = 0.0, float(burst)
    for gap in gaps:
        now, held = now + gap, min(burst, held + gap * per_second)
        taken = buckets.take("ann", now) == 0.0
        if abs(held - 1) > 1e-6:
            assert taken is (held > 1)
        held -= taken


def test_the_state_is_bounded() -> None:
    """However many names come, the table does not grow; who comes again meanwhile is still limited."""
    buckets = Buckets(0.001, 1, 1_000)
    assert buckets.take("ann", 0.0) == 0.0
    for number in range(20_000):
        assert buckets.take(f"name-{number}", 0.0) == 0.0
        if number % 500 == 0:
            assert buckets.take("ann", 0.0) > 0
    assert len(buckets) <= 2_000
