"""Whose purchases the cash back of a counting period is reckoned on: its effective period's, or older ones.

A period is whole when it has ended by the clock, and the lake has something that happened after its end. Only
then is what was bought in it known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from rung.batch.duck import DuckEngine
from rung.batch.sql import MERGED
from rung.campaign.calendar import Period
from rung.campaign.model import AttributeType, Campaign, Effective, Version
from rung.transaction.history import COMPLETED

_KINDS: Final = {
    "VARCHAR": AttributeType.STRING,
    "BIGINT": AttributeType.INTEGER,
    "UBIGINT": AttributeType.INTEGER,
    "BOOLEAN": AttributeType.BOOLEAN,
}
_NAMES_SHOWN_MAX: Final = 20


class BasisKind(StrEnum):
    """Where an amount comes from."""

    MEASURED = "measured"
    """From the purchases of the effective period itself, which is whole."""
    PROJECTED = "projected"
    """From those of the last whole period, because the effective one is not whole yet."""
    PARTIAL = "partial"
    """From those of the last period that has any: none is whole yet."""


@dataclass(frozen=True, slots=True)
class Basis:
    """The period whose purchases earn the rates."""

    kind: BasisKind
    period: Period


@dataclass(frozen=True, slots=True)
class Extent:
    """What the lake's transactions span: all in microseconds since the epoch.

    Attributes:
        first, last: When the first and the last purchase was completed.
        latest: When the last step of any transaction was.
        now: The clock.
    """

    first: int
    last: int
    latest: int
    now: int

    def is_whole(self, campaign: Campaign, period: Period) -> bool:
        """Tell whether a period has ended, and the lake has what came after it."""
        return campaign.calendar.ends_at(period) <= min(self.latest, self.now)

    def periods(self, campaign: Campaign) -> tuple[Period, Period]:
        """Return the periods of the first and of the last purchase."""
        return campaign.calendar.period_at(self.first), campaign.calendar.period_at(self.last)

    def basis_of(self, campaign: Campaign, period: Period) -> Basis:
        """Return whose purchases earn the rates of a counting period."""
        effective = period.next() if campaign.effective is Effective.NEXT else period
        if self.is_whole(campaign, effective):
            return Basis(BasisKind.MEASURED, effective)
        first, last = self.periods(campaign)
        whole = campaign.calendar.period_at(min(self.latest, self.now)).previous()
        if whole < first:
            return Basis(BasisKind.PARTIAL, last)
        return Basis(BasisKind.PROJECTED, min(whole, last))


def extent_of(engine: DuckEngine, merged: Sequence[Sequence[Path]], now: int) -> Extent | None:
    """Return what the merged transactions of partitions span; None if there is no purchase."""
    parts: list[pa.Table] = []
    for paths in merged:
        engine.read_merged(paths)
        parts.append(
            engine.query(
                f"""
                SELECT min("completed_at") AS "first", max("completed_at") AS "last",
                  max("latest") AS "latest"
                FROM (SELECT "at"[list_position("status", {COMPLETED}::TINYINT)] AS "completed_at",
                  list_max("at") AS "latest" FROM "{MERGED}")
                """
            )
        )
    found = [row for part in parts for row in part.to_pylist() if row["first"] is not None]
    if not found:
        return None
    return Extent(
        min(row["first"] for row in found),
        max(row["last"] for row in found),
        max(row["latest"] for row in found),
        now,
    )


def missing_attributes(
    engine: DuckEngine, merged: Sequence[Sequence[Path]], campaign: Campaign, version: Version
) -> list[str]:
    """Return what is wrong with the transaction attributes that a version uses: a line for each.

    One that no transaction of the lake has, or that some have with a value of another type than is declared,
    would count nothing without a word.
    """
    used = used_attributes(campaign, version)
    found: dict[str, Counter[AttributeType | None]] = {name: Counter() for name in used}
    for paths in merged if used else ():
        engine.read_merged(paths)
        for name in used:
            for row in _types(engine, name):
                found[name][_KINDS.get(row["type"])] += row["transactions"]
    wrong: list[str] = []
    known = ""
    for name in used:
        declared = campaign.attributes[name]
        if not found[name]:
            known = known or _known(engine, merged)
            wrong.append(
                f"attribute {name}: no transaction of the lake has it; they have {known}. Use one "
                "of those, or wait until events carry it"
            )
        for kind, count in found[name].items():
            if kind is not declared:
                fix = "no type fits it: use another attribute" if kind is None else f"declare it as {kind}"
                where = f"in {count:,} transactions of the lake"
                wrong.append(f"attribute {name}: {where} its value is no {declared}: {fix}")
    return wrong


def used_attributes(campaign: Campaign, version: Version) -> list[str]:
    """Return the transaction attributes that a version's rules name, in the order of their declaration."""
    expressions = [measure.expression for measure in version.measures]
    expressions += [measure.where for measure in version.measures if measure.where is not None]
    expressions += [step.on for step in version.reward.steps if step.on is not None]
    names = {name for expression in expressions for name in expression.names}
    return [name for name in campaign.attributes if name in names]


def _types(engine: DuckEngine, name: str) -> list[dict[str, Any]]:
    return engine.query(
        f"""
        SELECT json_type("attributes", '$."{name}"') AS "type", count(*) AS "transactions" FROM "{MERGED}"
        GROUP BY ALL HAVING "type" IS NOT NULL
        """
    ).to_pylist()


def _known(engine: DuckEngine, merged: Sequence[Sequence[Path]]) -> str:
    names: set[str] = set()
    for paths in merged:
        engine.read_merged(paths)
        found = engine.query(
            f"""SELECT DISTINCT unnest(json_keys("attributes")) AS "name"
            FROM (SELECT DISTINCT "attributes" FROM "{MERGED}")"""
        )
        names |= set(found.column("name").to_pylist())
    return ", ".join(sorted(names)[:_NAMES_SHOWN_MAX]) or "none"
