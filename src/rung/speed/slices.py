"""Taking a part of what was read: in the order of the log, whatever the cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rung.campaign.catalog import Catalog
from rung.log.port import Slice


def split_at_starts(slices: Sequence[Slice], catalog: Catalog) -> tuple[list[Slice], list[Slice]]:
    """Return the events up to each partition's next start of a version or an attribute, and the others.

    The events up to a version's start are not counted by it live, and those up to where an attribute is
    declared are not judged by it. A store that is changed user by user may have reached events that it has
    not applied, and a campaign may have been applied behind those.
    """
    now: list[Slice] = []
    later: list[Slice] = []
    ends: dict[int, int | None] = {}
    for part in slices:
        if part.partition not in ends:
            ends[part.partition] = catalog.next_start(part.partition, part.first_offset)
        end = ends[part.partition]
        count = len(part.payloads) if end is None else max(0, end + 1 - part.first_offset)
        before, after = _cut(part, count)
        if before.payloads:
            now.append(before)
        if after.payloads:
            later.append(after)
    return now, later


def _cut(part: Slice, count: int) -> tuple[Slice, Slice]:
    """Return the first `count` events of a slice, and the others."""
    if count >= len(part.payloads):
        return part, replace(part, payloads=(), unreadable={})
    return (
        replace(
            part,
            payloads=part.payloads[:count],
            unreadable={index: text for index, text in part.unreadable.items() if index < count},
        ),
        replace(
            part,
            first_offset=part.first_offset + count,
            payloads=part.payloads[count:],
            unreadable={index - count: text for index, text in part.unreadable.items() if index >= count},
        ),
    )


def first_events(slices: Sequence[Slice], events_max: int) -> tuple[list[Slice], list[Slice]]:
    """Return at most so many events from the start, and the others."""
    now: list[Slice] = []
    later: list[Slice] = []
    left = events_max
    for part in slices:
        before, after = _cut(part, left)
        left -= len(before.payloads)
        if before.payloads:
            now.append(before)
        if after.payloads:
            later.append(after)
    return now, later
