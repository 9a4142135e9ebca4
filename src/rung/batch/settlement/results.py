"""The result of every user in a counting period, as it is settled.

user_id          text
measure.NAME     int64    each measure of the version
user.NAME        the attributes of users that the steps use; null where one is unknown
step.NAME        boolean  whether each step is met
rate_percent     text     the exact rate of all purchases: the base and every met step without `on`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pyarrow as pa

from rung.batch.files import FIGURES_SCHEMA, parquet
from rung.batch.forecast.standings import (
    ATTRIBUTES,
    FIGURES,
    RATE,
    USERS,
    measure_column,
    standings_sql,
    users_sql,
)
from rung.batch.proof.verify import CatalogMoved
from rung.batch.settlement.cash_back import met_column, rate_texts
from rung.batch.settlement.closed import step_columns
from rung.batch.snapshots import Snapshot, version_key
from rung.batch.workshop import Workshop
from rung.campaign.calendar import Period
from rung.campaign.counted import CountedVersion

RATE_PERCENT: Final = "rate_percent"
_USER: Final = "user."
_PRUNED: Final = "pruned_figures"


def measure_columns(counted: CountedVersion) -> list[str]:
    """Return the columns of a version's measures."""
    return [measure_column(measure.name) for measure in counted.version.measures]


def attribute_columns(counted: CountedVersion) -> list[str]:
    """Return the columns of the attributes of users that a version's steps use, in the order declared."""
    steps = counted.version.reward.steps
    used = {name for step in steps if step.when is not None for name in step.when.names}
    return [f"{_USER}{name}" for name in counted.campaign.user_attributes if f"{_USER}{name}" in used]


def results(
    workshop: Workshop, snapshot: Snapshot, counted: CountedVersion, period: Period, told: str
) -> pa.Table:
    """Return the result of every user that a snapshot or `told` knows, sorted by user.

    Args:
        workshop: What to work with.
        snapshot: What is known of transactions.
        counted: The version.
        period: The counting period.
        told: A query for user_id and attributes (JSON), with one row for a user.

    Raises:
        CatalogMoved: the snapshot was made with another catalog.
    """
    key = version_key(counted)
    if key not in snapshot.figures:
        raise CatalogMoved("the campaigns changed meanwhile: run the command again")
    figures, relations = _files(workshop, list(snapshot.figures[key].values()), _NO_FIGURES), {}
    if not counted.counts(period.ordinal, period.ordinal):
        figures, relations = f'"{_PRUNED}"', {_PRUNED: _pruned_figures(workshop, snapshot, counted, period)}
    merged = _files(workshop, [name for names in snapshot.merged.values() for name in names], _NO_USERS)
    found = workshop.engine.query(
        f"""
        WITH "{ATTRIBUTES}" AS MATERIALIZED ({told}), "{FIGURES}" AS (SELECT * FROM {figures}),
        "{USERS}" AS ({users_sql([merged, f'"{ATTRIBUTES}"'])})
        SELECT * FROM ({standings_sql(counted, period.ordinal)}) ORDER BY "user_id"
        """,
        **relations,
    )
    renamed = {met_column(index): name for index, name in enumerate(step_columns(counted))}
    found = found.rename_columns([renamed.get(name, name) for name in found.column_names])
    texts = rate_texts(found.column(RATE), counted.version.reward)
    return found.append_column(RATE_PERCENT, texts).select(
        [
            "user_id",
            *measure_columns(counted),
            *attribute_columns(counted),
            *step_columns(counted),
            RATE_PERCENT,
        ]
    )


def _pruned_figures(
    workshop: Workshop, snapshot: Snapshot, counted: CountedVersion, period: Period
) -> pa.Table:
    """Return the figures of a period that is no longer kept: from the transactions, as none are counted."""
    again = replace(counted, periods=(period.ordinal, period.ordinal))
    parts = [FIGURES_SCHEMA.empty_table()]
    for partition, names in snapshot.merged.items():
        workshop.engine.read_merged(workshop.snapshots.paths(names))
        parts.append(
            workshop.engine.figures(
                [again],
                counted.campaign.attributes,
                whole=True,
                disowned=snapshot.disowned.get(partition, []),
            )
        )
    return pa.concat_tables(parts)


def frozen_attributes(counted: CountedVersion, results_relation: str) -> str:
    """Return the query for users' attributes as they are in results, for `results`."""
    values = ", ".join(f"""'{name.removeprefix(_USER)}', "{name}\"""" for name in attribute_columns(counted))
    return f'SELECT "user_id", CAST(json_object({values}) AS VARCHAR) AS "attributes" FROM {results_relation}'


_NO_FIGURES: Final = (
    '(SELECT NULL::VARCHAR AS "user_id", 0 AS "series", 0 AS "period", 0::UBIGINT AS "token",'
    ' 0::BIGINT AS "value" WHERE FALSE)'
)
_NO_USERS: Final = '(SELECT NULL::VARCHAR AS "user_id" WHERE FALSE)'


def _files(workshop: Workshop, names: Sequence[str], nothing: str) -> str:
    return parquet(workshop.snapshots.paths(names)) if names else nothing
