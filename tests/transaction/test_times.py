"""Times of events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.campaign.calendar import TIME_MAX, TIME_MIN
from rung.transaction.time_columns import parse_times
from rung.transaction.times import parse_time

TIMES: list[tuple[str, int | None]] = [
    ("2021-08-01T00:00:00Z", 1_627_776_000_000_000),
    ("2021-08-01T00:00:00z", 1_627_776_000_000_000),
    ("2021-08-01t00:00:00Z", 1_627_776_000_000_000),
    ("2021-08-01T09:00:00+09:00", 1_627_776_000_000_000),
    ("2021-07-31T19:00:00-05:00", 1_627_776_000_000_000),
    ("2021-08-01T00:00:00-00:00", 1_627_776_000_000_000),
    ("2021-08-01T00:00:00.5Z", 1_627_776_000_500_000),
    ("2021-08-01T00:00:00.000001Z", 1_627_776_000_000_001),
    ("2021-08-01T00:00:00.123456789Z", 1_627_776_000_123_456),
    ("2021-08-01T00:00:00.9999999Z", 1_627_776_000_999_999),
    ("1970-01-02T00:00:00Z", TIME_MIN),
    ("2099-12-31T23:59:59.999999Z", TIME_MAX - 1),
    ("1970-01-01T23:59:59.999999Z", None),
    ("2100-01-01T00:00:00Z", None),
    ("9999-12-31T23:59:59Z", None),
    ("0001-01-01T00:00:00+23:59", None),
    ("0000-01-01T00:00:00Z", None),
    ("2021-08-01T00:00:00", None),
    ("2021-08-01 00:00:00Z", None),
    ("2021-08-01T00:00Z", None),
    ("2021-08-01", None),
    ("2021-08-01T00:00:00+0900", None),
    ("2021-08-01T00:00:00+09", None),
    ("2021-08-01T00:00:00+24:00", None),
    ("2021-08-01T00:00:00+09:60", None),
    ("2021-02-30T00:00:00Z", None),
    ("2021-08-01T24:00:00Z", None),
    ("2021-08-01T23:59:60Z", None),
    ("2021-08-01T00:00:00.Z", None),
    ("２０２１-08-01T00:00:00Z", None),
    (" 2021-08-01T00:00:00Z", None),
    ("2021-08-01T00:00:00Z\n", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "at"), TIMES)
def test_time(text: str, at: int | None) -> None:
    """A time is read as RFC 3339 says, alone and in a column of usual ones."""
    usual = "2021-08-01T00:00:00Z"
    ats, bad = parse_times([usual, text, usual])
    assert parse_time(text) == at
    assert (ats.tolist(), bad.tolist()) == (
        [1_627_776_000_000_000, at or 0, 1_627_776_000_000_000],
        [False, at is None, False],
    )


@given(
    st.lists(
        st.datetimes(
            datetime(1971, 1, 1),  # noqa: DTZ001 (the zone comes from the strategy beside it)
            datetime(2099, 1, 1),  # noqa: DTZ001
            timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
        ),
        max_size=5,
    )
)
def test_every_time_of_datetime(moments: list[datetime]) -> None:
    """Whatever `datetime` writes is read back to the microsecond."""
    ats, bad = parse_times([moment.isoformat() for moment in moments])
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert not bad.any()
    assert ats.tolist() == [(moment - epoch) // timedelta(microseconds=1) for moment in moments]
