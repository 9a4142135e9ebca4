"""Taking a part of what was read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.log.port import Slice
from rung.speed.slices import first_events, split_at_starts

SPEC = """
campaign: {name}
timezone: UTC
currency: EUR
versions:
  - version: 0
    counts_from: 2021-01
    measures: {{payments: {{count: "amount >= 1"}}}}
    reward: {{base_percent: "0.5"}}
"""


def part(partition: int, first_offset: int, count: int, *unreadable: int) -> Slice:
    """Return a slice whose payloads are their offsets."""
    payloads = [b"%d" % offset for offset in range(first_offset, first_offset + count)]
    return Slice(partition, first_offset, payloads, 7, dict.fromkeys(unreadable, "schema 7"))


def catalog(*starts: dict[int, int]) -> Catalog:
    """Return a catalog of campaigns that start there."""
    found = Catalog()
    for number, start in enumerate(starts):
        found = found.apply(load(SPEC.format(name=f"c{number}"), "spec"), start)
    return found


Parts = list[tuple[int, int, int]]

TABLE: list[tuple[list[dict[int, int]], Parts, Parts, Parts]] = [
    # starts                      slices                            now                               later
    ([{}], [(0, 5, 3)], [(0, 5, 3)], []),
    ([{0: 4}], [(0, 5, 3)], [(0, 5, 3)], []),
    ([{0: 5}], [(0, 5, 3)], [(0, 5, 1)], [(0, 6, 2)]),
    ([{0: 6}], [(0, 5, 3)], [(0, 5, 2)], [(0, 7, 1)]),
    ([{0: 7}], [(0, 5, 3)], [(0, 5, 3)], []),
    ([{0: 99}], [(0, 5, 3)], [(0, 5, 3)], []),
    # the nearest start counts; what is behind it waits, the slices behind it as well
    ([{0: 7}, {0: 5}], [(0, 5, 3)], [(0, 5, 1)], [(0, 6, 2)]),
    ([{0: 6}], [(0, 5, 2), (0, 9, 2)], [(0, 5, 2)], [(0, 9, 2)]),
    ([{0: 7}], [(0, 5, 2), (0, 9, 2)], [(0, 5, 2)], [(0, 9, 2)]),
    ([{0: 9}], [(0, 5, 2), (0, 9, 2)], [(0, 5, 2), (0, 9, 1)], [(0, 10, 1)]),
    # partitions are cut on their own
    ([{0: 5, 1: 1}], [(0, 5, 3), (1, 0, 3)], [(0, 5, 1), (1, 0, 2)], [(0, 6, 2), (1, 2, 1)]),
    ([{1: 1}], [(0, 5, 3), (1, 0, 3)], [(0, 5, 3), (1, 0, 2)], [(1, 2, 1)]),
]


@pytest.mark.parametrize(("starts", "slices", "now", "later"), TABLE)
def test_no_batch_spans_a_start(
    starts: list[dict[int, int]],
    slices: Parts,
    now: Parts,
    later: Parts,
) -> None:
    """Each partition is taken up to the next start of a version, and nothing is lost or moved."""
    found = split_at_starts([part(*one) for one in slices], catalog(*starts))
    assert found == ([part(*one) for one in now], [part(*one) for one in later])


def test_no_batch_spans_a_declaration() -> None:
    """It is taken up to where an attribute is declared, too, also if no version starts there."""
    more = SPEC.format(name="c0").replace("currency: EUR", "currency: EUR\nattributes: {x: string}")
    found = split_at_starts([part(0, 5, 3)], catalog({}).apply(load(more, "spec"), {0: 6}))
    assert found == ([part(0, 5, 2)], [part(0, 7, 1)])


@pytest.mark.parametrize(
    ("events_max", "now", "later"),
    [
        (5, [(0, 5, 3), (1, 0, 2)], []),
        (4, [(0, 5, 3), (1, 0, 1)], [(1, 1, 1)]),
        (3, [(0, 5, 3)], [(1, 0, 2)]),
        (1, [(0, 5, 1)], [(0, 6, 2), (1, 0, 2)]),
    ],
)
def test_the_first_events(events_max: int, now: Parts, later: Parts) -> None:
    """As many as there may be are taken from the start, and the others follow."""
    found = first_events([part(0, 5, 3), part(1, 0, 2)], events_max)
    assert found == ([part(*one) for one in now], [part(*one) for one in later])


def test_what_is_unreadable_stays_with_its_event() -> None:
    """A cut moves the index of an unreadable event with it."""
    (now,), (later,) = first_events([part(0, 5, 4, 0, 2, 3)], 2)
    assert now == part(0, 5, 2, 0)
    assert later == part(0, 7, 2, 0, 1) == replace(later, appended_at=7)
