"""Rows of a Parquet file as events: every column becomes a field of the JSON.

Columns are turned into Python values one by one, nested ones by their flat children, and only the
last step, the JSON of a row, is done row by row. That is several times faster than row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# PyArrow carries no types; these names say so once, and what comes out of it is typed here.
arrow: Any = pa
compute: Any = pc
parquet: Any = pq
Column = Any  # a pyarrow.Array
Kind = Any  # a pyarrow.DataType

BATCH_ROWS_MAX = 8_192
_JSON_COLUMNS = frozenset({"attributes", "history", "user_attributes"})
_ID_COLUMNS = ("user_id", "transaction_id")

_encode = msgspec.json.Encoder(decimal_format="number").encode
_embed = msgspec.json.Decoder(msgspec.Raw).decode


class UnreadableParquet(Exception):
    """The file is damaged, or its columns cannot be events."""


def parquet_events(path: Path) -> Iterator[tuple[list[bytes], float]]:
    """Yield the events of a Parquet file in chunks, each with the share of the rows read so far.

    A null is left out, in a row as in a struct. `attributes`, `history` and `user_attributes` may be
    text that holds JSON. A time with a time zone is written in RFC 3339, in UTC.

    Raises:
        UnreadableParquet: the file is damaged, or its columns cannot be events.
    """
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            _check(file.schema_arrow)
            rows_total = file.metadata.num_rows
            rows = 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS_MAX):
                rows += batch.num_rows
                yield _events(batch), rows / rows_total
    except arrow.ArrowException as error:
        raise UnreadableParquet(str(error)) from error


def _check(schema: Any) -> None:
    """Refuse what would put every row into quarantine: one error says more than a million."""
    if "user_id" not in schema.names:
        raise UnreadableParquet(f"it has no column user_id; its columns are {', '.join(schema.names)}")
    for name in _ID_COLUMNS:
        if name in schema.names and not _is_text(schema.field(name).type):
            raise UnreadableParquet(f"column {name} is {schema.field(name).type}; write it as text")
    if "history" in schema.names and _has_local_times(schema.field("history").type):
        raise UnreadableParquet("the times in history have no time zone; write them as UTC (isAdjustedToUTC)")


def _has_local_times(history: Kind) -> bool:
    if not _is_list(history) or not arrow.types.is_struct(history.value_type):
        return False
    steps = history.value_type
    kinds = [steps.field(index).type for index in range(steps.num_fields)]
    return any(arrow.types.is_timestamp(kind) and kind.tz is None for kind in kinds)


def _events(batch: Any) -> list[bytes]:
    names: list[str] = batch.schema.names
    columns = [
        _embedded(_values(column)) if name in _JSON_COLUMNS and _is_text(column.type) else _values(column)
        for name, column in zip(names, batch.columns, strict=True)
    ]
    return [_encode(row) for row in _objects(names, columns)]


def _values(column: Column) -> Sequence[object]:
    """Return the values of a column, ready for the JSON encoder."""
    kind = column.type
    if arrow.types.is_dictionary(kind):
        return _values(column.dictionary_decode())
    if arrow.types.is_struct(kind):
        names = [kind.field(index).name for index in range(kind.num_fields)]
        objects = _objects(names, [_values(child) for child in column.flatten()])
        if column.null_count == 0:
            return objects
        valid: list[bool] = column.is_valid().to_pylist()
        return [one if there else None for one, there in zip(objects, valid, strict=True)]
    if _is_list(kind):
        return _lists(_values(column.flatten()), compute.list_value_length(column).to_pylist())
    if arrow.types.is_map(kind):
        return [None if pairs is None else dict(pairs) for pairs in column.to_pylist()]
    if arrow.types.is_timestamp(kind):
        return _times(column).to_pylist()
    return column.to_pylist()


def _objects(names: Sequence[str], columns: Sequence[Sequence[object]]) -> list[msgspec.Struct]:
    """Return each row as an object without its nulls."""
    return list(map(_object_type(tuple(names)), *columns))


@cache
def _object_type(names: tuple[str, ...]) -> type[msgspec.Struct]:
    # A struct is made much faster than a dict, and leaves out its nulls by itself. A column's
    # name need not be a Python name, so the fields have names of their own.
    fields = [f"field_{index}" for index in range(len(names))]
    return msgspec.defstruct(
        "Object",
        [(field, object, None) for field in fields],
        rename=dict(zip(fields, names, strict=True)),
        omit_defaults=True,
        gc=False,
    )


def _lists(values: Sequence[object], lengths: Sequence[int | None]) -> list[Sequence[object] | None]:
    lists: list[Sequence[object] | None] = []
    low = 0
    for length in lengths:
        high = low + (length or 0)
        lists.append(None if length is None else values[low:high])
        low = high
    return lists


def _times(column: Column) -> Column:
    """Return times as text, to the microsecond; to the nanosecond if that loses something."""
    # Arrow keeps UTC whatever the zone's name is. Without a name, text needs no time zone data.
    times = column.cast(arrow.int64()).cast(arrow.timestamp(column.type.unit))
    try:
        times = times.cast(arrow.timestamp("us"))
    except arrow.ArrowInvalid:
        times = times.cast(arrow.timestamp("ns"))
    text = compute.replace_substring(times.cast(arrow.string()), " ", "T")
    return text if column.type.tz is None else compute.binary_join_element_wise(text, "Z", "")


def _embedded(texts: Sequence[object]) -> list[object]:
    """Return JSON texts as parts of the JSON around them; what is no JSON stays a string."""
    return [text if text is None else _part(str(text)) for text in texts]


def _part(text: str) -> msgspec.Raw | str:
    try:
        return _embed(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _is_text(kind: Kind) -> bool:
    if arrow.types.is_dictionary(kind):
        kind = kind.value_type
    return (
        arrow.types.is_string(kind) or arrow.types.is_large_string(kind) or arrow.types.is_string_view(kind)
    )


def _is_list(kind: Kind) -> bool:
    return (
        arrow.types.is_list(kind) or arrow.types.is_large_list(kind) or arrow.types.is_fixed_size_list(kind)
    )
