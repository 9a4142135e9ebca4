"""A version that is counted: under which ids, for which periods, and whether its past is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from rung.campaign.calendar import Period
from rung.campaign.model import Campaign, Version
from rung.campaign.schedule import Span


@dataclass(frozen=True, slots=True)
class CountedVersion:
    """A version that is counted.

    `series` gives each measure a small positive id, under which its figures are stored and which no
    other measure ever gets. `starts` maps a partition to the offset of the last event that was
    applied when this version was; it is empty if the version was there from the beginning.

    `periods` are the ordinals of the first and the last period that it counts, both included; of none,
    if the last is before the first. They are fixed when the version is applied and may be narrowed after
    that, never widened. Which of them it serves is the campaign's schedule and another matter.

    `backfilled` tells that what happened up to `starts` has been added from the archive.

    `pruned_from` is the ordinal of the first period that it counted before its oldest ones were pruned; None,
    if none was. The figures of a pruned period are gone from the store, and the lake gives them.

    `closed` are the ordinals of the first and the last of those periods, one behind another, that are closed
    with it, ascending: what their users earned stays as it was closed.
    """

    campaign: Campaign
    version: Version
    series: Mapping[str, int]
    starts: Mapping[int, int]
    periods: tuple[int, int]
    backfilled: bool = False
    pruned_from: int | None = None
    closed: tuple[tuple[int, int], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the figures hold every event: none came before the version, or its past was added."""
        return self.backfilled or all(offset < 0 for offset in self.starts.values())

    def counts(self, first: int, last: int) -> bool:
        """Tell whether it counts all periods from one ordinal to another one."""
        return self.periods[0] <= first and last <= self.periods[1]

    def until(self, last: int) -> CountedVersion:
        """Return the version as it counts no period after an ordinal; it is never widened."""
        first = self.periods[0]
        return replace(self, periods=(first, max(first - 1, min(self.periods[1], last))))

    def has_counted(self, first: int, last: int) -> bool:
        """Tell whether it counts all periods from one ordinal to another, or did before pruning."""
        begins = self.periods[0] if self.pruned_from is None else self.pruned_from
        return begins <= first and last <= self.periods[1]

    def kept_since(self, first: int) -> CountedVersion:
        """Return the version as it counts no period before an ordinal, because what is older is not kept."""
        begins, last = self.periods
        if first <= begins or begins > last:
            return self
        pruned_from = begins if self.pruned_from is None else self.pruned_from
        closed = tuple((max(one, first), other) for one, other in self.closed if other >= first)
        return replace(self, periods=(min(first, last + 1), last), pruned_from=pruned_from, closed=closed)

    def is_closed(self, ordinal: int) -> bool:
        """Tell whether a period is closed with it."""
        return any(first <= ordinal <= last for first, last in self.closed)

    def with_closed(self, ordinal: int) -> CountedVersion:
        """Return the version with a further period closed."""
        if self.is_closed(ordinal):
            return self
        joined: list[tuple[int, int]] = []
        for first, last in sorted([*self.closed, (ordinal, ordinal)]):
            if joined and joined[-1][1] + 1 == first:
                joined[-1] = joined[-1][0], last
            else:
                joined.append((first, last))
        return replace(self, closed=tuple(joined))

    def with_pruned(self) -> CountedVersion:
        """Return the version as it counts what was pruned, too."""
        if self.pruned_from is None:
            return self
        return replace(self, periods=(self.pruned_from, self.periods[1]), pruned_from=None)


def periods_of(campaign: Campaign, version: Version) -> tuple[int, int]:
    """Return the ordinals of the first and the last period that a spec has a version count.

    From its `counts_from` to the period before the next version's, or to `counts_until`. A version without
    `counts_from` counts every period.
    """
    earliest, latest = campaign.calendar.span()
    first = version.counts_from
    if first is None:
        return earliest.ordinal, latest.ordinal
    last = (campaign.counts_until or latest).ordinal
    for other in campaign.versions:
        if other.counts_from is not None and other.counts_from > first:
            return first.ordinal, min(last, other.counts_from.ordinal - 1)
    return first.ordinal, last


def last_of(campaign: Campaign, span: Span) -> int:
    """Return the ordinal of a span's last period; one without end lasts as long as events may come."""
    return (span.last or campaign.calendar.span()[1]).ordinal


def uncounted(
    campaign: Campaign, versions: Mapping[int, CountedVersion]
) -> Iterator[tuple[CountedVersion, Span]]:
    """Yield what the campaign's schedule would have a version serve without counting all of it.

    What was pruned was counted, and is served no more.
    """
    for span in campaign.spans():
        counted = versions[span.version]
        if not counted.has_counted(span.first.ordinal, last_of(campaign, span)):
            yield counted, span


def reopened(campaign: Campaign, versions: Iterable[CountedVersion]) -> Iterator[str]:
    """Yield which closed periods the campaign's schedule would give to another version, or to none."""
    kind = campaign.calendar.kind
    for counted in versions:
        number = counted.version.number
        for first, last in counted.closed:
            moved = [
                ordinal
                for ordinal in range(first, last + 1)
                if (serving := campaign.version_counting(Period(kind, ordinal))) is None
                or serving.number != number
            ]
            if moved:
                yield (
                    f"campaign {campaign.name}: {periods_text(campaign, moved[0], moved[-1])} is closed, and "
                    f"stays with version {number}, which counted it: only what serves from "
                    f"{Period(kind, last + 1)} on may change"
                )


def periods_text(campaign: Campaign, first: int, last: int) -> str:
    """Return periods for people: "2021-08 to 2022-03", "2021-08", "2021-08 on", "no period"."""
    if last < first:
        return "no period"
    kind = campaign.calendar.kind
    earliest, latest = campaign.calendar.span()
    if last == latest.ordinal:
        return "every period" if first == earliest.ordinal else f"{Period(kind, first)} on"
    if first == last:
        return str(Period(kind, first))
    return f"{Period(kind, first)} to {Period(kind, last)}"
