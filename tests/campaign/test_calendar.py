"""Calendar periods: their names and order, and where they start and end in any zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rung.campaign.calendar import (
    MICROSECONDS_PER_DAY,
    MICROSECONDS_PER_SECOND,
    TIME_MAX,
    TIME_MIN,
    Calendar,
    Period,
    PeriodKind,
    load_zone,
    zones,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = (
    "UTC",
    "Asia/Tokyo",
    "Europe/London",
    "America/New_York",
    "Asia/Kathmandu",  # 5:45, and 5:30 until 1986
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Pacific/Apia",  # left out a day
    "Pacific/Kiritimati",  # 14 hours ahead, left out a day
    "Etc/GMT+12",
    "Africa/Monrovia",  # 44:30 behind until 1972
    "America/St_Johns",  # put the clock back across midnight
    "America/Havana",  # puts it back to midnight
    "America/Sao_Paulo",  # put it forward at midnight
    "Africa/Casablanca",  # daylight saving but for Ramadan
    "Antarctica/Troll",  # two hours of daylight saving
)

kinds = st.sampled_from(list(PeriodKind))
calendars = st.builds(Calendar, kinds, st.sampled_from(ZONES))
instants = st.integers(TIME_MIN, TIME_MAX - 1)
periods = st.one_of(
    st.builds(Period, st.just(PeriodKind.MONTH), st.integers(1970 * 12, 2100 * 12)),
    st.builds(Period, st.just(PeriodKind.WEEK), st.integers(0, 6783)),
    st.builds(Period, st.just(PeriodKind.DAY), st.integers(0, 47_482)),
)


def at(text: str) -> int:
    """Return an RFC 3339 time as microseconds since the epoch."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def local_day(zone: str, instant: int) -> int:
    """Return the day that a zone's clock shows, by the standard library's own arithmetic."""
    shown = (EPOCH + timedelta(microseconds=instant)).astimezone(load_zone(zone))
    return shown.date().toordinal() - EPOCH.date().toordinal()


@pytest.mark.parametrize(
    ("kind", "text", "ordinal"),
    [
        (PeriodKind.MONTH, "1970-01", 1970 * 12),
        (PeriodKind.MONTH, "2021-08", 2021 * 12 + 7),
        (PeriodKind.MONTH, "2021-12", 2021 * 12 + 11),
        (PeriodKind.WEEK, "1970-W01", 0),
        (PeriodKind.WEEK, "2020-W53", 2661),
        (PeriodKind.WEEK, "2021-W01", 2662),
        (PeriodKind.DAY, "1970-01-01", 0),
        (PeriodKind.DAY, "2020-02-29", 18_321),
    ],
)
def test_period_has_a_name_and_an_ordinal(kind: PeriodKind, text: str, ordinal: int) -> None:
    """A period's text and its ordinal stand for each other."""
    assert Period.parse(text, kind) == Period(kind, ordinal)
    assert str(Period(kind, ordinal)) == text


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (PeriodKind.MONTH, "2021-13", "'2021-13' is not a month such as 2021-08"),
        (PeriodKind.MONTH, "2021-8", "'2021-8' is not a month such as 2021-08"),
        (PeriodKind.MONTH, "202108", "'202108' is not a month such as 2021-08"),
        (PeriodKind.MONTH, "2021-08-05", "'2021-08-05' is not a month such as 2021-08"),
        (PeriodKind.MONTH, "", "'' is not a month such as 2021-08"),
        (PeriodKind.WEEK, "2021-W53", "'2021-W53' is not an ISO week such as 2021-W32"),
        (PeriodKind.WEEK, "2021-32", "'2021-32' is not an ISO week such as 2021-W32"),
        (PeriodKind.DAY, "2021-02-29", "'2021-02-29' is not a day such as 2021-08-05"),
        (PeriodKind.DAY, "20210805", "'20210805' is not a day such as 2021-08-05"),
        (PeriodKind.DAY, "2021-08-05T00:00", "'2021-08-05T00:00' is not a day such as 2021-08-05"),
    ],
)
def test_other_spellings_are_refused(kind: PeriodKind, text: str, message: str) -> None:
    """A text that is not exactly a period's own is refused with the form that is due."""
    with pytest.raises(ValueError, match="is not") as raised:
        Period.parse(text, kind)
    assert str(raised.value) == message


