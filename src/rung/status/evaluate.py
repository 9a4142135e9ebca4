"""From a user's stored record to the user's status: one pure evaluation for every reader.

The API, the page, the command line, the batch layer and grants all call this. It has no clock and
no I/O; a catalog is compiled once, and only calendar arithmetic is remembered between calls.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import UNSET, UnsetType

from rung.campaign.calendar import Calendar, Period, PeriodKind
from rung.campaign.catalog import Catalog, CountedVersion
from rung.campaign.model import Campaign, Effective, MeasureKind
from rung.status.ladder import COMBINATIONS_MAX, Ladder, of_nobody
from rung.status.view import (
    AsOf,
    CampaignStatus,
    CountingStatus,
    EffectiveStatus,
    State,
    StepStatus,
    UserStatus,
)
from rung.store.marks import MARKS, steps_marks
from rung.store.port import Standing
from rung.store.records import decode_user_attributes, figures_of

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class UnknownCampaign(LookupError):
    """No campaign of this name is in the catalog; `suggestion` is the closest name, if one is close."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        close = difflib.get_close_matches(name, known, n=1)
        self.name = name
        self.known = known
        self.suggestion = close[0] if close else None
        super().__init__(f"no campaign is named {name!r}")


class Evaluator:
    """Evaluates statuses by one catalog. Safe to share between threads."""

    def __init__(self, catalog: Catalog) -> None:
        """Compile every version of the catalog."""
        versions = {(counted.campaign.name, counted.version.number): counted for counted in catalog.versions}
        self._campaigns = {
            name: _CompiledCampaign(
                campaign,
                {
                    version.number: CompiledVersion(versions[name, version.number])
                    for version in campaign.versions
                },
            )
            for name, campaign in catalog.campaigns.items()
        }
        self._all = tuple(self._campaigns.values())

    def status(
        self,
        user_id: str,
        partition: int,
        standing: Standing,
        at: int | Period,
        campaign: str | None = None,
        pending: bool | UnsetType | None = UNSET,
    ) -> UserStatus:
        """Return a user's status.

        Args:
            user_id: The user that `standing` was read for.
            partition: The user's partition.
            standing: The user's records, and how far the partition has been applied.
            at: The instant that chooses the periods, in microseconds since the epoch; or a day,
                which starts in each campaign's own time zone.
            campaign: Only this campaign; None for every one of the catalog, in its order.
            pending: Whether later events are known to wait; see `AsOf`.

        Raises:
            UnknownCampaign: there is no such campaign.
            ValueError: `at` is not within the years 1970 to 2099.
        """
        record = standing.figures
        attributes = decode_user_attributes(standing.user_attributes).values
        if campaign is None:
            chosen = self._all
        elif campaign in self._campaigns:
            chosen = (self._campaigns[campaign],)
        else:
            raise UnknownCampaign(campaign, tuple(self._campaigns))
        applied = standing.applied
        return UserStatus(
            user_id,
            AsOf(
                partition,
                applied.offset,
                None if applied.event_at is None else time_text(applied.event_at),
                pending,
            ),
            tuple([compiled.status(record, attributes, at) for compiled in chosen]),
        )

    def version(self, campaign: str, number: int) -> CompiledVersion:
        """Return one compiled version.

        Raises:
            UnknownCampaign: there is no such campaign.
            KeyError: the campaign has no such version.
        """
        if campaign not in self._campaigns:
            raise UnknownCampaign(campaign, tuple(self._campaigns))
        return self._campaigns[campaign].versions[number]


class CompiledVersion:
    """One counted version: where its measures are found, and its ladder."""

    __slots__ = (
        "_closed",
        "_counted",
        "_distincts",
        "_none",
        "_of_nobody",
        "_sums",
        "first",
        "ladder",
        "number",
        "state",
    )

    def __init__(self, counted: CountedVersion) -> None:
        """Compile a version of the catalog."""
        version = counted.version
        self._counted = counted
        self._closed = ClosedVersion(self, counted) if counted.closed else None
        self.number = version.number
        self.first = counted.periods[0]
        self.state = State.PROVISIONAL if counted.complete else State.PARTIAL
        self.ladder = Ladder(version.reward, counted.campaign.user_attributes)
        self._none = {measure.name: 0 for measure in version.measures}
        distinct = {measure.name for measure in version.measures if measure.kind is MeasureKind.DISTINCT}
        self._distincts = {counted.series[name]: name for name in distinct}
        self._sums = {counted.series[name]: name for name in self._none.keys() - distinct}
        # Of most users there is nothing in most periods: what they stand at is evaluated once.
        self._of_nobody = self._result((), {})

    def measures(self, found: Sequence[tuple[int, int, int]]) -> dict[str, int]:
        """Return every measure, in the order of the spec, from the figures of one period (`figures_of`)."""
        measures = self._none.copy()
        sums, distincts = self._sums, self._distincts
        for series, _token, value in found:
            if series in sums:
                measures[sums[series]] = value
            elif value > 0 and series in distincts:
                measures[distincts[series]] += 1
        return measures

    def result(
        self, record: bytes | None, ordinal: int, attributes: Mapping[str, object]
    ) -> tuple[dict[str, int], str, tuple[StepStatus, ...]]:
        """Return the measures of one period, the rate they earn, and the status of each step.

        Raises:
            StoreError: the record has an unknown format.
        """
        found = figures_of(record, ordinal)
        if not found and not attributes:
            return self._of_nobody
        return self._result(found, attributes)

    def _result(
        self, found: Sequence[tuple[int, int, int]], attributes: Mapping[str, object]
    ) -> tuple[dict[str, int], str, tuple[StepStatus, ...]]:
        measures = self.measures(found)
        steps = self.ladder.statuses(self.ladder.values(measures, attributes))
        return measures, self.ladder.percent(steps), steps

    def in_period(self, ordinal: int) -> CompiledVersion | ClosedVersion:
        """Return what evaluates one period: this version, or as it was closed."""
        if self._closed is not None and self._counted.is_closed(ordinal):
            return self._closed
        return self


