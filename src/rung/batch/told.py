"""What the lake was told of users: the attributes with the highest sequence."""

from __future__ import annotations

from collections.abc import Mapping

from rung.batch.duck import DuckEngine
from rung.campaign.catalog import Catalog
from rung.lake.port import LakeState
from rung.lake.rows import USER_ATTRIBUTES


def told_sql(engine: DuckEngine, lake: LakeState, catalog: Catalog, ends: Mapping[int, int]) -> str:
    """Return the query for the last attributes of each user in the lake: user_id, sequence, attributes.

    Args:
        engine: Who will be asked it.
        lake: The lake.
        catalog: What is declared: events with another type are rejected.
        ends: For each partition of interest, the offset before which events are looked at.
    """
    parts = [
        f"""SELECT "user_id", "sequence", "attributes", "offset" FROM {
            engine.events(
                USER_ATTRIBUTES,
                [file.path for file in files],
                catalog.declarations(partition),
                f'"offset" < {end}',
            )
        }"""
        for partition, end in ends.items()
        if (files := lake.of_partition(partition, 0, end))
    ]
    if not parts:
        return (
            'SELECT NULL::VARCHAR AS "user_id", 0::BIGINT AS "sequence", NULL::VARCHAR AS "attributes"'
            " WHERE FALSE"
        )
    # Of two with one sequence the first counts: the other one is quarantined.
    return f"""
SELECT "user_id", "sequence", "attributes" FROM ({" UNION ALL ".join(parts)})
QUALIFY row_number() OVER (PARTITION BY "user_id" ORDER BY "sequence" DESC, "offset") = 1
"""
