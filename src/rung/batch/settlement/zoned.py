"""Instants on a campaign's own clock: for messages, and for days counted in its time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from rung.campaign.calendar import Calendar, Period, PeriodKind, load_zone

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def local_text(calendar: Calendar, at: int) -> str:
    """Return an instant (microseconds since the epoch) as the zone's clock shows it, and the zone."""
    moment = (_EPOCH + timedelta(microseconds=at)).astimezone(load_zone(calendar.zone))
    return f"{moment.isoformat()} ({calendar.zone})"


def days_after(calendar: Calendar, period: Period, days: int) -> int:
    """Return the instant so many days after a period's end: a midnight in the zone, whatever clocks did."""
    day = period.next().first_day + days
    return Calendar(PeriodKind.DAY, calendar.zone).starts_at(Period(PeriodKind.DAY, day))
