"""The batch engine of a cluster: Spark, all partitions of the log in one job.

The SQL is that of `rung.batch.sql` and `rung.plan.compile`, in Spark's dialect (`rung.batch.spark.sql`).
Where DuckDB takes one partition after another, here the partition is a part of what names a row: a
transaction is (partition, transaction_id), and the owner of a figure is (partition, user_id). So the text is
the same.

Executors read the lake's files and write what they make to a folder; the driver reads it from there, one
partition after another, and fetches nothing else but contested claims and transactions with a conflict.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from py4j.protocol import Py4JError
from pyspark import StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from rung.batch import sql
from rung.batch.claims import Claim, contested_claims
from rung.batch.duck import Resolve, Span
from rung.batch.files import FIGURES_SCHEMA, MERGED_SCHEMA, parquet, store_merged
from rung.batch.spark.session import SparkFailed, said
from rung.batch.spark.sql import to_spark
from rung.campaign.catalog import CountedVersion
from rung.campaign.model import AttributeType
from rung.lake.port import LakeDamaged
from rung.lake.rows import TRANSACTION
from rung.plan.compile import HISTORIES

_LAKE: Final = "lake"
_JUDGED: Final = "judged"
_LAKE_COLUMNS: Final = (
    "partition INT, offset BIGINT, appended_at TIMESTAMP, kind STRING, transaction_id STRING, user_id STRING,"
    " status ARRAY<TINYINT>, at ARRAY<BIGINT>, amount ARRAY<BIGINT>, attributes STRING"
)
_MERGED_COLUMNS: Final = (
    "transaction_id STRING, user_id STRING, attributes STRING, status ARRAY<TINYINT>, at ARRAY<BIGINT>,"
    " amount ARRAY<BIGINT>, before BIGINT, partition INT"
)
_KEPT: Final = "user_id, attributes, status, at, amount"
_NAMED: Final = "struct(partition, transaction_id) AS transaction_id"
_NO_EVENTS: Final = pa.table({"partition": pa.array([], pa.int32()), "offset": pa.array([], pa.int64())})
_SHUFFLED_BYTES: Final = 32 << 20
"""About how much of the lake's files one task takes; they are compressed."""
_FILE_FAULTS: Final = ("PATH_NOT_FOUND", "FAILED_READ_FILE")


