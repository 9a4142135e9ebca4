"""The plan: what the steps between two lengths of a history add, in tables and by its laws."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign_pairs import PAIRS
from rung.campaign.calendar import Period, PeriodKind
from rung.campaign.catalog import Catalog
from rung.campaign.spec import load
from rung.plan.run import Plans, histories_table
from rung.transaction.events import decode
from strategies import StepData, TransactionData, transactions

Figure: TypeAlias = tuple[int, int, int, int]
"""Owner, series, period ordinal, token."""


def contributions(
    plans: Plans, catalog: Catalog, events: Sequence[bytes], before: Sequence[int]
) -> dict[Figure, int]:
    """Return what the events add beyond their first `before` steps; event i has owner i."""
    batch = decode(events, catalog.attributes, catalog.user_attributes).transactions
    rows = np.arange(len(events))
    table = histories_table(batch, rows, rows, np.array(before, dtype=np.int64), catalog.attributes)
    found = plans.contributions(table)
    sums: defaultdict[Figure, int] = defaultdict(int)
    columns = (found.owners, found.series, found.periods, found.tokens, found.values)
    for owner, series, period, token, value in zip(*(column.tolist() for column in columns), strict=True):
        sums[owner, series, period, token] += value
    return {figure: value for figure, value in sums.items() if value != 0}


SPEC = """
campaign: table
timezone: Asia/Tokyo
currency: JPY
attributes: {{service: string}}
versions:
  - version: 0
    counts_from: 2021-07
    measures:
      payments: {{count: "amount >= 300"}}
      total: {{sum: amount}}
      services: {{distinct: service, where: "service <> 'other'"}}
    refunds: {{post_to: {post_to}}}
    reward: {{base_percent: "0.5"}}
