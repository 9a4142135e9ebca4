"""The relational text of the batch layer, in DuckDB's dialect; other engines get it transpiled.

    events      transaction_id, user_id, "offset", status, "at", amount, attributes
                new events of one partition's transactions
    known       the same columns: the merged histories, so far, of transactions that have new events
    merged      transaction_id, user_id, attributes, before, status, "at", amount
                one row for each transaction whose history grew; `before` steps of it were known
    figures     owner, series, period, token, value
    told_texts  attributes, "value.NAME" of each declared one
                one row for each text of attributes; computed by itself, so that each is looked at once
    claims      transaction_id, "partition", user_id, appended_at
                one row for each event, of all partitions; users contest what stands in more than one

Merging is the law of `rung.transaction.merge` on relations. Most transactions have one event, which is then
what is kept: they are told from the others by a set of hashes, and never grouped. Of several events the
longest is kept, if all others are prefixes of it. What does not fit is left out here (`conflicting`), and
merged event by event in the order of the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rung.campaign.catalog import CountedVersion
from rung.campaign.model import AttributeType, MeasureKind
from rung.plan.compile import attribute_column, compile_version
from rung.transaction.attributes import INTEGER_MAX

EVENTS: Final = "events"
KNOWN: Final = "known"
REPEATED: Final = "repeated"
SEVERAL: Final = "several"
LONGEST: Final = "longest"
CONFLICTING: Final = "conflicting"
MERGED: Final = "merged"
TEXTS: Final = "told_texts"
CLAIMS: Final = "claims"
CLAIMED: Final = "claimed"
RESOLVED: Final = "resolved"
"""Merged transactions with a conflict, which the caller provides; with the columns of `merged`."""

_JSON: Final = """CAST(json_extract(told, '$."' || name || '"') AS VARCHAR)"""
_NUMBER: Final = f"TRY_CAST({_JSON} AS BIGINT)"
FUNCTIONS: Final = {
    "attribute_string": f"""CASE WHEN starts_with({_JSON}, '"') THEN json_extract_string({_JSON}, '$') END""",
    # A number with a fraction or an exponent is no integer: it is written otherwise.
    "attribute_integer": f"""CASE WHEN CAST({_NUMBER} AS VARCHAR) = {_JSON}
  AND {_NUMBER} BETWEEN -{INTEGER_MAX} AND {INTEGER_MAX} THEN {_NUMBER} END""",
    "attribute_boolean": f"CASE {_JSON} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END",
}
"""What an engine has to know, as DuckDB's macros of (told, name): a text of attributes and one's name.

They give the attribute's value, and NULL for one of another type, as `rung.transaction.attributes` reads it.
"""

_NEVER: Final = 2**63 - 1

NO_EVENTS: Final = (
    'SELECT NULL::VARCHAR AS "transaction_id", 0::BIGINT AS "offset", NULL::VARCHAR AS "user_id",'
    ' NULL::VARCHAR AS "attributes", NULL::TINYINT[] AS "status", NULL::BIGINT[] AS "at",'
    ' NULL::BIGINT[] AS "amount" WHERE FALSE'
)
NO_CLAIMS: Final = (
    'SELECT NULL::VARCHAR AS "transaction_id", 0 AS "partition", NULL::VARCHAR AS "user_id",'
    ' 0::BIGINT AS "appended_at" WHERE FALSE'
)

_KEPT: Final = ("user_id", "attributes", "status", "at", "amount")
_COLUMNS: Final = ", ".join(f'"{name}"' for name in _KEPT)
_FITS: Final = " AND ".join(
    [
        'e."user_id" = w."user_id"',
        'e."attributes" = w."attributes"',
        *(f'e."{name}" = w."{name}"[1:len(e."status")]' for name in ("status", "at", "amount")),
    ]
)


def claimed() -> str:
    """Return the query for the hashes of transactions that may stand in more than one partition."""
    return f"""
SELECT hash("transaction_id") AS "h" FROM "{CLAIMS}" GROUP BY hash("transaction_id")
HAVING min("partition") <> max("partition")
"""


def contested() -> str:
    """Return the query for the first claim of each user on each of those transactions, sorted."""
    return f"""
