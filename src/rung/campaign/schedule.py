"""Which version serves which periods: a pointer that is moved, and moved back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from rung.campaign.calendar import Period


@dataclass(frozen=True, slots=True)
class Entry:
    """From `period` on a version serves, until another entry's period."""

    period: Period
    version: int


@dataclass(frozen=True, slots=True)
class Span:
    """The periods from `first` to `last`, both included, that a version serves; None is without end."""

    version: int
    first: Period
    last: Period | None


@dataclass(frozen=True, slots=True)
class Schedule:
    """The entries of one campaign.

    Raises:
        ValueError: the entries' periods are not ascending.
    """

    entries: tuple[Entry, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what could name two versions for one period."""
        if any(one.period >= following.period for one, following in pairwise(self.entries)):
            raise ValueError("a schedule's periods ascend")

    def version_at(self, period: Period) -> int | None:
        """Return the number of the version that serves a period, None before the first entry."""
        serving = None
        for entry in self.entries:
            if entry.period <= period:
                serving = entry.version
        return serving

    def entry_of(self, period: Period) -> Entry | None:
        """Return the entry of just this period, if there is one."""
        return next((entry for entry in self.entries if entry.period == period), None)

    def after(self, period: Period) -> tuple[Entry, ...]:
        """Return the entries after a period."""
        return tuple(entry for entry in self.entries if entry.period > period)

    def with_entries(self, added: Iterable[Entry]) -> Schedule:
        """Return the schedule with entries added, each in place of one of the same period."""
        by_period = {entry.period: entry for entry in (*self.entries, *added)}
        return Schedule(tuple(by_period[period] for period in sorted(by_period)))

    def until(self, last: Period | None) -> Schedule:
        """Return the schedule without the entries after a period; None keeps all."""
        if last is None:
            return self
        return Schedule(tuple(entry for entry in self.entries if entry.period <= last))

    def spans(self, until: Period | None) -> tuple[Span, ...]:
        """Return who serves which periods up to `until` (None: without end).

        Entries of one version behind one another are one span.
        """
        spans: list[Span] = []
        entries = self.until(until).entries
        lasts = [*(entry.period.previous() for entry in entries[1:]), until]
        for entry, last in zip(entries, lasts, strict=False):
            if spans and spans[-1].version == entry.version:
                spans[-1] = Span(entry.version, spans[-1].first, last)
            else:
                spans.append(Span(entry.version, entry.period, last))
        return tuple(spans)