class ClosedVersion:
    """A version in the periods that are closed with it: the measures of now, the steps and rate of the close.

    Which steps a user has met stands among the figures of the period (`rung.store.marks`).
    """

    __slots__ = ("_measured", "_nobody", "_standing", "_steps", "number", "state")

    def __init__(self, measured: CompiledVersion, counted: CountedVersion) -> None:
        """Take the version that is in force for other periods."""
        self.number = counted.version.number
        self.state = State.CLOSED
        self._measured = measured
        self._steps = {mark.token: mark.first for mark in steps_marks(counted)}
        self._nobody = tuple(step.met for step in of_nobody(counted))
        # The few combinations of steps that occur are told again and again.
        self._standing = lru_cache(maxsize=COMBINATIONS_MAX)(self._standing_of)

    def result(
        self, record: bytes | None, ordinal: int, _attributes: Mapping[str, object]
    ) -> tuple[dict[str, int], str, tuple[StepStatus, ...]]:
        """Return the measures of one period, the rate that was earned, and the status of each step.

        Raises:
            StoreError: the record has an unknown format.
        """
        found = figures_of(record, ordinal)
        steps = self._steps
        differing = 0
        for series, token, value in found:
            if series == MARKS and token in steps:
                differing |= value << steps[token]
        return self._measured.measures(found), *self._standing(differing)

    def _standing_of(self, differing: int) -> tuple[str, tuple[StepStatus, ...]]:
        """Return rate and steps of who differs from somebody unknown in the steps whose bits are set."""
        ladder = self._measured.ladder
        steps = ladder.closed([met ^ bool(differing >> index & 1) for index, met in enumerate(self._nobody)])
        return ladder.percent(steps), steps


class _Served(NamedTuple):
    """A period, and the version that serves it."""

    version: CompiledVersion | ClosedVersion
    ordinal: int
    period: str


@dataclass(frozen=True, slots=True)
class _Window:
    """What is shown from one instant to just before another one: pure calendar arithmetic."""

    starts_at: int
    ends_at: int
    period: str
    counting: _Served | None
    earned: _Served | None


class _CompiledCampaign:
    __slots__ = ("_campaign", "_days", "_window", "versions")

    def __init__(self, campaign: Campaign, versions: Mapping[int, CompiledVersion]) -> None:
        self.versions = versions
        self._campaign = campaign
        self._days = Calendar(PeriodKind.DAY, campaign.calendar.zone)
        # The last period asked for. Most readers ask for the present one, and any other thread
        # may replace it: each uses the window that it has taken or made.
        self._window = _Window(0, 0, "", None, None)

    def status(
        self, record: bytes | None, attributes: Mapping[str, object], at: int | Period
    ) -> CampaignStatus:
        if not isinstance(at, int):
            at = self._days.starts_at(at)
        window = self._window
        if not window.starts_at <= at < window.ends_at:
            window = self._window_at(at)
            self._window = window
        counting = effective = None
        if window.counting is not None:
            version, ordinal, period = window.counting
            measures, percent, steps = version.result(record, ordinal, attributes)
            counting = CountingStatus(period, version.number, version.state, measures, percent, steps)
        if window.earned is not None:
            version, ordinal, earned_in = window.earned
            measures, percent, steps = version.result(record, ordinal, attributes)
            effective = EffectiveStatus(
                window.period, earned_in, version.number, version.state, percent, measures, steps
            )
        return CampaignStatus(self._campaign.name, counting, effective)

    def _window_at(self, at: int) -> _Window:
        calendar = self._campaign.calendar
        period = calendar.period_at(at)
        counting = self._served(period)
        earned = counting if self._campaign.effective is Effective.SAME else self._served(period.previous())
        return _Window(calendar.starts_at(period), calendar.ends_at(period), str(period), counting, earned)

    def _served(self, period: Period) -> _Served | None:
        version = self._campaign.version_counting(period)
        # What was pruned has no figures any more: nothing is told of it rather than zeros.
        if version is None or period.ordinal < self.versions[version.number].first:
            return None
        serving = self.versions[version.number].in_period(period.ordinal)
        return _Served(serving, period.ordinal, str(period))


@lru_cache(maxsize=1_024)
def time_text(at: int) -> str:
    """Return microseconds since the epoch as RFC 3339 text in UTC."""
    return (_EPOCH + timedelta(microseconds=at)).isoformat()[:-6] + "Z"