class SparkEngine:
    """Merges and counts the events of all partitions in a session. For one thread, and one aggregation."""

    def __init__(self, session: SparkSession, folder: Path) -> None:
        """Use a session, and an empty folder that its executors see under the same path."""
        self._session = session
        self._folder = folder
        self._kept: list[DataFrame] = []

    def read(self, spans: Sequence[Span]) -> None:
        """Take the files of spans, one span for each partition; they begin with the first event."""
        files = [file for span in spans for file in span.files]
        self._spread(files)
        ends = ", ".join(f"({span.partition}, {span.end})" for span in spans)
        if files:
            # A file's folders are its day and its partition.
            root = files[0].rsplit("/", 3)[0]
            reader = self._session.read.schema(_LAKE_COLUMNS).option("basePath", root)
            with _reading():
                reader.parquet(*files).createOrReplaceTempView("files")
        else:
            self._given("files", _NO_EVENTS, _LAKE_COLUMNS)
        self._view(
            _LAKE,
            f"""SELECT f.* FROM files f JOIN (VALUES {ends}) AS s (partition, end)
            ON f.partition = s.partition AND f.offset < s.end WHERE f.kind = '{TRANSACTION}'""",
        )
        self._judge(spans)
        self._view(sql.EVENTS, f"SELECT {_NAMED}, offset, {_KEPT} FROM {_JUDGED}")
        self._view(sql.KNOWN, f"SELECT * FROM {sql.EVENTS} WHERE FALSE")

    def _judge(self, spans: Sequence[Span]) -> None:
        """Leave out events that were rejected because an attribute was not of its declared type."""
        types = {name: one.type for span in spans[:1] for name, one in span.declared.attributes.items()}
        kept = f"SELECT * FROM {_LAKE}"
        if types:
            columns = '"partition", "attributes"'
            self._computed(sql.TEXTS, sql.texts(f'"{_LAKE}"', columns, types))
            afters = {name: f'CASE "partition" {_whens(spans, name)} END' for name in types}
            with _reading():
                misfits = self._session.sql(to_spark(sql.misfits(columns, afters)).query).toArrow()
            self._drop_kept()
            if misfits.num_rows:
                self._given("misfits", misfits, "partition INT, attributes STRING, after BIGINT")
                kept += """ e LEFT ANTI JOIN misfits m ON e.partition = m.partition
                AND e.attributes = m.attributes AND e.offset > m.after"""
        self._view(_JUDGED, kept)

    def contested(self) -> list[Claim]:
        """Return the claims of all transactions of which events stand in more than one partition."""
        self._view(
            sql.CLAIMS,
            f"""SELECT transaction_id, partition, user_id, unix_micros(appended_at) AS appended_at
            FROM {_JUDGED}""",
        )
        self._computed(sql.CLAIMED, sql.claimed())
        with _reading():
            rows = self._session.sql(to_spark(sql.contested()).query).collect()
        return contested_claims(sorted(Claim(*row) for row in rows))

    def merge(self, resolve: Resolve) -> dict[int, Mapping[int, str]]:
        """Merge all transactions.

        Returns:
            For each partition that has any, the reason code of each event that fits nothing before it, by
            its offset.
        """
        self._computed(sql.REPEATED, sql.repeated())
        self._computed(sql.SEVERAL, sql.several())
        self._computed(sql.LONGEST, sql.longest())
        self._computed(sql.CONFLICTING, sql.conflicting())
        rejected = self._resolve(resolve)
        self._view(sql.MERGED, to_spark(sql.merged()).query)
        flat = self._session.sql(
            f"""SELECT transaction_id.transaction_id AS transaction_id, {_KEPT},
            CAST(before AS BIGINT) AS before, transaction_id.partition AS partition FROM {sql.MERGED}"""
        )
        self._write(flat, "merged")
        self._drop_kept()
        self._read_merged()
        return rejected

    def write_merged(self, partition: int, path: Path) -> int:
        """Write a partition's merged transactions to a file, and return how many there are."""
        with duckdb.connect() as connection:
            # Whatever Spark has made: one file without rows gives the columns their types.
            connection.register("nothing", MERGED_SCHEMA.empty_table())
            parts = self._parts("merged", partition)
            found = f"UNION ALL BY NAME SELECT * FROM {parquet(parts)}" if parts else ""
            store_merged(connection, f'(SELECT * FROM "nothing" {found})', path)
        return pq.read_metadata(path).num_rows

    def count(
        self,
        counted: CountedVersion,
        attributes: Mapping[str, AttributeType],
        disowned: Mapping[int, Sequence[str]],
    ) -> None:
        """Compute the figures of a version for all partitions; `figures` reads them.

        Args:
            counted: The version.
            attributes: The declared attributes of transactions.
            disowned: For each partition, the transactions that another user, of another one, claimed first.
        """
        ids = [(partition, one) for partition, found in disowned.items() for one in found]
        table = {
            "partition": pa.array([partition for partition, _ in ids], pa.int32()),
            "transaction_id": pa.array([one for _, one in ids], pa.string()),
        }
        self._given("disowned", pa.table(table), "partition INT, transaction_id STRING")
        self._view(
            "owned",
            """SELECT m.* FROM merged_files m LEFT ANTI JOIN disowned d
            ON m.partition = d.partition AND m.transaction_id = d.transaction_id""",
        )
        owner = 'struct("partition", "user_id")'
        self._view(HISTORIES, to_spark(sql.histories("owned", attributes, owner)).query)
        staged = to_spark(sql.summed(f"({sql.figures(counted, whole=True)})"))
        for name, query in staged.relations:
            self._keep(name, query)
        self._view("summed", staged.query)
        flat = self._session.sql(
            """SELECT user_id.user_id AS user_id, CAST(series AS INT) AS series,
            CAST(period AS INT) AS period, CAST(token AS BIGINT) AS token, value,
            user_id.partition AS partition FROM summed"""
        )
        self._write(flat, "figures")
        self._drop_kept()

    def figures(self, partition: int) -> pa.Table:
        """Return a partition's figures of the version that was counted last, sorted as DuckDB's are."""
        parts = [pq.read_table(part) for part in self._parts("figures", partition)]
        if not parts:
            return FIGURES_SCHEMA.empty_table()
        found = pa.concat_tables(parts)
        # Spark has no unsigned integers: the 64 bits are the same.
        token = pc.cast(found.column("token"), pa.uint64(), safe=False)
        columns = {**{name: found.column(name) for name in FIGURES_SCHEMA.names}, "token": token}
        figures = pa.table(columns).cast(FIGURES_SCHEMA)
        return figures.sort_by([(name, "ascending") for name in ("user_id", "series", "period", "token")])

    def _resolve(self, resolve: Resolve) -> dict[int, Mapping[int, str]]:
        """Merge transactions with a conflict here, and give them back as the relation `resolved`."""
        with _reading():
            rows = self._session.sql(
                f"""SELECT e.transaction_id.partition AS partition, e.transaction_id.transaction_id
                  AS transaction_id, offset, {_KEPT}
                FROM {sql.SEVERAL} e LEFT SEMI JOIN {sql.CONFLICTING} c
                ON e.transaction_id = c.transaction_id"""
            ).toArrow()
        rejected: defaultdict[int, Mapping[int, str]] = defaultdict(dict[int, str])
        parts = [_with_partition(MERGED_SCHEMA.empty_table(), 0)]
        for partition in sorted(pc.unique(rows.column("partition")).to_pylist()):
            found = resolve(rows.filter(pc.field("partition") == partition).drop_columns(["partition"]))
            rejected[partition] = found.rejected
            parts.append(_with_partition(found.merged, partition))
        self._given("resolved_rows", pa.concat_tables(parts), _MERGED_COLUMNS)
        self._view(sql.RESOLVED, f"SELECT {_NAMED}, {_KEPT}, before FROM resolved_rows")
        return dict(rejected)

    def _given(self, name: str, table: pa.Table, columns: str) -> None:
        """Make a relation of rows from here: they reach the executors as a file."""
        path = self._folder / f"{name}.parquet"
        pq.write_table(table, path)
        self._session.read.schema(columns).parquet(path.as_uri()).createOrReplaceTempView(name)

    def _read_merged(self) -> None:
        folder = (self._folder / "merged").as_uri()
        self._session.read.schema(_MERGED_COLUMNS).parquet(folder).createOrReplaceTempView("merged_files")

    def _spread(self, files: Sequence[str]) -> None:
        """Choose into how many parts rows are shuffled: a few for what is small, more for what is large."""
        size = sum(Path(file).stat().st_size for file in files if Path(file).exists())
        parts = max(self._session.sparkContext.defaultParallelism, size // _SHUFFLED_BYTES)
        self._session.conf.set("spark.sql.shuffle.partitions", str(parts))

    def _computed(self, name: str, text: str) -> None:
        self._keep(name, to_spark(text).query)

    def _keep(self, name: str, query: str) -> None:
        """Make a relation that is computed once, and spilt to disk where it does not fit into memory."""
        with _reading():
            frame = self._session.sql(query).persist(StorageLevel.MEMORY_AND_DISK)
            frame.createOrReplaceTempView(name)
        self._kept.append(frame)

    def _view(self, name: str, query: str) -> None:
        with _reading():
            self._session.sql(query).createOrReplaceTempView(name)

    def _drop_kept(self) -> None:
        """Forget the relations that were computed once."""
        for frame in self._kept:
            frame.unpersist()
        self._kept.clear()

    def _write(self, frame: DataFrame, name: str) -> None:
        with _reading():
            folder = (self._folder / name).as_uri()
            frame.write.mode("overwrite").partitionBy("partition").parquet(folder)

    def _parts(self, name: str, partition: int) -> list[Path]:
        return sorted((self._folder / name / f"partition={partition}").glob("*.parquet"))


def _whens(spans: Sequence[Span], name: str) -> str:
    """Return the offset behind which an attribute is declared, for each partition."""
    return " ".join(f"WHEN {span.partition} THEN {span.declared.attributes[name].after}" for span in spans)


def _with_partition(merged: pa.Table, partition: int) -> pa.Table:
    return merged.append_column("partition", pa.array([partition] * merged.num_rows, pa.int32()))


@contextmanager
def _reading() -> Generator[None]:
    try:
        yield
    except (PySparkException, Py4JError) as error:
        text = said(error)
        if any(f"[{fault}" in text for fault in _FILE_FAULTS):
            raise LakeDamaged(f"a file of the lake cannot be read: {text}") from error
        raise SparkFailed(f"Spark could not do it: {text}") from error
