from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rung.log import parquet
from rung.log.files import Progress, UnreadableFile, events

arrow: Any = pa
arrow_parquet: Any = pq

AT = datetime(2021, 8, 5, 12, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=9)))


def steps_type(at: Any) -> Any:
    return arrow.list_(
        arrow.struct([("status", arrow.string()), ("at", at), ("amount", arrow.int64())]),
    )


def write(path: Path, columns: dict[str, Any]) -> Path:
    arrow_parquet.write_table(arrow.table(columns), path)
    return path


def read(path: Path) -> list[Any]:
    return [json.loads(payload) for chunk in events(path) for payload in chunk]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.parquet"


def test_nested_columns(path: Path) -> None:
    """Structs and lists become objects and arrays; times are UTC with microseconds."""
    history = [
        [{"status": "CREATED", "at": AT, "amount": 7}, {"status": "COMPLETED", "at": AT, "amount": 7}],
        [],
        [{"status": "CREATED", "at": AT, "amount": 9}],
    ]
    write(
        path,
        {
            "transaction_id": ["t1", "t2", "t3"],
            "user_id": ["u1", "u1", "é\n"],
            "attributes": [{"service": "mall", "lines": 3}] * 3,
            "history": arrow.array(history, steps_type(arrow.timestamp("us", "Asia/Tokyo"))),
        },
    )
    at = "2021-08-05T03:00:00.123456Z"
    attributes = {"service": "mall", "lines": 3}
    assert read(path) == [
        {
            "transaction_id": "t1",
            "user_id": "u1",
            "attributes": attributes,
            "history": [
                {"status": "CREATED", "at": at, "amount": 7},
                {"status": "COMPLETED", "at": at, "amount": 7},
            ],
        },
        {"transaction_id": "t2", "user_id": "u1", "attributes": attributes, "history": []},
        {
            "transaction_id": "t3",
            "user_id": "é\n",
            "attributes": attributes,
            "history": [{"status": "CREATED", "at": at, "amount": 9}],
        },
    ]


def test_json_columns(path: Path) -> None:
    """Text that holds JSON is embedded as it is."""
    write(
        path,
        {
            "user_id": ["u1", "u2"],
            "attributes": ['{"service": "mall", "big": 12345678901234567890}', None],
            "history": ['[{"status": "CREATED"}]', "[ ]"],
        },
    )
    assert read(path) == [
        {
            "user_id": "u1",
            "attributes": {"service": "mall", "big": 12345678901234567890},
            "history": [{"status": "CREATED"}],
        },
        {"user_id": "u2", "history": []},
    ]


@pytest.mark.parametrize("text", ["no json", '{}, "user_id": "other"', "", "[1", "[" * 100_000, "{} {}"])
def test_no_json(path: Path, text: str) -> None:
    """Text that is no JSON stays text, and cannot change the event around it."""
    write(path, {"user_id": ["u1"], "attributes": [text]})
    assert read(path) == [{"user_id": "u1", "attributes": text}]