SELECT "transaction_id", "partition", "user_id", min("appended_at") AS "appended_at"
FROM "{CLAIMS}" c SEMI JOIN "{CLAIMED}" t ON hash(c."transaction_id") = t."h"
GROUP BY "transaction_id", "partition", "user_id" ORDER BY "transaction_id", "partition", "user_id"
"""


def repeated() -> str:
    """Return the query for the hashes of transactions that have more than one event, known ones included."""
    return f"""
SELECT hash("transaction_id") AS "h" FROM "{EVENTS}" GROUP BY hash("transaction_id") HAVING count(*) > 1
UNION SELECT hash("transaction_id") AS "h" FROM "{KNOWN}"
"""


def several() -> str:
    """Return the query for all events of those transactions; what is known is an event with "offset" -1."""
    return f"""
SELECT e."transaction_id", e."offset", {_COLUMNS} FROM "{EVENTS}" e
SEMI JOIN "{REPEATED}" r ON hash(e."transaction_id") = r."h"
UNION ALL SELECT "transaction_id", -1 AS "offset", {_COLUMNS} FROM "{KNOWN}"
"""


def longest() -> str:
    """Return the query for the longest history of each transaction of `several`, and how long it was."""
    kept = ", ".join(f'any_value(e."{name}") AS "{name}"' for name in _KEPT)
    return f"""
SELECT e."transaction_id", any_value(m."before") AS "before", {kept}
FROM "{SEVERAL}" e JOIN (
  SELECT "transaction_id", max(len("status")) AS "steps",
    coalesce(max(CASE WHEN "offset" < 0 THEN len("status") END), 0) AS "before"
  FROM "{SEVERAL}" GROUP BY "transaction_id"
) m ON e."transaction_id" = m."transaction_id" AND len(e."status") = m."steps"
GROUP BY e."transaction_id"
"""


def conflicting() -> str:
    """Return the query for the transactions of `several` of which some event does not fit the longest."""
    return f"""
SELECT DISTINCT e."transaction_id"
FROM "{SEVERAL}" e JOIN "{LONGEST}" w ON e."transaction_id" = w."transaction_id"
WHERE NOT ({_FITS})
"""


def merged() -> str:
    """Return the query for the transactions whose history grew."""
    return f"""
SELECT "transaction_id", {_COLUMNS}, 0 AS "before" FROM "{EVENTS}" e
ANTI JOIN "{REPEATED}" r ON hash(e."transaction_id") = r."h"
UNION ALL
SELECT w."transaction_id", {_COLUMNS}, "before" FROM "{LONGEST}" w
ANTI JOIN "{CONFLICTING}" c ON w."transaction_id" = c."transaction_id" WHERE len("status") > "before"
UNION ALL
SELECT "transaction_id", {_COLUMNS}, "before" FROM "{RESOLVED}"
"""


def stored(source: str) -> str:
    """Return the query for what a file holds of merged transactions.

    The hashes are stored, since looking for a few ids among many is mostly reading ids: a hash is read in a
    fifth of the time.
    """
    return (
        f"""SELECT "transaction_id", {_COLUMNS}, "before", hash("transaction_id") AS "hash" FROM {source}"""
    )


def longest_of(base: str, grown: str) -> str:
    """Return the query for the merged transactions of parts: a base, and parts of those that grew after it.

    The longest history of a transaction is the last one.
    """
    kept = ", ".join(f'any_value(p."{name}") AS "{name}"' for name in _KEPT)
    hashes = f'(SELECT DISTINCT "hash" FROM {grown})'
    return f"""
