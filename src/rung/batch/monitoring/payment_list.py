"""Reads the payment system's own list of transactions: Parquet, CSV or PostgreSQL.

A row is one transaction, in one of two forms:

    transaction_id, user_id, history [, attributes]      history: JSON as in events, all steps; or in Parquet
                                                         a list of {status, at, amount}
    transaction_id, user_id, status, at, amount          the latest step only

`at` of a latest step is a time with its offset, or microseconds since the epoch; amounts are whole minor
units. What a row tells of another day is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from rung.batch.duck import DuckEngine
from rung.batch.files import parquet
from rung.lake.rows import TRANSACTION, rows_of
from rung.log.port import Slice
from rung.transaction.history import AMOUNT_MAX, STATUSES

if TYPE_CHECKING:
    from rung.campaign.catalog import Catalog
from rung.campaign.declared import Declared

COLUMNS: Final = ("transaction_id", "user_id", "history", "attributes", "status", "at", "amount")
POSTGRES: Final = ("postgresql://", "postgres://")
_KEYS: Final = ("transaction_id", "user_id")
_LATEST: Final = ("status", "at", "amount")
_TIME: Final = r"[0-9]{2}:[0-9]{2}.*(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"


class ListUnreadable(Exception):
    """The list cannot be read or has another form; the text names the place and the fix."""


@dataclass(frozen=True, slots=True)
class PaymentList:
    """A list that was read.

    Attributes:
        rows: transaction_id, user_id, attributes (JSON, null where they are not told), status, at, amount
            (lists), history (JSON, null where only the latest step is told).
        unreadable: The rows that no event could tell: transaction_id, user_id, reason.
        whole: Whether histories are whole.
    """

    rows: pa.Table
    unreadable: pa.Table
    whole: bool


def read_list(
    engine: DuckEngine,
    catalog: Catalog,
    against: str,
    query: str | None,
    names: Mapping[str, str],
    folder: Path,
) -> PaymentList:
    """Read a list.

    Args:
        engine: What reads files.
        catalog: What attributes are declared.
        against: A Parquet or CSV file, or how to reach a PostgreSQL server (`postgresql://...`).
        query: What to read from the server: a table's name, or a query.
        names: What a column of `COLUMNS` is called there, where it has another name.
        folder: Where a file may be written meanwhile.

    Raises:
        ListUnreadable: it cannot be read, a column is missing, or a transaction stands there twice.
    """
    if against.startswith(POSTGRES):
        path = folder / "list.csv"
        _copy_from_postgres(against, query, path)
        try:
            return _read_relation(engine, catalog, _csv(path), names)
        finally:
            path.unlink()
    if query is not None:
        raise ListUnreadable("--query belongs to a server (--against postgresql://...), not to a file")
    path = Path(against)
    if not path.is_file():
        raise ListUnreadable(f"{against}: no such file; a server is named as postgresql://USER@HOST/DATABASE")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".parquet"]:
        return _read_relation(engine, catalog, parquet([path]), names)
    if ".csv" in suffixes[-2:]:
        return _read_relation(engine, catalog, _csv(path), names)
    raise ListUnreadable(f"{against}: neither .parquet nor .csv (also .csv.gz, .csv.zst)")


def _csv(path: Path) -> str:
    text = str(path).replace("'", "''")
    return f"read_csv('{text}', all_varchar = true, header = true, nullstr = '')"


def _read_relation(
    engine: DuckEngine, catalog: Catalog, relation: str, names: Mapping[str, str]
) -> PaymentList:
    found = engine.query(f"SELECT * FROM {relation} LIMIT 0").schema.names
    called = {column: names.get(column, column) for column in COLUMNS}
    for column, name in names.items():
        if name not in found:
            raise ListUnreadable(f"--column {column}={name}: there is no such column; {_there_are(found)}")
    whole = called["history"] in found
    needed = (*_KEYS, "history") if whole else (*_KEYS, *_LATEST)
    missing = [called[column] for column in needed if called[column] not in found]
    if missing:
        raise ListUnreadable(
            f"the list has no column {', '.join(missing)}: it needs {', '.join(_KEYS)}, and history or "
            f"{', '.join(_LATEST)}; {_there_are(found)}. Other names are told with --column history=NAME"
        )
    told = {column: _quoted(called[column]) for column in COLUMNS if called[column] in found}
    keys = ", ".join(f'CAST({told[one]} AS VARCHAR) AS "{one}"' for one in _KEYS)
    _refuse_twice(engine, relation, told["transaction_id"])
    if whole:
        return _whole(engine, catalog, f"SELECT {keys}, {_json(told)} FROM {relation}")
    return _latest(engine, relation, keys, told)


def _json(told: Mapping[str, str]) -> str:
    """Return history and attributes as JSON texts, whatever the list has them as."""
    attributes = told.get("attributes", "NULL")
    return (
        f"CASE WHEN typeof({told['history']}) IN ('VARCHAR', 'JSON') THEN CAST({told['history']} AS VARCHAR)"
        f' ELSE CAST(to_json({told["history"]}) AS VARCHAR) END AS "history",'
        f' CAST({attributes} AS VARCHAR) AS "attributes"'
    )


def _whole(engine: DuckEngine, catalog: Catalog, rows: str) -> PaymentList:
    """Read whole histories as the events that would tell them, by the events' own rules."""
    # What is no JSON becomes a string, which is refused as one.
    fields = {
        "transaction_id": 'to_json("transaction_id")',
        "user_id": 'to_json("user_id")',
        "attributes": _json_or_string("attributes"),
        "history": _json_or_string("history"),
    }
    text = " || ',' || ".join(f"""'"{name}":' || coalesce({told}, 'null')""" for name, told in fields.items())
    found = engine.query(
        f"""SELECT *, '{{' || {text} || '}}' AS "payload" FROM ({rows}) ORDER BY "transaction_id" """
    )
    payloads = [text.encode() for text in found.column("payload").to_pylist()]
    declared = Declared(catalog.attributes, catalog.user_attributes)
    events = rows_of([Slice(0, 0, payloads, 0)], 1, declared)
    relations = {"told": found, "events": events}
    sides = (
        'FROM (SELECT *, row_number() OVER (ORDER BY "transaction_id") - 1 AS "row" FROM "told") t'
        ' JOIN "events" e ON e."offset" = t."row"'
    )
    columns = ", ".join(f'e."{one}"' for one in (*_KEYS, *_LATEST))
    return PaymentList(
        engine.query(
            f"""SELECT {columns}, t."history",
              CASE WHEN t."attributes" IS NOT NULL THEN e."attributes" END AS "attributes"
            {sides} WHERE e."kind" = '{TRANSACTION}'""",
            **relations,
        ),
        engine.query(
            f"""SELECT t."transaction_id", t."user_id",
              coalesce(e."reason" || ': ' || e."detail", 'it is no transaction') AS "reason"
            {sides} WHERE e."kind" <> '{TRANSACTION}' ORDER BY t."transaction_id" """,
            **relations,
        ),
        whole=True,
    )