"""

JULY, AUGUST = "2021-07-31T14:59:59Z", "2021-07-31T15:00:00Z"
SEPTEMBER = "2021-09-10T00:00:00+09:00"

# One line per history: its steps, how many of them are counted already, and what is added to
# (payments, total, services) per period, with refunds posted to the purchase and to the refund.
Measures: TypeAlias = Mapping[str, tuple[int, int, int]]
HISTORIES: list[tuple[str, list[tuple[str, str, int]], int, Measures, Measures]] = [
    ("not completed", [("CREATED", JULY, 500), ("AUTHORIZED", JULY, 500)], 0, {}, {}),
    ("canceled before completion", [("CREATED", JULY, 500), ("CANCELED", JULY, 500)], 0, {}, {}),
    ("completed", [("CREATED", JULY, 500), ("COMPLETED", JULY, 500)], 0, {"2021-07": (1, 500, 1)}, {"2021-07": (1, 500, 1)}),
    ("its completion dates it", [("CREATED", JULY, 500), ("COMPLETED", AUGUST, 500)], 0, {"2021-08": (1, 500, 1)}, {"2021-08": (1, 500, 1)}),
    ("nothing new", [("CREATED", JULY, 500), ("COMPLETED", JULY, 500)], 2, {}, {}),
    ("below the minimum", [("COMPLETED", JULY, 299)], 0, {"2021-07": (0, 299, 1)}, {"2021-07": (0, 299, 1)}),
    ("refund in a later month", [("COMPLETED", JULY, 500), ("REFUNDED", SEPTEMBER, 100)], 1, {"2021-07": (0, -100, 0)}, {"2021-09": (0, -100, 0)}),
    ("partial refund below the minimum", [("COMPLETED", JULY, 500), ("REFUNDED", SEPTEMBER, 201)], 1, {"2021-07": (-1, -201, 0)}, {"2021-09": (-1, -201, 0)}),
    ("both at once", [("COMPLETED", JULY, 500), ("REFUNDED", SEPTEMBER, 201)], 0, {"2021-07": (0, 299, 1)}, {"2021-07": (1, 500, 1), "2021-09": (-1, -201, 0)}),
    ("full refund", [("COMPLETED", JULY, 500), ("REFUNDED", SEPTEMBER, 500)], 1, {"2021-07": (-1, -500, -1)}, {"2021-09": (-1, -500, -1)}),
    ("full refund in parts", [("COMPLETED", JULY, 500), ("REFUNDED", AUGUST, 300), ("REFUNDED", SEPTEMBER, 200)], 0, {}, {"2021-07": (1, 500, 1), "2021-08": (-1, -300, 0), "2021-09": (0, -200, -1)}),
    ("canceled after completion", [("COMPLETED", JULY, 500), ("CANCELED", SEPTEMBER, 500)], 1, {"2021-07": (-1, -500, -1)}, {"2021-09": (-1, -500, -1)}),
    ("refund after the end", [("COMPLETED", JULY, 500), ("EXPIRED", AUGUST, 500), ("REFUNDED", SEPTEMBER, 500)], 2, {}, {}),
    ("a refund dated before its purchase", [("COMPLETED", AUGUST, 500), ("REFUNDED", JULY, 100)], 0, {"2021-08": (1, 400, 1)}, {"2021-08": (1, 500, 1), "2021-07": (0, -100, 0)}),
    ("an amount of nothing counts what it is", [("COMPLETED", JULY, 0)], 0, {"2021-07": (0, 0, 1)}, {"2021-07": (0, 0, 1)}),
    ("before the campaign", [("COMPLETED", "2021-06-30T14:59:59.999999Z", 500)], 0, {}, {}),
]  # fmt: skip


@pytest.mark.parametrize("post_to", ["purchase", "refund"])
@pytest.mark.parametrize("row", HISTORIES, ids=[row[0] for row in HISTORIES])
def test_history(row: tuple[str, list[tuple[str, str, int]], int, Measures, Measures], post_to: str) -> None:
    """A history adds what the contribution law says, to the period that `post_to` chooses."""
    _, steps, before, to_purchase, to_refund = row
    catalog = Catalog.decode(None).apply(load(SPEC.format(post_to=post_to), "spec"), {})
    whole = TransactionData("t", "u", {"service": "mall"}, tuple(StepData(*step) for step in steps))
    with Plans(catalog) as plans:
        found = contributions(plans, catalog, [whole.event()], [before])
    series = catalog.versions[0].series
    expected = {
        (series[name], Period.parse(period, PeriodKind.MONTH).ordinal): value
        for period, values in (to_purchase if post_to == "purchase" else to_refund).items()
        for name, value in zip(("payments", "total", "services"), values, strict=True)
        if value != 0
    }
    assert {(series, period): value for (_, series, period, _), value in found.items()} == expected


@pytest.fixture(scope="module")
def everything() -> Generator[tuple[Catalog, Plans]]:
    """Give campaigns with every kind of measure, period, posting and zone, and their plans."""
    catalog = Catalog.decode(None)
    for pair in PAIRS:
        catalog = catalog.apply(load(pair.spec, "spec"), {})
    with Plans(catalog) as plans:
        yield catalog, plans


@given(st.lists(st.tuples(transactions(st.just("t")), st.integers(0, 9), st.integers(0, 9)), max_size=8))
def test_contributions_telescope(
    everything: tuple[Catalog, Plans], drawn: list[tuple[TransactionData, int, int]]
) -> None:
    """What is added up to some step, and from there on, is what is added at once."""
    catalog, plans = everything
    ends = [min(end, len(whole.history)) or 1 for whole, _, end in drawn]
    middles = [min(middle, end) for (_, middle, _), end in zip(drawn, ends, strict=True)]
    finals = [whole.event(end) for (whole, _, _), end in zip(drawn, ends, strict=True)]
    parts = [
        (whole.event(middle), owner)
        for owner, ((whole, _, _), middle) in enumerate(zip(drawn, middles, strict=True))
        if middle
    ]
    first = contributions(plans, catalog, [event for event, _ in parts], [0] * len(parts))
    rest = contributions(plans, catalog, finals, middles)
    both: defaultdict[Figure, int] = defaultdict(int, rest)
    for (place, *figure), value in first.items():
        both[(parts[place][1], *figure)] += value  # pyright: ignore[reportArgumentType]
    at_once = contributions(plans, catalog, finals, [0] * len(finals))
    assert {figure: value for figure, value in both.items() if value != 0} == at_once


def test_a_token_is_one_value() -> None:
    """A distinct value has the same token wherever it is counted, and another value another one."""
    catalog = Catalog.decode(None).apply(load(SPEC.format(post_to="purchase"), "spec"), {})
    services = ["mall", "flea", "mall", "", "マーケット"]
    events = [
        TransactionData("t", "u", {"service": service}, (StepData("COMPLETED", JULY, 1),)).event()
        for service in services
    ]
    with Plans(catalog) as plans:
        found = contributions(plans, catalog, events, [0] * len(events))
    distinct = catalog.versions[0].series["services"]
    tokens = [token for (_, series, _, token) in sorted(found) if series == distinct]
    # The lower half of the MD5 digest: what other engines compute from the same text.
    assert tokens[0] == tokens[2] == int.from_bytes(bytes.fromhex("c539b597559e70ee"), "little")
    assert len(set(tokens)) == 4
