"""The batch engine on one machine: DuckDB, one partition of the log after another.

A partition's transactions are all of its own users, so partitions need nothing of one another: memory is
bounded by the largest of them, however long the history is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import duckdb
import pyarrow as pa
import xxhash

from rung.batch import sql
from rung.batch.claims import Claim, contested_claims
from rung.batch.files import FIGURES_SCHEMA, MERGED_SCHEMA, parquet, store_merged
from rung.campaign.catalog import CountedVersion
from rung.campaign.declared import Declarations
from rung.campaign.model import AttributeType
from rung.lake.port import LakeDamaged
from rung.lake.rows import TRANSACTION, USER_ATTRIBUTES
from rung.plan.compile import HISTORIES

_EVENT_COLUMNS: Final = '"transaction_id", "offset", "user_id", "attributes", "status", "at", "amount"'


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the engine may take of the machine."""

    memory_limit: str
    threads: int
    spill_folder: Path


class Span(NamedTuple):
    """The events of one partition from one offset to just before another, and the files that hold them.

    They are judged by what is `declared` in the partition. `known` are the files of its merged transactions
    from before that. Of a user in `later`, events are taken up to just before an offset of its own, which is
    behind `end`.
    """

    partition: int
    first: int
    end: int
    files: Sequence[str]
    declared: Declarations
    known: Sequence[Path] = ()
    later: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Resolved:
    """What merging in the order of the log makes of transactions with a conflict.

    `merged` has the columns of `MERGED_SCHEMA`; `rejected` maps the offset of an event to its reason code.
    """

    merged: pa.Table
    rejected: Mapping[int, str] = field(default_factory=dict[int, str])


Resolve = Callable[[pa.Table], Resolved]
"""Merges events that do not fit one another: rows of `several`, in no order."""