@given(periods)
def test_parse_reads_what_str_writes(period: Period) -> None:
    """A period is read back from its text."""
    assert Period.parse(str(period), period.kind) == period


@given(periods)
def test_next_and_previous_are_neighbours(period: Period) -> None:
    """Nothing lies between a period and its next one."""
    following = period.next()
    assert following.previous() == period
    assert period < following
    assert period <= following
    assert following > period
    assert following >= period
    assert Period.of_day(period.kind, following.first_day - 1) == period


def test_periods_of_two_kinds_have_no_order() -> None:
    """A month is neither before nor after a week, and is not equal to one."""
    month, week = Period(PeriodKind.MONTH, 24_259), Period(PeriodKind.WEEK, 24_259)
    assert month != week
    with pytest.raises(TypeError, match="have no order"):
        _ = month < week
    with pytest.raises(TypeError, match="have no order"):
        _ = month >= week


@given(calendars, instants)
@example(Calendar(PeriodKind.MONTH, "Etc/GMT+12"), TIME_MIN)
@example(Calendar(PeriodKind.MONTH, "Pacific/Kiritimati"), TIME_MAX - 1)
def test_an_instant_is_within_its_period(calendar: Calendar, instant: int) -> None:
    """An instant is not before its period starts, and is before it ends."""
    period = calendar.period_at(instant)
    assert calendar.starts_at(period) <= instant < calendar.ends_at(period)


@given(calendars, instants)
def test_periods_are_contiguous(calendar: Calendar, instant: int) -> None:
    """A period ends where the next one starts, and the instants at both sides are in them."""
    period = calendar.period_at(instant)
    starts_at = calendar.starts_at(period)
    assert calendar.ends_at(period.previous()) == starts_at
    if starts_at > TIME_MIN:
        assert calendar.period_at(starts_at) == period
        assert calendar.period_at(starts_at - 1) < period


@settings(max_examples=60)
@given(
    st.sampled_from(ZONES),
    instants,
    st.integers(0, 400),
    st.sampled_from([-86_400, -3600, -60, -1, 0, 1, 60, 3600]),
    st.integers(0, MICROSECONDS_PER_SECOND - 1),
)
def test_days_agree_with_the_standard_library(
    zone: str, instant: int, change: int, seconds: int, microseconds: int
) -> None:
    """An instant's day is the earliest that the clock shows then or later, also around each change."""
    calendar = Calendar(PeriodKind.DAY, zone)
    changes = calendar.offsets()[1:]
    near = changes[change % len(changes)][0] if changes else TIME_MIN
    around = near + seconds * MICROSECONDS_PER_SECOND + microseconds
    for moment in (instant, min(max(around, TIME_MIN), TIME_MAX - 1)):
        minutes = range(0, 26 * 60, 20)
        later = [local_day(zone, moment + minute * 60 * MICROSECONDS_PER_SECOND) for minute in minutes]
        assert calendar.period_at(moment).ordinal == min(later)


@settings(max_examples=50)
@given(calendars, instants)
def test_offsets_give_the_period_by_arithmetic(calendar: Calendar, instant: int) -> None:
    """The period follows from the last offset that starts at or before the instant."""
    offset = [offset for starts_at, offset in calendar.offsets() if starts_at <= instant][-1]
    day = (instant + offset) // MICROSECONDS_PER_DAY
    assert Period.of_day(calendar.kind, day) == calendar.period_at(instant)


@pytest.mark.parametrize("zone", ZONES)
def test_offsets_cover_all_times_in_order(zone: str) -> None:
    """Offsets start before the earliest time and each one after the other."""
    starts = [starts_at for starts_at, _ in Calendar(PeriodKind.DAY, zone).offsets()]
    assert starts[0] < TIME_MIN
    assert starts == sorted(set(starts))


