"""Changing the stored catalog while a worker may be applying events."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from rung.campaign.catalog import Catalog
from rung.campaign.model import Campaign
from rung.store.port import Overtaken, Store

_ATTEMPTS_MAX: Final = 200
_PAUSE_SECONDS: Final = 0.005


def change_catalog(store: Store, campaigns: Sequence[Campaign]) -> tuple[Catalog, Catalog, Mapping[int, int]]:
    """Apply campaigns to the stored catalog, and return it before and after, and where they start.

    The start of a version is how far each partition has been reached at the very moment of the
    change, so the store refuses the change when a worker has moved on in between, and it is decided again.

    Raises:
        CatalogRefused: a campaign contradicts what is in force.
        Overtaken: a worker moved on between every read and write.
    """
    for attempt in range(_ATTEMPTS_MAX):
        reached = store.reached()
        revision, record = store.catalog()
        before = Catalog.decode(record)
        starts = {partition: offset for partition, offset in reached.items() if offset >= 0}
        after = before
        for campaign in campaigns:
            after = after.apply(campaign, starts)
        if after == before:
            return before, after, starts
        try:
            store.put_catalog(revision, after.encode(), reached)
        except Overtaken:
            if attempt == _ATTEMPTS_MAX - 1:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return before, after, starts
    raise AssertionError("unreachable: the last attempt returns or raises")
