"""Runs the real parts together, and reads their state in the oracle's words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from itertools import count

from campaign_pairs import Pair
from oracle import FigureKey
from rung.campaign.calendar import Period, PeriodKind
from rung.campaign.catalog import Catalog
from rung.campaign.model import MeasureKind
from rung.campaign.spec import load
from rung.log.embedded import EmbeddedLog
from rung.speed.worker import Worker, WorkerSettings
from rung.store.marks import MARKS
from rung.store.port import Store
from rung.store.records import figures


def ticking() -> Callable[[], int]:
    """Return a clock that moves on by one microsecond at each look."""
    return count(1_600_000_000_000_000).__next__


decode_catalog = cache(Catalog.decode)
"""Reading a catalog takes longer than a small batch; tests look at the same ones again and again."""


@cache
def period_text(kind: PeriodKind, ordinal: int) -> str:
    return str(Period(kind, ordinal))


def put_campaigns(store: Store, pairs: Iterable[Pair]) -> None:
    """Apply campaigns to a store, as `rung campaign apply` does."""
    for pair in pairs:
        revision, record = store.catalog()
        starts = store.reached()
        catalog = decode_catalog(record).apply(load(pair.spec, "spec"), starts)
        store.put_catalog(revision, catalog.encode(), starts)


def work_to_the_end(log: EmbeddedLog, store: Store, batch_events_max: int = 50_000) -> None:
    """Apply all that is in a log."""
    worker = Worker(log.consumer(), store, WorkerSettings(batch_events_max=batch_events_max), ticking())
    try:
        while worker.step(0.0):
            pass
        assert worker.lag() == 0
    finally:
        worker.close()


def user_records(store: Store) -> dict[bytes, bytes]:
    """Return every user that has figures, with their record."""
    with store.survey() as survey:
        users = [user for chunk in survey.users() for user in chunk]
    return {user.user_id: user.figures for user in users if user.figures is not None}


def stored_figures(store: Store) -> dict[FigureKey, int]:
    """Return every figure that is not zero of every user, as `Oracle.figures` does.

    What a version counted before a later one took over from it is left out: it counts those periods no more.
    """
    catalog = decode_catalog(store.catalog()[1])
    names = {
        counted.series[measure.name]: (counted, measure)
        for counted in catalog.versions
        for measure in counted.version.measures
    }
    found: dict[FigureKey, int] = {}
    for user_id, record in user_records(store).items():
        for series, ordinal, _token, value in figures(record):
            if series == MARKS:
                continue
            counted, measure = names[series]
            if not counted.periods[0] <= ordinal <= counted.periods[1]:
                continue
            campaign, version = counted.campaign, counted.version.number
            period = period_text(campaign.calendar.kind, ordinal)
            key = (campaign.name, version, user_id.decode(), measure.name, period)
            if measure.kind is MeasureKind.DISTINCT:
                found[key] = found.get(key, 0) + (value > 0)
            else:
                found[key] = value
    return {key: figure for key, figure in found.items() if figure != 0}