def test_nulls(path: Path) -> None:
    """A null is left out wherever it is, so that one file can hold both kinds of events."""
    write(
        path,
        {
            "transaction_id": ["t1", None, None],
            "user_id": ["u1", "u2", None],
            "history": arrow.array(
                [[{"status": "CREATED", "at": None, "amount": 0}, None], None, []],
                steps_type(arrow.timestamp("ms", "UTC")),
            ),
            "sequence": [None, 4, 0],
            "user_attributes": [None, {"premium": False, "linked": None}, {"premium": None, "linked": None}],
        },
    )
    assert read(path) == [
        {"transaction_id": "t1", "user_id": "u1", "history": [{"status": "CREATED", "amount": 0}, None]},
        {"user_id": "u2", "sequence": 4, "user_attributes": {"premium": False}},
        {"history": [], "sequence": 0, "user_attributes": {}},
    ]


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("s", 1_628_132_400, "2021-08-05T03:00:00.000000Z"),
        ("ms", 1_628_132_400_123, "2021-08-05T03:00:00.123000Z"),
        ("us", 1_628_132_400_123_456, "2021-08-05T03:00:00.123456Z"),
        ("ns", 1_628_132_400_123_456_000, "2021-08-05T03:00:00.123456Z"),
        ("ns", 1_628_132_400_123_456_789, "2021-08-05T03:00:00.123456789Z"),
        ("us", -1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_times(unit: str, value: int, text: str) -> None:
    """A time of any unit is written in UTC, and never rounded in silence."""
    batch = arrow.record_batch(
        {"user_id": ["u1"], "at": arrow.array([value], arrow.timestamp(unit, "Asia/Tokyo"))}
    )
    assert [json.loads(payload)["at"] for payload in parquet._events(batch)] == [text]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (arrow.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (arrow.array(["a", "b", "a"], arrow.large_string()), ["a", "b", "a"]),
        (arrow.array([1, 2, 3], arrow.uint8()), [1, 2, 3]),
        (arrow.array([True, False, True]), [True, False, True]),
        (arrow.array([Decimal(5), Decimal(6), Decimal(7)], arrow.decimal128(18, 0)), [5, 6, 7]),
        (arrow.array([1.5, 2.0, 0.25]), [1.5, 2.0, 0.25]),
        (
            arrow.array([[("a", 1)], [], [("b", 2)]], arrow.map_(arrow.string(), arrow.int64())),
            [{"a": 1}, {}, {"b": 2}],
        ),
        (arrow.array([[1, 2], [3, 4], [5, 6]], arrow.list_(arrow.int64(), 2)), [[1, 2], [3, 4], [5, 6]]),
        (arrow.array([[1], [], [5, 6]], arrow.large_list(arrow.int64())), [[1], [], [5, 6]]),
        (
            arrow.array([1_628_132_400_000_000] * 3, arrow.timestamp("us")),
            ["2021-08-05T03:00:00.000000"] * 3,
        ),
    ],
)
def test_types(path: Path, values: Any, expected: list[Any]) -> None:
    """Every type that JSON has a form for is written in it, in any column."""
    write(path, {"user_id": ["u"] * 3, "a column": values})
    assert read(path) == [{"user_id": "u", "a column": value} for value in expected]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"user": ["u1"], "id": [1]}, "it has no column user_id; its columns are user, id"),
        ({"user_id": [1]}, "column user_id is int64; write it as text"),
        ({"user_id": ["u1"], "transaction_id": [b"t1"]}, "column transaction_id is binary; write it as text"),
        (
            {"user_id": ["u1"], "history": arrow.array([[]], steps_type(arrow.timestamp("us")))},
            "the times in history have no time zone; write them as UTC",
        ),
    ],
)
def test_refused_columns(path: Path, columns: dict[str, Any], text: str) -> None:
    """Columns that would put every event into quarantine are refused once, with the fix."""
    with pytest.raises(UnreadableFile, match=rf"events\.parquet: reading stopped at its start: {text}"):
        read(write(path, columns))


def test_many_rows(path: Path) -> None:
    """Rows come in chunks, in order, and progress ends with the whole file."""
    count = 20_000
    write(path, {"user_id": [str(number) for number in range(count)]})
    steps: list[Progress] = []
    found = [payload for chunk in events(path, steps.append) for payload in chunk]
    assert found == [b'{"user_id":"%d"}' % number for number in range(count)]
    size = path.stat().st_size
    assert steps[0].events == parquet.BATCH_ROWS_MAX
    assert 0 < steps[0].bytes_read < size
    assert steps[-1] == Progress(count, size, size)


def test_no_rows(path: Path) -> None:
    """A file without rows holds no events."""
    assert read(write(path, {"user_id": arrow.array([], arrow.string())})) == []


def test_damaged(path: Path) -> None:
    """A file that is cut short, or changed in the middle, is refused."""
    whole = write(path, {"user_id": [str(number) for number in range(20_000)]}).read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(UnreadableFile, match=r"events\.parquet: reading stopped at its start: "):
        read(path)
    changed = bytearray(whole)
    changed[len(whole) // 3 : len(whole) // 3 + 100] = bytes(100)
    path.write_bytes(changed)
    with pytest.raises(UnreadableFile, match=r"events\.parquet: reading stopped"):
        read(path)
