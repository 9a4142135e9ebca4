"""Calendar periods in a campaign's time zone: which period an instant is in, and where it ends.

Zone data comes from the pinned `tzdata` package and never from the machine, so that every process
and every engine puts an instant into the same period.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

MICROSECONDS_PER_SECOND = 1_000_000
MICROSECONDS_PER_DAY = 86_400 * MICROSECONDS_PER_SECOND

TIME_MIN = MICROSECONDS_PER_DAY
"""The earliest instant an event may carry, 1970-01-02T00:00Z, in microseconds since the epoch."""

TIME_MAX = 47_482 * MICROSECONDS_PER_DAY
"""The first instant that an event may not carry any more, 2100-01-01T00:00Z."""

# Offsets are known a little beyond the instants of events, so that the first and the last period
# have both of their ends.
_OFFSETS_FROM_DAY = -40
_OFFSETS_UNTIL_DAY = 47_482 + 40

# No zone changes its offset twice within six days, so a look every three days sees each change.
_SCAN_STEP_DAYS = 3

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DATE_ORDINAL = date(1970, 1, 1).toordinal()


class PeriodKind(StrEnum):
    """What one counting period is."""

    MONTH = "month"
    WEEK = "week"
    DAY = "day"


_PERIOD_FORMS = {
    PeriodKind.MONTH: "a month such as 2021-08",
    PeriodKind.WEEK: "an ISO week such as 2021-W32",
    PeriodKind.DAY: "a day such as 2021-08-05",
}


@dataclass(frozen=True, slots=True)
class Period:
    """One calendar month, ISO week or day.

    `ordinal` counts periods of its kind: months as year * 12 + month - 1, weeks as
    (days since 1970-01-01 + 3) // 7, days since 1970-01-01. Only periods of one kind have an order.
    """

    kind: PeriodKind
    ordinal: int

    def __str__(self) -> str:
        """Return `2021-08`, `2021-W32` or `2021-08-05`."""
        day = _date_of(self.first_day)
        match self.kind:
            case PeriodKind.MONTH:
                return f"{day.year:04}-{day.month:02}"
            case PeriodKind.WEEK:
                iso = day.isocalendar()
                return f"{iso.year:04}-W{iso.week:02}"
            case PeriodKind.DAY:
                return day.isoformat()

    def __lt__(self, other: Period) -> bool:
        """Tell whether this period comes before another one of its kind."""
        return self.ordinal < self._comparable(other)

    def __le__(self, other: Period) -> bool:
        """Tell whether this period is not after another one of its kind."""
        return self.ordinal <= self._comparable(other)

    def __gt__(self, other: Period) -> bool:
        """Tell whether this period comes after another one of its kind."""
        return self.ordinal > self._comparable(other)

    def __ge__(self, other: Period) -> bool:
        """Tell whether this period is not before another one of its kind."""
        return self.ordinal >= self._comparable(other)

    @property
    def first_day(self) -> int:
        """The first day of the period, in days since 1970-01-01."""
        match self.kind:
            case PeriodKind.MONTH:
                year, month_index = divmod(self.ordinal, 12)
                return date(year, month_index + 1, 1).toordinal() - _EPOCH_DATE_ORDINAL
            case PeriodKind.WEEK:
                return self.ordinal * 7 - 3
            case PeriodKind.DAY:
                return self.ordinal

    def next(self) -> Period:
        """Return the period that follows."""
        return Period(self.kind, self.ordinal + 1)

    def previous(self) -> Period:
        """Return the period before."""
        return Period(self.kind, self.ordinal - 1)

    @classmethod
    def parse(cls, text: str, kind: PeriodKind) -> Period:
        """Read a period from the text that `str` gives it.

        Raises:
            ValueError: the text is not a period of this kind; the message says what is due.
        """
        try:
            match kind:
                case PeriodKind.MONTH:
                    day = date.fromisoformat(f"{text}-01")
                case PeriodKind.WEEK:
                    day = date.fromisoformat(f"{text}-1")
                case PeriodKind.DAY:
                    day = date.fromisoformat(text)
        except ValueError:
            day = None
        # The standard library reads more than one spelling of a date; only the one of `str` counts.
        period = None if day is None else cls.of_day(kind, day.toordinal() - _EPOCH_DATE_ORDINAL)
        if period is None or str(period) != text:
            raise ValueError(f"{text!r} is not {_PERIOD_FORMS[kind]}")
        return period

    @classmethod
    def of_day(cls, kind: PeriodKind, day: int) -> Period:
        """Return the period that a day is in; the day is given in days since 1970-01-01."""
        match kind:
            case PeriodKind.MONTH:
                first = _date_of(day)
                return cls(kind, first.year * 12 + first.month - 1)
            case PeriodKind.WEEK:
                return cls(kind, (day + 3) // 7)
            case PeriodKind.DAY:
                return cls(kind, day)

    def _comparable(self, other: Period) -> int:
        if other.kind is not self.kind:
            raise TypeError(f"a {self.kind} and a {other.kind} have no order: {self}, {other}")
        return other.ordinal


@dataclass(frozen=True, slots=True)
class Calendar:
    """The periods of one kind in one time zone (an IANA name).

    Periods follow each other without gap or overlap, and `starts_at(period_at(at)) <= at <
    ends_at(period_at(at))`. A day that a zone left out (Pacific/Apia, 2011-12-30) is a period that
    ends where it starts. Where a clock was put back across midnight, the new day starts at the
    second midnight: the first one is taken as if the clock had been put back right there.

    Raises:
        ValueError: the zone is unknown.
    """

    kind: PeriodKind
    zone: str

    def __post_init__(self) -> None:
        """Refuse an unknown zone where it is named, not where it is used first."""
        if self.zone not in zones():
            raise ValueError(f"{self.zone!r} is not an IANA time zone")

    def period_at(self, at: int) -> Period:
        """Return the period that an instant is in (microseconds since the epoch).

        Raises:
            ValueError: the instant is not within TIME_MIN and TIME_MAX.
        """
        if not TIME_MIN <= at < TIME_MAX:
            raise ValueError(f"instant {at} is not within {TIME_MIN} and {TIME_MAX - 1}")
        starts, offsets = _offsets(self.zone)
        local = at + offsets[bisect_right(starts, at) - 1]
        return _period_of_day(self.kind, local // MICROSECONDS_PER_DAY)

    def starts_at(self, period: Period) -> int:
        """Return the first microsecond of a period.

        Raises:
            ValueError: the period is of another kind, or lies outside TIME_MIN..TIME_MAX.
        """
        if period.kind is not self.kind:
            raise ValueError(f"{period} is not {_PERIOD_FORMS[self.kind]}")
        if not _OFFSETS_FROM_DAY < period.first_day < _OFFSETS_UNTIL_DAY:
            raise ValueError(f"{period} is not within the years 1970 to 2099")
        local = period.first_day * MICROSECONDS_PER_DAY
        starts, offsets = _offsets(self.zone)
        index = max(0, bisect_left(starts, local - 2 * MICROSECONDS_PER_DAY) - 1)
        while True:
            # The first instant at which this offset shows the midnight, or a time after it.
            at = max(starts[index], local - offsets[index])
            if index + 1 == len(starts) or at < starts[index + 1]:
                return at
            index += 1

    def ends_at(self, period: Period) -> int:
        """Return the first microsecond after a period.

        Raises:
            ValueError: as `starts_at` does.
        """
        return self.starts_at(period.next())

    def first_since(self, at: int) -> Period:
        """Return the first period that does not start before an instant.

        Raises:
            ValueError: the instant is not within TIME_MIN and TIME_MAX.
        """
        period = self.period_at(at)
        return period if self.starts_at(period) >= at else period.next()

    def span(self) -> tuple[Period, Period]:
        """Return the first and the last period that an event can be in."""
        return self.period_at(TIME_MIN), self.period_at(TIME_MAX - 1)

    def offsets(self) -> tuple[tuple[int, int], ...]:
        """Return the zone's UTC offsets as (from_at, offset), both in microseconds, ascending.

        An offset holds from its `from_at` to the next one; the first one is from before TIME_MIN.
        `(at + offset) // MICROSECONDS_PER_DAY` is the local day on which `period_at` rests.
        """
        starts, offsets = _offsets(self.zone)
        return tuple(zip(starts, offsets, strict=True))


@lru_cache(maxsize=1)
def zones() -> frozenset[str]:
    """Return the names of all time zones that the zone data has."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


