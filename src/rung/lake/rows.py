"""Events as rows of the lake.

    day           date       when it was appended to the log, in UTC; with `partition`, it names the folder
    partition     int32
    offset        int64
    appended_at   timestamp  microseconds, UTC
    kind          text       `transaction`, `user_attributes` or `rejected`
    transaction_id, user_id  text; null where the event has none
    status        int8[]     status codes (`rung.transaction.history`); null for other kinds, as the next two
    at            int64[]    microseconds since the epoch
    amount        int64[]    minor units
    attributes    text       JSON with sorted names and without nulls: the transaction's, or the user's
    sequence      int64      of user attributes
    reason, detail text      why an event is rejected whatever came before it (`rung.transaction.reasons`)
    payload       binary     the bytes of a rejected event; of the others all that counts is in the columns

Whether a transaction's event fits those before it is not told here: merging them again tells it. Nor is
whether attributes are of the types that are declared: that depends on the event's position
(`rung.campaign.declared`), and whoever reads the lake judges it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rung.campaign.calendar import MICROSECONDS_PER_DAY
from rung.campaign.declared import NOTHING_DECLARED, Declared
from rung.log.port import Slice, unreadable_rows
from rung.transaction.attributes import canonical_text
from rung.transaction.events import Batch, decode
from rung.transaction.history import Integers
from rung.transaction.placing import without_misplaced
from rung.transaction.reasons import Reason

TRANSACTION: Final = "transaction"
USER_ATTRIBUTES: Final = "user_attributes"
REJECTED: Final = "rejected"

SCHEMA: Final = pa.schema(
    [
        pa.field("day", pa.date32(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("appended_at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("transaction_id", pa.string()),
        pa.field("user_id", pa.string()),
        pa.field("status", pa.list_(pa.int8())),
        pa.field("at", pa.list_(pa.int64())),
        pa.field("amount", pa.list_(pa.int64())),
        pa.field("attributes", pa.string()),
        pa.field("sequence", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("payload", pa.binary()),
    ]
)


def rows_of(slices: Sequence[Slice], partitions: int, declared: Declared = NOTHING_DECLARED) -> pa.Table:
    """Return the events of slices as rows, in the order of the log.

    They are decoded as the speed layer does it. For the lake no attribute is declared: what an event is there
    shall not depend on when it was archived.
    """
    payloads = list(chain.from_iterable(part.payloads for part in slices))
    counts = [len(part.payloads) for part in slices]
    places = np.repeat(np.array([part.partition for part in slices], dtype=np.int64), counts)
    offsets = [np.arange(part.first_offset, part.first_offset + len(part.payloads)) for part in slices]
    times = np.array(list(chain.from_iterable(part.times() for part in slices)), dtype=np.int64)
    batch = decode(payloads, *declared, unreadable_rows(slices))
    batch = without_misplaced(batch, places, partitions)
    rows, parts = _parts(batch, payloads)
    order = np.argsort(rows)
    return pa.table(
        {
            "day": pa.array((times // MICROSECONDS_PER_DAY).astype(np.int32), pa.int32()).cast(pa.date32()),
            "partition": pa.array(places.astype(np.int32)),
            "offset": pa.array(np.concatenate([*offsets, np.zeros(0, dtype=np.int64)]).astype(np.int64)),
            "appended_at": pa.array(times, pa.timestamp("us", "UTC")),
            **{name: column.take(pa.array(order)) for name, column in parts.items()},
        },
        schema=SCHEMA,
    )


def rejudged(rows: pa.Table, partitions: int) -> pa.Table | None:
    """Return rows of one file as `rows_of` makes them now; None if nothing is otherwise.

    Earlier releases rejected an event if an attribute was not of the type declared when they archived it.
    """
    reasons = rows.column("reason")
    wrong = pc.fill_null(pc.equal(reasons, Reason.ATTRIBUTE_TYPE.value), fill_value=False)
    names = ("partition", "offset", "appended_at", "payload")
    old = rows.filter(wrong).cast(SCHEMA)
    columns = [old.column(name) for name in names]
    columns[2] = columns[2].cast(pa.int64())
    new = rows_of(
        [
            Slice(partition, offset, [payload], at)
            for partition, offset, at, payload in zip(*(one.to_pylist() for one in columns), strict=True)
        ],
        partitions,
    )
    if new.equals(old):
        return None
    return pa.concat_tables([rows.filter(pc.invert(wrong)), new]).sort_by("offset")


def _parts(batch: Batch, payloads: Sequence[bytes]) -> tuple[Integers, dict[str, pa.Array]]:
    """Return the row of each event in the batch, and its own columns, both in the order of their kinds."""
    events, changes, rejections = batch.transactions, batch.user_attributes, batch.rejections
    counts = len(events.rows), len(changes), len(rejections)
    histories = events.histories
    bounds = pa.array(np.append(histories.starts, len(histories.statuses)).astype(np.int32))
    texts = pa.array([found.text.decode() for found in events.attribute_sets], pa.string())

    def column(kind: pa.DataType, *parts: object) -> pa.Array:
        """Return what each kind has, nulls where it has nothing."""
        return pa.concat_arrays(
            [
                pa.nulls(count, kind)
                if part is None
                else part
                if isinstance(part, pa.Array)
                else pa.array(part, kind)
                for part, count in zip(parts, counts, strict=True)
            ]
        )

    def lists(values: object, kind: pa.DataType) -> pa.Array:
        return column(pa.list_(kind), pa.ListArray.from_arrays(bounds, pa.array(values, kind)), None, None)

    rows = np.concatenate(
        [
            events.rows,
            np.array([event.row for event in changes], dtype=np.int64),
            np.array([rejection.row for rejection in rejections], dtype=np.int64),
        ]
    )
    text = pa.string()
    return rows, {
        "kind": pa.array(np.repeat([TRANSACTION, USER_ATTRIBUTES, REJECTED], counts), text),
        "transaction_id": column(text, events.transaction_ids.cast(text), None, None),
        "user_id": column(text, events.user_ids.cast(text), [event.user_id for event in changes], None),
        "status": lists(histories.statuses.view(np.int8), pa.int8()),
        "at": lists(histories.ats, pa.int64()),
        "amount": lists(histories.amounts, pa.int64()),
        "attributes": column(
            text,
            texts.take(pa.array(events.sets)),
            [canonical_text(event.values).decode() for event in changes],
            None,
        ),
        "sequence": column(pa.int64(), None, [event.sequence for event in changes], None),
        "reason": column(text, None, None, [rejection.reason.value for rejection in rejections]),
        "detail": column(text, None, None, [rejection.detail for rejection in rejections]),
        "payload": column(pa.binary(), None, None, [payloads[rejection.row] for rejection in rejections]),
    }