def _json_or_string(column: str) -> str:
    return f'CASE WHEN json_valid("{column}") THEN "{column}" ELSE to_json("{column}") END'


def _latest(engine: DuckEngine, relation: str, keys: str, told: Mapping[str, str]) -> PaymentList:
    """Read latest steps; one that cannot be read has a reason."""
    status, at, amount = (f"CAST({told[one]} AS VARCHAR)" for one in _LATEST)
    statuses = ", ".join(f"'{status}'" for status in STATUSES)
    read = f"""SELECT {keys},
      CAST(list_position([{statuses}], {status}) - 1 AS TINYINT) AS "status",
      CASE WHEN regexp_full_match({at}, '-?[0-9]+') THEN TRY_CAST({at} AS BIGINT)
        WHEN regexp_matches({at}, '{_TIME}') THEN epoch_us(TRY_CAST({at} AS TIMESTAMPTZ)) END AS "at",
      CASE WHEN regexp_full_match({amount}, '[0-9]{{1,13}}') AND CAST({amount} AS BIGINT) <= {AMOUNT_MAX}
        THEN CAST({amount} AS BIGINT) END AS "amount",
      {status} AS "status_told", {at} AS "at_told", {amount} AS "amount_told"
    FROM {relation}"""
    fine = '"user_id" IS NOT NULL AND "status" IS NOT NULL AND "at" IS NOT NULL AND "amount" IS NOT NULL'
    return PaymentList(
        engine.query(
            f"""SELECT "transaction_id", "user_id", NULL::VARCHAR AS "attributes", ["status"] AS "status",
              ["at"] AS "at", ["amount"] AS "amount", NULL::VARCHAR AS "history"
            FROM ({read}) WHERE {fine}"""
        ),
        engine.query(
            f"""SELECT "transaction_id", "user_id",
              CASE WHEN "user_id" IS NULL THEN 'missing_field: user_id: null'
                WHEN "status" IS NULL THEN 'unknown_status: status: ' || coalesce("status_told", 'null')
                WHEN "at" IS NULL THEN 'bad_time: at: ' || coalesce("at_told", 'null')
                  || ' (a time with its offset is due)'
                ELSE 'bad_amount: amount: ' || coalesce("amount_told", 'null')
                  || ' (whole minor units are due)' END AS "reason"
            FROM ({read}) WHERE NOT ({fine}) ORDER BY "transaction_id" """
        ),
        whole=False,
    )


def _refuse_twice(engine: DuckEngine, relation: str, column: str) -> None:
    found = engine.query(
        f"""SELECT CAST({column} AS VARCHAR) AS "id", count(*) AS "times" FROM {relation}
        GROUP BY 1 HAVING count(*) > 1 OR "id" IS NULL ORDER BY 1 LIMIT 1"""
    ).to_pylist()
    if not found:
        return
    if found[0]["id"] is None:
        raise ListUnreadable("the list has a row without a transaction_id")
    raise ListUnreadable(
        f"the list has transaction {found[0]['id']!r} {found[0]['times']} times: one row for each is due"
    )


def _copy_from_postgres(dsn: str, query: str | None, path: Path) -> None:
    try:
        import psycopg  # noqa: PLC0415 - an extra: it need not be there
        from psycopg import sql  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ListUnreadable(
            'a PostgreSQL list needs psycopg, which is not installed: run pip install "psycopg[binary]>=3.2" '
            "(the extra `postgres` of this package)"
        ) from error
    if query is None:
        raise ListUnreadable("say what to read from the server: --query TABLE, or --query 'SELECT ...'")
    if any(character.isspace() for character in query.strip()):
        chosen: sql.Composable = sql.SQL(query.strip().rstrip(";"))  # pyright: ignore[reportArgumentType]
    else:
        chosen = sql.SQL("SELECT * FROM {}").format(sql.Identifier(*query.strip().split(".")))
    try:
        with psycopg.connect(dsn, options="-c TimeZone=UTC -c DateStyle=ISO") as connection:
            connection.read_only = True
            with (
                connection.cursor() as cursor,
                cursor.copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, HEADER)").format(chosen)) as copied,
                path.open("wb") as file,
            ):
                for part in copied:
                    file.write(part)
    except psycopg.Error as error:
        raise ListUnreadable(f"the PostgreSQL server cannot be read: {str(error).strip()}") from error


def _there_are(found: list[str]) -> str:
    return f"there are: {', '.join(found)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
