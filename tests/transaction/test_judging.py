"""Events are judged by what is declared where they stand, each as if it were decoded alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rung.campaign.declared import NOTHING_DECLARED, Declared
from rung.campaign.model import AttributeType
from rung.transaction.events import Batch, decode
from rung.transaction.judging import decode_judged
from strategies import (
    ATTRIBUTES,
    POISON,
    USER_ATTRIBUTES,
    USERS,
    in_order,
    odd_attributes,
    odd_transactions,
    user_attribute_event,
)

ALL = Declared(
    {name: AttributeType(kind) for name, kind in ATTRIBUTES.items()},
    {name: AttributeType(kind) for name, kind in USER_ATTRIBUTES.items()},
)
SOME = Declared({"lines": AttributeType.INTEGER}, {"points": AttributeType.INTEGER})


def payloads() -> st.SearchStrategy[bytes]:
    """Return an event of any kind, whose attributes may have any type."""
    transactions = odd_transactions(st.sampled_from(["t1", "t2"])).map(lambda one: in_order([one])[-1])
    users = st.builds(
        user_attribute_event,
        st.sampled_from(USERS),
        st.integers(0, 3),
        odd_attributes(list(USER_ATTRIBUTES)),
    )
    return st.one_of(transactions, users, st.sampled_from([payload for payload, _ in POISON.values()]))


def told(batch: Batch) -> dict[int, object]:
    """Return what is said of each row."""
    events = batch.transactions
    found: dict[int, object] = {}
    for index, row in enumerate(events.rows.tolist()):
        one = events.take(np.array([index]))
        ats = one.histories.ats.tolist()
        attributes = one.attribute_sets[int(one.sets[0])]
        found[row] = (one.transaction_ids.to_pylist(), one.user_ids.to_pylist(), ats, attributes)
    found |= {event.row: event[1:] for event in batch.user_attributes}
    found |= {one.row: (one.reason, one.detail) for one in batch.rejections}
    return found


@given(
    st.lists(st.tuples(payloads(), st.sampled_from([NOTHING_DECLARED, SOME, ALL]), st.booleans()), max_size=9)
)
def test_each_as_if_alone(events: list[tuple[bytes, Declared, bool]]) -> None:
    """A batch says of each event what decoding it alone says, by what is declared for it."""
    unreadable = {row: f"schema {row}" for row, (_, _, is_readable) in enumerate(events) if not is_readable}
    found = told(
        decode_judged(
            [payload for payload, _, _ in events], [(1, declared) for _, declared, _ in events], unreadable
        )
    )
    for row, (payload, declared, is_readable) in enumerate(events):
        own = {} if is_readable else {0: f"schema {row}"}
        assert found.pop(row) == told(decode([payload], *declared, own))[0]
    assert found == {}
