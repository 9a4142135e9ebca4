"""Merge events of the lake that do not fit one another, in the order of the log, as the speed layer did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from rung.batch.duck import Resolved
from rung.batch.files import MERGED_SCHEMA
from rung.campaign.model import AttributeType
from rung.store.records import decode_transactions
from rung.transaction.attributes import known_attributes
from rung.transaction.events import TransactionEvents
from rung.transaction.history import Histories
from rung.transaction.merge import distinct, merge

_UNDECLARED: Final[Mapping[str, AttributeType]] = {}


def transaction_events(
    rows: pa.Table, declared: Mapping[str, AttributeType] = _UNDECLARED
) -> TransactionEvents:
    """Return lake rows of transactions as events, in the order of the rows; `rows` are their indices.

    An attribute whose value is not of its declared type (it was told before it was declared) is unknown.
    """
    rows = rows.combine_chunks()
    status, at, amount = (_only_chunk(rows.column(name)) for name in ("status", "at", "amount"))
    texts = _only_chunk(rows.column("attributes")).dictionary_encode()
    sets = [known_attributes(text.encode(), declared) for text in texts.dictionary.to_pylist()]
    user_ids = _only_chunk(rows.column("user_id")).cast(pa.binary())
    chosen = np.asarray(texts.indices.to_numpy(), dtype=np.int64)
    lengths = np.asarray(pc.list_value_length(status).to_numpy(), dtype=np.int64)
    return TransactionEvents(
        rows=np.arange(rows.num_rows, dtype=np.int64),
        transaction_ids=_only_chunk(rows.column("transaction_id")).cast(pa.binary()),
        user_ids=user_ids,
        users=np.array([xxhash.xxh3_64_intdigest(one) for one in user_ids.to_pylist()], dtype=np.uint64),
        attributes=np.array([one.digest for one in sets], dtype=np.uint64)[chosen],
        sets=chosen,
        attribute_sets=sets,
        histories=Histories.of_lengths(
            lengths,
            status.flatten().to_numpy().astype(np.uint8),
            at.flatten().to_numpy(),
            amount.flatten().to_numpy(),
        ),
    )


def resolve(rows: pa.Table) -> Resolved:
    """Merge conflicting events, each transaction's one after another; see `rung.batch.duck.Resolve`."""
    rows = rows.sort_by([("transaction_id", "ascending"), ("offset", "ascending")])
    events = transaction_events(rows)
    offsets = rows.column("offset").to_numpy()
    ids, groups = distinct(events.transaction_ids)
    found = merge(events, groups, decode_transactions([None] * len(ids)))
    known = np.zeros(len(ids), dtype=np.int64)
    before = np.flatnonzero(offsets < 0)
    np.maximum.at(known, groups[before], events.histories.lengths[before])
    grown = np.flatnonzero(events.histories.lengths[found.events] > known[found.groups])
    merged = (
        rows.take(pa.array(found.events[grown]))
        .drop_columns(["offset"])
        .append_column("before", pa.array(known[found.groups[grown]]))
        .select(MERGED_SCHEMA.names)
        .cast(MERGED_SCHEMA)
    )
    return Resolved(
        merged, {int(offsets[rejection.row]): rejection.reason.value for rejection in found.rejections}
    )


def _only_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