@pytest.mark.parametrize(
    ("kind", "zone", "period", "starts_at", "ends_at"),
    [
        ("month", "Asia/Tokyo", "2021-08", "2021-07-31T15:00Z", "2021-08-31T15:00Z"),
        ("month", "Europe/London", "2011-03", "2011-03-01T00:00Z", "2011-03-31T23:00Z"),
        ("month", "Europe/London", "2011-10", "2011-09-30T23:00Z", "2011-11-01T00:00Z"),
        ("week", "Europe/London", "2011-W12", "2011-03-21T00:00Z", "2011-03-27T23:00Z"),
        ("day", "Europe/London", "2011-03-27", "2011-03-27T00:00Z", "2011-03-27T23:00Z"),
        ("day", "Asia/Kathmandu", "2021-08-05", "2021-08-04T18:15Z", "2021-08-05T18:15Z"),
        ("day", "Australia/Lord_Howe", "2021-10-03", "2021-10-02T13:30Z", "2021-10-03T13:00Z"),
        # The day that was left out ends where it starts.
        ("day", "Pacific/Apia", "2011-12-30", "2011-12-30T10:00Z", "2011-12-30T10:00Z"),
        ("month", "Pacific/Apia", "2011-12", "2011-12-01T10:00Z", "2011-12-31T10:00Z"),
        # There was no midnight, the day started at one o'clock.
        ("day", "America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00Z", "2018-11-05T02:00Z"),
        # There were two midnights of one day: it started at the first.
        ("day", "America/Havana", "2021-11-07", "2021-11-07T04:00Z", "2021-11-08T05:00Z"),
        # The clock went back from 0:01 to 23:01 of the day before: November started at the second midnight.
        ("month", "America/St_Johns", "2009-11", "2009-11-01T03:30Z", "2009-12-01T03:30Z"),
    ],
)
def test_period_starts_and_ends_in_its_zone(
    kind: str, zone: str, period: str, starts_at: str, ends_at: str
) -> None:
    """A period goes from its first local midnight to the next period's."""
    calendar = Calendar(PeriodKind(kind), zone)
    parsed = Period.parse(period, calendar.kind)
    assert (calendar.starts_at(parsed), calendar.ends_at(parsed)) == (at(starts_at), at(ends_at))


def test_every_zone_can_be_used() -> None:
    """Each zone of the zone data can be loaded."""
    assert "Asia/Tokyo" in zones()
    for zone in zones():
        assert load_zone(zone).key == zone


@pytest.mark.parametrize("zone", ["Asia/Tokio", "", "../etc/passwd", "asia/tokyo", "JST"])
def test_unknown_zone_is_refused(zone: str) -> None:
    """A name that the zone data lacks is refused where the calendar is made."""
    with pytest.raises(ValueError, match="is not an IANA time zone"):
        Calendar(PeriodKind.MONTH, zone)


@pytest.mark.parametrize("instant", [TIME_MIN - 1, TIME_MAX])
def test_instants_out_of_range_are_refused(instant: int) -> None:
    """An instant that no event may carry has no period."""
    with pytest.raises(ValueError, match="is not within"):
        Calendar(PeriodKind.MONTH, "UTC").period_at(instant)


def test_bounds_of_the_times() -> None:
    """Times go from 1970-01-02 to the end of 2099."""
    assert at("1970-01-02T00:00Z") == TIME_MIN
    assert at("2100-01-01T00:00Z") == TIME_MAX
    assert tuple(map(str, Calendar(PeriodKind.MONTH, "UTC").span())) == ("1970-01", "2099-12")


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (PeriodKind.WEEK, "2021-W32", "2021-W32 is not a month such as 2021-08"),
        (PeriodKind.MONTH, "1969-11", "1969-11 is not within the years 1970 to 2099"),
        (PeriodKind.MONTH, "2100-03", "2100-03 is not within the years 1970 to 2099"),
    ],
)
def test_foreign_periods_have_no_start(kind: PeriodKind, text: str, message: str) -> None:
    """A calendar gives no bounds for periods of another kind or out of range."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        Calendar(PeriodKind.MONTH, "UTC").starts_at(Period.parse(text, kind))
