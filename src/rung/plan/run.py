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
from rung.plan.compile import HISTORIES, Plan, attribute_column, compile_version
from rung.transaction.events import TransactionEvents, decode
from rung.transaction.history import Integers

_ARROW_TYPES: Final = {
    AttributeType.STRING: pa.string(),
    AttributeType.INTEGER: pa.int64(),
    AttributeType.BOOLEAN: pa.bool_(),
}
_NONE: Final = np.zeros(0, dtype=np.int64)


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
        "status": pa.ListArray.from_arrays(offsets, pa.array(histories.statuses.view(np.int8))),
        "at": pa.ListArray.from_arrays(offsets, pa.array(histories.ats)),
        "amount": pa.ListArray.from_arrays(offsets, pa.array(histories.amounts)),
    }
    sets = pa.array(events.sets[chosen])
    for name, kind in attributes.items():
        values = pa.array([found.values.get(name) for found in events.attribute_sets], _ARROW_TYPES[kind])
        columns[attribute_column(name)] = values.take(sets)
    return pa.table(columns)


class _Current:
    """The relation that the prepared plans read: whatever table it holds when they run.

    Registering each table by itself would make the engine bind every plan anew, which takes many
    times as long as running it on a small batch.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_schema__(self) -> object:
        return self.table.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class Plans:
    """The plans of a catalog, prepared to run. Not for use by several threads."""

    def __init__(self, catalog: Catalog) -> None:
        """Compile every version that the catalog counts."""
        self._plans = [compile_version(counted) for counted in catalog.versions]
        nothing = decode([], {}, {}).transactions
        self._current = _Current(histories_table(nothing, _NONE, _NONE, _NONE, catalog.attributes))
        # One thread: a micro-batch is too small to share out, and the machine has other work.
        self._connection = duckdb.connect(config={"threads": 1})
        self._connection.register(HISTORIES, self._current)
        for number, plan in enumerate(self._plans):
            self._connection.execute(f"PREPARE plan_{number} AS {plan.sql}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def contributions(self, histories: pa.Table) -> Contributions:
        """Run every plan on a relation of `histories_table`, and return all that it adds."""
        self._current.table = histories
        return _concatenated(
            [part for number, plan in enumerate(self._plans) for part in self._run(number, plan)]
        )

    def _run(self, number: int, plan: Plan) -> Sequence[Contributions]:
        found = self._connection.execute(f"EXECUTE plan_{number}")
        answer = cast("Mapping[str, NDArray[Any]]", found.fetchnumpy())  # pyright: ignore[reportUnknownMemberType]
        return [_measure(answer, series, kind) for series, kind in plan.series]

    def close(self) -> None:
        """Close the engine."""
        self._connection.unregister(HISTORIES)
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
        return Contributions(_NONE, _NONE, _NONE, _NONE.astype(np.uint64), _NONE)
    return Contributions(
        np.concatenate([part.owners for part in parts]),
        np.concatenate([part.series for part in parts]),
        np.concatenate([part.periods for part in parts]),
        np.concatenate([part.tokens for part in parts]),
        np.concatenate([part.values for part in parts]),
    )
