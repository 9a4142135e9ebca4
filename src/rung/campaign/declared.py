"""What is declared where: each event is judged by the attributes that are declared at its position.

An attribute is declared from where a campaign that has it was first applied: per partition, behind the offset
of the last event applied then. So whoever reads an event, and whenever, comes to the same: the worker that
applies it, and the batch layer that reads it from the lake years later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

from rung.campaign.counted import CountedVersion
from rung.campaign.model import AttributeType, Campaign

_USER: Final = "user."


class Declared(NamedTuple):
    """The attributes that are declared at some position, with their types."""

    attributes: Mapping[str, AttributeType]
    user_attributes: Mapping[str, AttributeType]


NOTHING_DECLARED: Final = Declared({}, {})


class Declaration(NamedTuple):
    """The type of an attribute, and the offset in a partition behind which it is declared (or -1)."""

    type: AttributeType
    after: int


@dataclass(frozen=True, slots=True)
class Declarations:
    """All attributes of transactions and of users in one partition."""

    attributes: Mapping[str, Declaration]
    user_attributes: Mapping[str, Declaration]

    def at(self, offset: int) -> Declared:
        """Return what is declared at an offset."""
        return Declared(_at(self.attributes, offset), _at(self.user_attributes, offset))

    def runs(self, offsets: Sequence[int]) -> Iterator[tuple[int, Declared]]:
        """Yield how many of ascending offsets follow one another with the same declared, and what that is."""
        found = chain(self.attributes.values(), self.user_attributes.values())
        first = 0
        for after in sorted({declaration.after for declaration in found}):
            end = bisect_right(offsets, after, first)
            if end > first:
                yield end - first, self.at(offsets[first])
                first = end
        if first < len(offsets):
            yield len(offsets) - first, self.at(offsets[first])


def declarations(
    attributes: Mapping[str, AttributeType],
    user_attributes: Mapping[str, AttributeType],
    starts: Mapping[str, Mapping[int, int]],
    partition: int,
) -> Declarations:
    """Return what is declared in one partition.

    Args:
        attributes: The attributes of transactions.
        user_attributes: The attributes of users.
        starts: For each (`names`), per partition the offset of the last event before it was declared.
        partition: The partition.
    """
    return Declarations(
        {name: Declaration(type_, _after(starts, name, partition)) for name, type_ in attributes.items()},
        {
            name: Declaration(type_, _after(starts, f"{_USER}{name}", partition))
            for name, type_ in user_attributes.items()
        },
    )


def with_declared(
    starts: Mapping[str, Mapping[int, int]], campaign: Campaign, applied: Mapping[int, int]
) -> dict[str, Mapping[int, int]]:
    """Return where attributes are declared with those of a campaign: what was declared before stays so."""
    return {**starts, **{name: dict(applied) for name in names(campaign) if name not in starts}}


def declared_with_versions(versions: Sequence[CountedVersion]) -> dict[str, Mapping[int, int]]:
    """Return where attributes are declared as far as versions tell: with the first one of their campaign."""
    found: dict[str, Mapping[int, int]] = {}
    for counted in versions:
        for name in names(counted.campaign):
            known = found.get(name, counted.starts)
            found[name] = {
                partition: min(offset, counted.starts[partition])
                for partition, offset in known.items()
                if partition in counted.starts
            }
    return found


def names(campaign: Campaign) -> list[str]:
    """Return the attributes that a campaign declares; those of users are called `user.NAME`."""
    return [*campaign.attributes, *(f"{_USER}{name}" for name in campaign.user_attributes)]


def _at(declared: Mapping[str, Declaration], offset: int) -> dict[str, AttributeType]:
    return {name: one.type for name, one in declared.items() if one.after < offset}


def _after(starts: Mapping[str, Mapping[int, int]], name: str, partition: int) -> int:
    return starts.get(name, {}).get(partition, -1)