def load_zone(zone: str) -> ZoneInfo:
    """Return a zone as the pinned zone data has it; the machine's own data is never read."""
    with resources.files("tzdata").joinpath("zoneinfo", *zone.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=zone)


@lru_cache(maxsize=4096)
def _period_of_day(kind: PeriodKind, day: int) -> Period:
    # A status asks for the same few days again and again.
    return Period.of_day(kind, day)


@lru_cache(maxsize=64)
def _offsets(zone: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return where each UTC offset starts and the offset itself, in microseconds.

    Local days never go backwards along them: a change that puts the clock back across midnight is
    moved forward to that midnight.
    """
    info = load_zone(zone)
    seen_at = _OFFSETS_FROM_DAY * 86_400
    seen = _offset_seconds(info, seen_at)
    starts = [seen_at * MICROSECONDS_PER_SECOND]
    offsets = [seen * MICROSECONDS_PER_SECOND]
    for day in range(_OFFSETS_FROM_DAY, _OFFSETS_UNTIL_DAY, _SCAN_STEP_DAYS):
        looked_at = day * 86_400
        found = _offset_seconds(info, looked_at)
        if found != seen:
            changed_at = _first_second_with(info, found, seen_at, looked_at)
            before_midnight = (changed_at + seen) % 86_400
            if found < seen and 0 < before_midnight < seen - found:
                changed_at -= before_midnight
            starts.append(changed_at * MICROSECONDS_PER_SECOND)
            offsets.append(found * MICROSECONDS_PER_SECOND)
        seen_at, seen = looked_at, found
    return tuple(starts), tuple(offsets)


def _first_second_with(info: ZoneInfo, offset: int, before: int, after: int) -> int:
    """Return the second in (before, after] from which on the zone has an offset."""
    while after - before > 1:
        middle = (before + after) // 2
        if _offset_seconds(info, middle) == offset:
            after = middle
        else:
            before = middle
    return after


def _offset_seconds(info: ZoneInfo, at: int) -> int:
    offset = (_EPOCH + timedelta(seconds=at)).astimezone(info).utcoffset()
    assert offset is not None
    return offset // timedelta(seconds=1)


def _date_of(day: int) -> date:
    return date.fromordinal(day + _EPOCH_DATE_ORDINAL)
