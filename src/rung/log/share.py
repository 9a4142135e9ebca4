"""How a bounded read is shared among partitions."""

from __future__ import annotations

from collections.abc import Mapping


def shares(available: Mapping[int, int], total: int) -> dict[int, int]:
    """Divide `total` evenly: nobody gets more than is available, and what one leaves, others get.

    Partitions advance together in time this way, however unevenly they are filled. The first of
    `available` get the odd ones, so a caller that rotates the order treats all alike.
    """
    given = dict.fromkeys(available, 0)
    wanting = list(available)
    left = min(total, sum(available.values()))
    while left > 0:
        share = max(1, left // len(wanting))
        for key in wanting:
            more = min(share, available[key] - given[key], left)
            given[key] += more
            left -= more
        wanting = [key for key in wanting if given[key] < available[key]]
    return given
