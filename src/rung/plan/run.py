"""Run plans on columns with DuckDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, cast

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rung.campaign.catalog import Catalog
from rung.campaign.model import AttributeType, MeasureKind
from rung.plan.compile import Plan, attribute_column, compile_version
from rung.transaction.events import TransactionEvents
from rung.transaction.history import Integers

_ARROW_TYPES: Final = {
    AttributeType.STRING: pa.string(),
    AttributeType.INTEGER: pa.int64(),
    AttributeType.BOOLEAN: pa.bool_(),
}


@dataclass(frozen=True, slots=True)
class Contributions:
    """What transactions add to figures, as columns; one row per owner, figure and changed side.

    Rows of the same owner, series, period and token belong together: their sum counts.
    """

    owners: Integers
    series: Integers
    periods: Integers
    tokens: NDArray[np.uint64]
    values: Integers


def histories_table(
    events: TransactionEvents,
    chosen: Integers,
    owners: Integers,
    before: Integers,
    attributes: Mapping[str, AttributeType],
) -> pa.Table:
    """Return the relation `histories` of a plan for chosen events.

    `owners[i]` and `before[i]` belong to event `chosen[i]`; all of its steps are to be counted.
    """
    histories = events.histories.take(chosen)
    offsets = pa.array(np.append(histories.starts, len(histories.statuses)).astype(np.int32))
    columns: dict[str, pa.Array] = {
        "owner": pa.array(owners),
        "before": pa.array(before),
        "after": pa.array(histories.lengths),
        "status": pa.ListArray.from_arrays(offsets, pa.array(histories.statuses)),
        "at": pa.ListArray.from_arrays(offsets, pa.array(histories.ats)),
        "amount": pa.ListArray.from_arrays(offsets, pa.array(histories.amounts)),
    }
    sets = pa.array(events.sets[chosen])
    for name, kind in attributes.items():
        values = pa.array([found.values.get(name) for found in events.attribute_sets], _ARROW_TYPES[kind])
        columns[attribute_column(name)] = values.take(sets)
    return pa.table(columns)


class Plans:
    """The plans of a catalog, ready to run. Not for use by several threads."""

    def __init__(self, catalog: Catalog) -> None:
        """Compile every version that the catalog counts."""
        self._plans = [compile_version(counted) for counted in catalog.versions]
        # One thread: a micro-batch is too small to share out, and the machine has other work.
        self._connection = duckdb.connect(config={"threads": 1})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def contributions(self, histories: pa.Table) -> Contributions:
        """Run every plan on a relation `histories` and return all that it adds."""
        self._connection.register("histories", histories)
        try:
            parts = [part for plan in self._plans for part in self._run(plan)]
        finally:
            self._connection.unregister("histories")
        return _concatenated(parts)

    def _run(self, plan: Plan) -> Sequence[Contributions]:
        found = self._connection.execute(plan.sql)
        answer = cast("Mapping[str, NDArray[Any]]", found.fetchnumpy())  # pyright: ignore[reportUnknownMemberType]
        return [_measure(answer, series, kind) for series, kind in plan.series]

    def close(self) -> None:
        """Close the engine."""
        self._connection.close()


def _measure(answer: Mapping[str, NDArray[np.generic]], series: int, kind: MeasureKind) -> Contributions:
    values = np.asarray(answer[f"value.{series}"]).astype(np.int64)
    changed = np.flatnonzero(values)
    tokens = np.zeros(len(changed), dtype=np.uint64)
    if kind is MeasureKind.DISTINCT:
        tokens = np.asarray(answer[f"token.{series}"]).astype(np.uint64)[changed]
    return Contributions(
        np.asarray(answer["owner"]).astype(np.int64)[changed],
        np.full(len(changed), series, dtype=np.int64),
        np.asarray(answer["period"]).astype(np.int64)[changed],
        tokens,
        values[changed],
    )


def _concatenated(parts: Sequence[Contributions]) -> Contributions:
    if not parts:
        nothing = np.zeros(0, dtype=np.int64)
        return Contributions(nothing, nothing, nothing, np.zeros(0, dtype=np.uint64), nothing)
    return Contributions(
        np.concatenate([part.owners for part in parts]),
        np.concatenate([part.series for part in parts]),
        np.concatenate([part.periods for part in parts]),
        np.concatenate([part.tokens for part in parts]),
        np.concatenate([part.values for part in parts]),
    )
