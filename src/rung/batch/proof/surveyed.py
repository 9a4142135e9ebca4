"""A store's survey as columns, in Parquet files: what it holds, and up to where each record holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rung.store.port import Store
from rung.store.records import decode_figures, decode_transactions
from rung.store.survey import Survey, SurveyedUser
from rung.transaction.routing import partition_of

_FIGURES = pa.schema(
    [
        pa.field("user_id", pa.string()),
        pa.field("series", pa.int32()),
        pa.field("period", pa.int32()),
        pa.field("token", pa.uint64()),
        pa.field("value", pa.int64()),
    ]
)
_TRANSACTIONS = pa.schema(
    [
        pa.field("transaction_id", pa.string()),
        pa.field("user", pa.uint64()),
        pa.field("attributes", pa.uint64()),
        pa.field("status", pa.list_(pa.int8())),
        pa.field("at", pa.list_(pa.int64())),
        pa.field("amount", pa.list_(pa.int64())),
    ]
)
_ATTRIBUTES = pa.schema([pa.field("user_id", pa.string()), pa.field("record", pa.binary())])


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A survey in files.

    Attributes:
        catalog_revision: The catalog's revision when it began.
        ends: For each partition, the offset before which every event is in the records.
        later: Users whose records hold more than that, and the offset before which they hold everything.
        figures, transactions, attributes: The files.
        users: How many users there are.
    """

    catalog_revision: int
    ends: Mapping[int, int]
    later: Mapping[int, Mapping[str, int]]
    figures: Path
    transactions: Path
    attributes: Path
    users: int


def survey_to_files(store: Store, partitions: int, folder: Path) -> Surveyed:
    """Read everything that a store holds into files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    figures, transactions, attributes = (
        folder / f"{name}.parquet" for name in ("figures", "transactions", "attributes")
    )
    with store.survey() as survey:
        ends = {partition: survey.applied.get(partition, -1) + 1 for partition in range(partitions)}
        later, users = _write_users(survey, ends, figures, attributes)
        with pq.ParquetWriter(transactions, _TRANSACTIONS, compression="zstd") as writer:
            for chunk in survey.transactions():
                writer.write_table(_transactions_table(chunk))
        return Surveyed(survey.catalog_revision, ends, later, figures, transactions, attributes, users)


def _write_users(
    survey: Survey, ends: Mapping[int, int], figures: Path, attributes: Path
) -> tuple[dict[int, dict[str, int]], int]:
    later: dict[int, dict[str, int]] = {}
    count = 0
    with (
        pq.ParquetWriter(figures, _FIGURES, compression="zstd") as figures_writer,
        pq.ParquetWriter(attributes, _ATTRIBUTES, compression="zstd") as attributes_writer,
    ):
        for chunk in survey.users():
            count += len(chunk)
            for user in chunk:
                partition = partition_of(user.user_id, len(ends)) if user.offset >= 0 else -1
                if partition >= 0 and user.offset >= ends[partition]:
                    later.setdefault(partition, {})[user.user_id.decode()] = user.offset + 1
            figures_writer.write_table(_figures_table(chunk))
            told = [user for user in chunk if user.attributes is not None]
            attributes_writer.write_table(
                pa.table(
                    {
                        "user_id": pa.array([user.user_id.decode() for user in told], pa.string()),
                        "record": pa.array([user.attributes for user in told], pa.binary()),
                    },
                    schema=_ATTRIBUTES,
                )
            )
    return later, count


def _figures_table(chunk: Sequence[SurveyedUser]) -> pa.Table:
    owners, found = decode_figures([user.figures for user in chunk])
    users = pa.array([user.user_id.decode() for user in chunk], pa.string())
    return pa.table(
        {
            "user_id": users.take(pa.array(owners)),
            "series": pa.array(found["series"].astype(np.int32)),
            "period": pa.array(found["period"].astype(np.int32)),
            "token": pa.array(found["token"].astype(np.uint64)),
            "value": pa.array(found["value"].astype(np.int64)),
        },
        schema=_FIGURES,
    )


def _transactions_table(chunk: Sequence[tuple[bytes, bytes]]) -> pa.Table:
    stored = decode_transactions([record for _, record in chunk])
    histories = stored.histories
    bounds = pa.array(np.append(histories.starts, len(histories.statuses)).astype(np.int32))
    columns = {
        "status": pa.array(histories.statuses.view(np.int8)),
        "at": pa.array(histories.ats),
        "amount": pa.array(histories.amounts),
    }
    return pa.table(
        {
            "transaction_id": pa.array([key.decode() for key, _ in chunk], pa.string()),
            "user": pa.array(stored.users),
            "attributes": pa.array(stored.attributes),
            **{name: pa.ListArray.from_arrays(bounds, values) for name, values in columns.items()},
        },
        schema=_TRANSACTIONS,
    )