class DuckEngine:
    """An open engine. For one thread."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, threads: int) -> None:
        """Take over a connection; make an engine with `open`."""
        self._connection = connection
        self.threads = threads

    @classmethod
    def open(cls, settings: EngineSettings) -> DuckEngine:
        """Open an engine; what does not fit into memory is spilt to the folder."""
        settings.spill_folder.mkdir(parents=True, exist_ok=True)
        connection = duckdb.connect(
            config={
                "memory_limit": settings.memory_limit,
                "threads": settings.threads,
                "temp_directory": str(settings.spill_folder),
                # Rows are sorted where their order matters.
                "preserve_insertion_order": False,
            }
        )
        for name, body in sql.FUNCTIONS.items():
            connection.execute(f"CREATE MACRO {name}(told, name) AS {body}")
        return cls(connection, settings.threads)

    def sibling(self) -> DuckEngine:
        """Return an engine for another thread: it shares memory and threads, and has its own relations."""
        return DuckEngine(self._connection.cursor(), self.threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the engine."""
        self._connection.close()

    def contested(self, spans: Sequence[Span], asked: Sequence[str] = ()) -> list[Claim]:
        """Return the claims of all transactions that are claimed in more than one partition.

        Of transactions without a new event, those are looked for that are `asked`.
        """
        found: list[Claim] = []
        # What is contested is seldom any, and the fewer if rejected events claim nothing: those come second.
        for judged in (False, True):
            self._claims_of(spans, asked, judged=judged)
            self._table(sql.CLAIMED, sql.claimed())
            if not self._count(sql.CLAIMED):
                return []
            found = contested_claims(Claim(*row) for row in self._rows(sql.contested()))
            if not found:
                break
        return found

    def merge(self, span: Span, resolve: Resolve) -> Mapping[int, str]:
        """Merge a span's transactions into the relation `merged`, until the next call.

        Returns:
            The reason code of each event that fits nothing before it, by its offset.
        """
        self._events_of(span)
        self._known_of(span)
        self._table(sql.REPEATED, sql.repeated())
        self._table(sql.SEVERAL, sql.several())
        self._table(sql.LONGEST, sql.longest())
        self._table(sql.CONFLICTING, sql.conflicting())
        resolved = Resolved(MERGED_SCHEMA.empty_table())
        if self._count(sql.CONFLICTING):
            rows = self._arrow(
                f'SELECT * FROM "{sql.SEVERAL}" SEMI JOIN "{sql.CONFLICTING}" USING ("transaction_id")'
            )
            resolved = resolve(rows)
        self._connection.register("resolved_rows", resolved.merged)
        self._table(sql.RESOLVED, 'SELECT * FROM "resolved_rows"')
        self._connection.unregister("resolved_rows")
        self._view(sql.MERGED, sql.merged())
        return resolved.rejected

    def write_merged(self, path: Path) -> int:
        """Write the relation `merged` to a file, read it from there from now on, and return its rows."""
        with _reading():
            store_merged(self._connection, f'"{sql.MERGED}"', path)
        self.read_merged([path])
        return self._count(sql.MERGED)

    def read_merged(self, paths: Sequence[Path]) -> None:
        """Make `merged` the last history of each transaction in files, the oldest of which comes first.

        With one file, `before` is what it was when the file was written; with several it is 0.
        """
        base, grown = parquet(paths[:1]), parquet(paths[1:])
        self._view(sql.MERGED, sql.longest_of(base, grown) if len(paths) > 1 else f"SELECT * FROM {base}")

    def figures(
        self,
        versions: Sequence[CountedVersion],
        attributes: Mapping[str, AttributeType],
        *,
        whole: bool,
        disowned: Sequence[str] = (),
        periods: tuple[int, int] | None = None,
        earlier: Sequence[Path] = (),
    ) -> pa.Table:
        """Return what the relation `merged` adds to the figures of versions, sorted, with the earlier ones.

        Args:
            versions: The versions.
            attributes: The declared attributes of transactions.
            whole: Whether every transaction counts from its first step on, and not from `before` on.
            disowned: Transactions that another user, of another partition, has claimed first.
            periods: The ordinals of the first and the last period wanted, both included.
            earlier: Files of figures to add to.
        """
        source = sql.MERGED
        if disowned:
            source = "owned"
            self._connection.register("disowned", pa.table({"id": pa.array(disowned, pa.string())}))
            self._view(
                source,
                f'SELECT m.* FROM "{sql.MERGED}" m ANTI JOIN "disowned" d ON m."transaction_id" = d."id"',
            )
        self._view(HISTORIES, sql.histories(source, attributes))
        parts = [f"({sql.figures(counted, whole=whole, periods=periods)})" for counted in versions]
        if earlier:
            parts.append(f'SELECT "user_id" AS "owner", * EXCLUDE "user_id" FROM {parquet(earlier)}')
        if not parts:
            return FIGURES_SCHEMA.empty_table()
        return self._arrow(sql.summed(" UNION ALL ".join(parts))).cast(FIGURES_SCHEMA)

    def added_figures(self, files: Sequence[Path], added: Sequence[pa.Table]) -> pa.Table:
        """Return the sums of the figures in files and in tables, sorted."""
        relations = {f"added_{index}": table for index, table in enumerate(added)}
        parts = [f'SELECT "user_id" AS "owner", * EXCLUDE "user_id" FROM "{name}"' for name in relations]
        if files:
            parts.append(f'SELECT "user_id" AS "owner", * EXCLUDE "user_id" FROM {parquet(files)}')
        if not parts:
            return FIGURES_SCHEMA.empty_table()
        return self.query(sql.summed(" UNION ALL ".join(parts)), **relations).cast(FIGURES_SCHEMA)

    def users_in(self, files: Sequence[Path]) -> list[str]:
        """Return the users of files, each once, in order."""
        if not files:
            return []
        return (
            self.query(f'SELECT DISTINCT "user_id" FROM {parquet(files)} ORDER BY "user_id"')
            .column("user_id")
            .to_pylist()
        )

    def events(self, kind: str, files: Sequence[str], declared: Declarations, within: str = "TRUE") -> str:
        """Return the events of a kind in files of one partition, as a relation of a query.

        Left out are those that were rejected because an attribute was not of its declared type. Each text of
        attributes is looked at once, and not each event.

        Args:
            kind: `TRANSACTION` or `USER_ATTRIBUTES`.
            files: The files.
            declared: What is declared in the partition.
            within: A condition on events `e`.
        """
        found = f"""(SELECT * FROM {parquet(files)} e WHERE "kind" = '{kind}' AND {within})"""
        judged = declared.user_attributes if kind == USER_ATTRIBUTES else declared.attributes
        if not judged:
            return found
        self._table(
            sql.TEXTS, sql.texts(found, '"attributes"', {name: one.type for name, one in judged.items()})
        )
        misfits = self._arrow(
            sql.misfits('"attributes"', {name: str(one.after) for name, one in judged.items()})
        )
        if not misfits.num_rows:
            return found
        # Named after what is in it: it stays as long as the engine, and comes but once.
        name = f"misfits_{xxhash.xxh3_128_hexdigest(repr(misfits.to_pylist()).encode())}"
        self._connection.register(name, misfits)
        return f"""(SELECT f.* FROM {found} f ANTI JOIN "{name}" m
          ON f."attributes" = m."attributes" AND f."offset" > m."after")"""

    def query(self, text: str, **relations: pa.Table) -> pa.Table:
        """Return the answer to a query, which finds tables under the names given, and files by `parquet`.

        Raises:
            LakeDamaged: a file cannot be read.
        """
        for name, table in relations.items():
            self._connection.register(name, table)
        try:
            return self._arrow(text)
        finally:
            for name in relations:
                self._connection.unregister(name)

    def _events_of(self, span: Span) -> None:
        if not span.files:
            self._view(sql.EVENTS, sql.NO_EVENTS)
            return
        until = f'"offset" < {span.end}'
        if span.later:
            users = pa.table(
                {
                    "user_id": pa.array(span.later.keys(), pa.string()),
                    "until": pa.array(span.later.values(), pa.int64()),
                }
            )
            self._connection.register("later", users)
            own = 'SELECT l."until" FROM "later" l WHERE l."user_id" = e."user_id"'
            until = f'("offset" < {span.end} OR "offset" < ({own}))'
        self._view(sql.EVENTS, f"SELECT {_EVENT_COLUMNS} FROM {self._new_events(span, until)}")

    def _new_events(self, span: Span, until: str, *, judged: bool = True) -> str:
        declared = span.declared if judged else Declarations({}, {})
        return self.events(TRANSACTION, span.files, declared, f'"offset" >= {span.first} AND {until}')

    def _known_of(self, span: Span) -> None:
        if not span.known:
            self._table(sql.KNOWN, sql.NO_EVENTS)
            return
        self._table("touched", f'SELECT DISTINCT hash("transaction_id") AS "hash" FROM "{sql.EVENTS}"')
        # By the number of the row: histories are then read of the rows wanted, and not of all.
        found = [
            f"""SELECT * EXCLUDE "hash" FROM {parquet([path])} WHERE "file_row_number" IN (
              SELECT "file_row_number" FROM {parquet([path])} k SEMI JOIN "touched" n USING ("hash"))"""
            for path in span.known
        ]
        self._table(sql.KNOWN, " UNION ALL ".join(found))

    def _claims_of(self, spans: Sequence[Span], asked: Sequence[str], *, judged: bool) -> None:
        """Make `claims` of all new events, and of what is known of their and other transactions anywhere."""
        new = [
            f"""SELECT "transaction_id", {span.partition} AS "partition", "user_id",
              epoch_us("appended_at") AS "appended_at"
            FROM {self._new_events(span, f'"offset" < {span.end}', judged=judged)}"""
            for span in spans
            if span.files
        ]
        self._view("new_claims", " UNION ALL ".join(new) or sql.NO_CLAIMS)
        self._connection.register("asked_claims", pa.table({"id": pa.array(asked, pa.string())}))
        known = [
            f"""SELECT "transaction_id", {span.partition} AS "partition", "user_id", -1 AS "appended_at"
            FROM {parquet(span.known)} SEMI JOIN "touched_claims" USING ("hash")"""
            for span in spans
            if span.known
        ]
        if not known:
            self._view(sql.CLAIMS, 'SELECT * FROM "new_claims"')
            return
        # A table, since all that is known is looked up in it, and a view would be made anew for each look.
        self._table(
            "touched_claims",
            """SELECT DISTINCT hash("transaction_id") AS "hash" FROM "new_claims"
            UNION SELECT hash("id") AS "hash" FROM "asked_claims" """,
        )
        self._view(sql.CLAIMS, " UNION ALL ".join(['SELECT * FROM "new_claims"', *known]))

    def _view(self, name: str, query: str) -> None:
        # A name may have been a table before: merged transactions are read from a query, or from files.
        self._rows(f'CREATE OR REPLACE TEMP VIEW "{name}" AS {query}')

    def _table(self, name: str, query: str) -> None:
        self._rows(f'CREATE OR REPLACE TEMP TABLE "{name}" AS {query}')

    def _count(self, name: str) -> int:
        return int(self._rows(f'SELECT count(*) FROM "{name}"')[0][0])

    def _rows(self, query: str) -> list[Any]:
        with _reading():
            return self._connection.execute(query).fetchall()

    def _arrow(self, query: str) -> pa.Table:
        with _reading():
            return self._connection.sql(query).to_arrow_table()


@contextmanager
def _reading() -> Generator[None]:
    try:
        yield
    except duckdb.Error as error:
        # What it cannot make sense of within a file is of no more special kind.
        if (
            isinstance(error, duckdb.IOException | duckdb.InvalidInputException)
            or type(error) is duckdb.Error
        ):
            raise LakeDamaged(
                f"a file of the lake, or made from it, cannot be read: {error}. `rung lake status --check` "
                "tells which files are not what was written; if a compaction has replaced it meanwhile, "
                "begin again"
            ) from error
        raise
