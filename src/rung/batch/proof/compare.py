"""Compare what a store holds with what the lake gives, for every user: which of them differ at all.

It is done on relations, and finds candidates; what is wrong with one is for `rung.batch.proof.examine` to
say, which looks at each as it is then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import xxhash

from rung.batch.duck import DuckEngine
from rung.batch.files import parquet
from rung.batch.proof.surveyed import Surveyed
from rung.batch.told import told_sql
from rung.campaign.catalog import Catalog, CountedVersion
from rung.lake.port import LakeState
from rung.store.records import UserAttributes, encode_user_attributes
from rung.transaction.attributes import attributes_digest, read_object


def differing_figures(
    engine: DuckEngine, versions: Sequence[CountedVersion], expected: pa.Table, stored: Path
) -> tuple[list[str], int]:
    """Return the users with a figure that differs, and how many figures were compared.

    A version's figures of periods that it does not count any more are nobody's, and are left out.

    Args:
        engine: The engine.
        versions: The versions to compare.
        expected: Figures by the lake: those of `versions`, and no others.
        stored: The file of figures that the store holds.
    """
    ranges = pa.table(
        {
            "series": pa.array(
                [series for counted in versions for series in counted.series.values()], pa.int32()
            ),
            "first": pa.array(
                [counted.periods[0] for counted in versions for _ in counted.series], pa.int32()
            ),
            "last": pa.array(
                [counted.periods[1] for counted in versions for _ in counted.series], pa.int32()
            ),
        }
    )
    keys = '"user_id", "series", "period", "token"'
    found = engine.query(
        f"""
        WITH "stored" AS (
          SELECT s.* FROM {parquet([stored])} s JOIN "ranges" r
          ON s."series" = r."series" AND s."period" BETWEEN r."first" AND r."last"
        )
        SELECT "user_id", count(*) AS "compared", count(*) FILTER (
          e."value" IS DISTINCT FROM s."value") AS "differing"
        FROM "expected" e FULL OUTER JOIN "stored" s USING ({keys}) GROUP BY "user_id"
        """,
        ranges=ranges,
        expected=expected,
    )
    return _differing(engine, found), int(found.column("compared").to_numpy().sum())


def differing_transactions(
    engine: DuckEngine,
    merged: Mapping[int, Sequence[Path]],
    disowned: Mapping[int, Sequence[str]],
    stored: Path,
    kept_from: int,
) -> tuple[list[str], list[str], int]:
    """Return the users, and the transactions of unknown users, of which a stored record differs.

    Args:
        engine: The engine.
        merged: The files of merged transactions of each partition.
        disowned: Transactions of each partition that belong to a user of another one.
        stored: The file of transactions that the store holds.
        kept_from: A transaction whose steps all lie before this instant may be absent.

    Returns:
        User ids; ids of transactions that the lake does not know; how many transactions were compared.
    """
    users: set[str] = set()
    count = 0
    known: list[str] = []
    for partition, paths in merged.items():
        engine.read_merged(paths)
        lost = pa.table({"id": pa.array(disowned.get(partition, []), pa.string())})
        digests = _digests(engine)
        found = engine.query(
            f"""
            SELECT m."user_id", count(*) AS "compared", count(*) FILTER (
              s."user" IS DISTINCT FROM u."digest" OR s."attributes" IS DISTINCT FROM a."digest"
              OR s."status" IS DISTINCT FROM m."status" OR s."at" IS DISTINCT FROM m."at"
              OR s."amount" IS DISTINCT FROM m."amount") AS "differing"
            FROM (SELECT * FROM "merged" x ANTI JOIN "lost" o ON x."transaction_id" = o."id") m
            JOIN "users" u ON m."user_id" = u."text" JOIN "texts" a ON m."attributes" = a."text"
            LEFT JOIN {parquet([stored])} s ON m."transaction_id" = s."transaction_id"
            WHERE s."transaction_id" IS NOT NULL OR list_max(m."at") >= {kept_from}
            GROUP BY m."user_id"
            """,
            lost=lost,
            **digests,
        )
        count += int(found.column("compared").to_numpy().sum())
        users.update(_differing(engine, found))
        known.append(f'SELECT "transaction_id" FROM {parquet(paths)}')
    strangers = engine.query(
        f"""
        SELECT s."transaction_id" FROM {parquet([stored])} s
        ANTI JOIN ({" UNION ALL ".join(known)}) k ON s."transaction_id" = k."transaction_id"
        """
        if known
        else f'SELECT "transaction_id" FROM {parquet([stored])}'
    )
    return sorted(users), sorted(strangers.column("transaction_id").to_pylist()), count


def _differing(engine: DuckEngine, found: pa.Table) -> list[str]:
    """Return the users of an answer that have something `differing`, in order."""
    differing = engine.query(
        'SELECT "user_id" FROM "found" WHERE "differing" > 0 ORDER BY "user_id"', found=found
    )
    return differing.column("user_id").to_pylist()


def _digests(engine: DuckEngine) -> dict[str, pa.Table]:
    """Return the digest of every user and of every text of attributes in the relation `merged`."""
    users = engine.query('SELECT DISTINCT "user_id" FROM "merged"').column("user_id").to_pylist()
    texts = engine.query('SELECT DISTINCT "attributes" FROM "merged"').column("attributes").to_pylist()
    return {
        "users": pa.table(
            {
                "text": pa.array(users, pa.string()),
                "digest": pa.array([xxhash.xxh3_64_intdigest(one.encode()) for one in users], pa.uint64()),
            }
        ),
        "texts": pa.table(
            {
                "text": pa.array(texts, pa.string()),
                "digest": pa.array([attributes_digest(one.encode()) for one in texts], pa.uint64()),
            }
        ),
    }


def differing_attributes(
    engine: DuckEngine, lake: LakeState, catalog: Catalog, surveyed: Surveyed
) -> list[str]:
    """Return the users whose stored attributes are not those with the highest sequence in the lake."""
    last = engine.query(told_sql(engine, lake, catalog, surveyed.ends))
    users, sequences, texts = (
        last.column(name).to_pylist() for name in ("user_id", "sequence", "attributes")
    )
    due = [
        encode_user_attributes(UserAttributes(sequence, read_object(text.encode(), "user_attributes")))
        for sequence, text in zip(sequences, texts, strict=True)
    ]
    expected = pa.table({"user_id": pa.array(users, pa.string()), "record": pa.array(due, pa.binary())})
    found = engine.query(
        f"""SELECT "user_id" FROM "expected" e FULL OUTER JOIN {parquet([surveyed.attributes])} s
        USING ("user_id") WHERE e."record" IS DISTINCT FROM s."record" """,
        expected=expected,
    )
    return found.column("user_id").to_pylist()