WITH "touched" AS (
  SELECT "transaction_id", {_COLUMNS} FROM {base} b SEMI JOIN {hashes} g ON b."hash" = g."hash"
  UNION ALL SELECT "transaction_id", {_COLUMNS} FROM {grown}
)
SELECT "transaction_id", {_COLUMNS}, 0 AS "before" FROM {base} b
ANTI JOIN {hashes} g ON b."hash" = g."hash"
UNION ALL
SELECT p."transaction_id", {kept}, 0 AS "before" FROM "touched" p JOIN (
  SELECT "transaction_id", max(len("status")) AS "steps" FROM "touched" GROUP BY "transaction_id"
) m ON p."transaction_id" = m."transaction_id" AND len(p."status") = m."steps" GROUP BY p."transaction_id"
"""


def summed(rows: str) -> str:
    """Return the query for the sums of figures, sorted; those that are zero are left out."""
    return f"""
SELECT "owner" AS "user_id", "series", "period", "token", CAST(sum("value") AS BIGINT) AS "value"
FROM ({rows}) GROUP BY "owner", "series", "period", "token" HAVING sum("value") <> 0
ORDER BY "user_id", "series", "period", "token"
"""


def histories(relation: str, attributes: Mapping[str, AttributeType], owner: str = '"user_id"') -> str:
    """Return the query for the relation that plans read, of merged transactions; the owner is the user."""
    columns = "".join(
        f", {attribute_sql(name, kind)} AS {_quoted(attribute_column(name))}"
        for name, kind in attributes.items()
    )
    return f"""
SELECT {owner} AS "owner", "before", CAST(len("status") AS BIGINT) AS "after",
  "status", "at", "amount"{columns}
FROM "{relation}"
"""


def attribute_sql(name: str, kind: AttributeType, told: str = '"attributes"') -> str:
    """Return an attribute's value: NULL if it is absent, or of another type than is declared by now."""
    return f"attribute_{kind.value}({told}, '{name}')"


def texts(relation: str, columns: str, declared: Mapping[str, AttributeType]) -> str:
    """Return the query for `told_texts`: distinct columns, `attributes` among them, and the values in it."""
    values = "".join(f', {attribute_sql(name, kind)} AS "value.{name}"' for name, kind in declared.items())
    return f"""SELECT *{values} FROM (SELECT DISTINCT {columns} FROM {relation})"""


def misfits(columns: str, afters: Mapping[str, str]) -> str:
    """Return the query for those of the relation `told_texts` with a value that is not of its declared type.

    Args:
        columns: The columns that are distinct in it.
        afters: For each attribute, SQL for the offset behind which it is declared.

    Returns:
        A query for these columns, and `after`: behind that offset an event with them is rejected.
    """
    found = ", ".join(
        f"""CASE WHEN "value.{name}" IS NOT NULL THEN {_NEVER}
    WHEN json_extract("attributes", '$."{name}"') IS NOT NULL THEN {after} ELSE {_NEVER} END"""
        for name, after in afters.items()
    )
    return f"""
SELECT * FROM (SELECT {columns}, least({found}, {_NEVER}) AS "after" FROM "{TEXTS}")
WHERE "after" < {_NEVER}
"""


def figures(counted: CountedVersion, *, whole: bool, periods: tuple[int, int] | None = None) -> str:
    """Return the query for what merged transactions add to a version's figures.

    Args:
        counted: The version.
        whole: Whether `before` is 0 in every row.
        periods: The first and the last period wanted, both included; None is all that it counts.
    """
    plan = compile_version(counted, whole=whole, periods=periods)
    tokens = [f"token.{series}" for series, kind in plan.series if kind is MeasureKind.DISTINCT]
    keys = ", ".join(f'"{name}"' for name in ("owner", "period", *tokens))
    sums = ", ".join(f'sum("value.{series}") AS "value.{series}"' for series, _ in plan.series)
    parts = [
        f"""SELECT "owner", {series} AS "series", "period",
  {f'"token.{series}"' if kind is MeasureKind.DISTINCT else "0"} AS "token", "value.{series}" AS "value"
FROM "sums" WHERE "value.{series}" <> 0"""
        for series, kind in plan.series
    ]
    return f"""
WITH "sums" AS MATERIALIZED (SELECT {keys}, {sums} FROM ({plan.sql}) GROUP BY {keys})
{" UNION ALL ".join(parts)}
"""


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
