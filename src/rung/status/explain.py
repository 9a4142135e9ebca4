"""Why a user's figures are what they are: each transaction of a period, and what it counts for.

The contributions come from the very plan that the speed layer runs, on the histories as the log
gives them up to where the store has applied it; so their sums are the stored figures, and a
difference is a fault worth a look. Only the reason of a transaction that does not count is
worked out here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rung.campaign.calendar import Period
from rung.campaign.catalog import Catalog, CountedVersion
from rung.campaign.model import MeasureKind
from rung.plan.run import Plans, histories_table
from rung.status.evaluate import CompiledVersion, time_text
from rung.status.explanation import (
    ClosedView,
    ExplainedTransaction,
    Explanation,
    RejectedEvent,
    StepView,
    UserEvents,
    Verdict,
)
from rung.store.records import decode_transactions, figures
from rung.transaction.attributes import known_attributes
from rung.transaction.events import Batch, TransactionEvents
from rung.transaction.history import COMPLETED, ENDED, REFUNDED, STATUSES, Integers
from rung.transaction.judging import decode_judged
from rung.transaction.merge import Merged, distinct, merge
from rung.transaction.reasons import Reason, Rejection

_Figures: TypeAlias = "Counter[tuple[int, int, int]]"
"""(series, period ordinal, token) -> value."""


@dataclass(frozen=True, slots=True)
class _Transaction:
    """A merged transaction: `event` is its index among the decoded ones, `before` its uncounted steps."""

    transaction_id: str
    event: int
    before: int
    foreign: bool
    steps: tuple[tuple[int, int, int], ...]

    @property
    def completed_at(self) -> int | None:
        return next((at for status, at, _ in self.steps if status == COMPLETED), None)

    @property
    def end(self) -> int | None:
        return next((status for status, _, _ in self.steps if status in ENDED), None)

    @property
    def refunded_in_full(self) -> bool:
        refunded = sum(amount for status, _, amount in self.steps if status == REFUNDED)
        completed = sum(amount for status, _, amount in self.steps if status == COMPLETED)
        return refunded > 0 and refunded == completed


def transaction_ids(events: UserEvents, catalog: Catalog) -> list[bytes]:
    """Return the ids of the transactions that the events are about, in the order that `explain` expects."""
    batch = _decoded(events, catalog)
    return distinct(batch.transactions.transaction_ids)[0]


def _decoded(events: UserEvents, catalog: Catalog) -> Batch:
    """Decode a user's events, each judged by what is declared at its position.

    What was told before it was declared counts for versions that came later, too.
    """
    declared = catalog.declarations(events.partition).runs(events.offsets)
    batch = decode_judged(events.payloads, declared, events.unreadable)
    told = [known_attributes(one.text, catalog.attributes) for one in batch.transactions.attribute_sets]
    return replace(batch, transactions=replace(batch.transactions, attribute_sets=told))


def explain(
    catalog: Catalog,
    counted: CountedVersion,
    period: Period,
    user_id: str,
    events: UserEvents,
    record: bytes | None,
    stored: Sequence[bytes | None],
) -> Explanation:
    """Explain one period of a user by one version.

    1. decode and merge the user's events as the worker does; 2. run the plan on each transaction
    by itself; 3. give each that touches the period its reason; 4. compare the sums with the
    stored figures.

    Args:
        catalog: The catalog in force.
        counted: The version, one of the catalog's.
        period: The counting period.
        user_id: The user.
        events: The user's events in the log.
        record: The user's stored figures.
        stored: The stored record of each of the `transaction_ids`; it tells that another user's
            event, in another partition, had claimed a transaction first.
    """
    batch = _decoded(events, catalog)
    ids, groups = distinct(batch.transactions.transaction_ids)
    merged = merge(batch.transactions, groups, decode_transactions([None] * len(ids)))
    before = _steps_before(counted, events, batch.transactions)
    owners = decode_transactions(stored).users
    transactions = list(_transactions(batch.transactions, merged, ids, before, owners))
    contributions = _contributions(catalog, counted, batch.transactions, transactions)
    total: _Figures = Counter()
    for added in contributions:
        total.update(added)
    measures = _measures(total, counted, period)
    kept: _Figures = Counter(
        {(series, ordinal, token): value for series, ordinal, token, value in figures(record)}
    )
    shown = [
        _explained(
            transaction, added, counted, period, events, int(batch.transactions.rows[transaction.event])
        )
        for transaction, added in zip(transactions, contributions, strict=True)
        if _touches(transaction, added, counted, period)
    ]
    stored_measures = _measures(kept, counted, period)
    return Explanation(
        user_id=user_id,
        campaign=counted.campaign.name,
        period=str(period),
        version=counted.version.number,
        partial=not counted.complete,
        exact=measures == stored_measures,
        measures=measures,
        stored=stored_measures,
        transactions=tuple(sorted(shown, key=lambda found: (found.history[0].at, found.transaction_id))),
        rejected=tuple(_rejected([*batch.rejections, *merged.rejections], events)),
        closed=_closed(counted, period, record),
    )


def _closed(counted: CountedVersion, period: Period, record: bytes | None) -> ClosedView | None:
    if not counted.is_closed(period.ordinal):
        return None
    _, rate_percent, steps = (
        CompiledVersion(counted).in_period(period.ordinal).result(record, period.ordinal, {})
    )
    return ClosedView(rate_percent, tuple(step.name for step in steps if step.met))


def _steps_before(
    counted: CountedVersion, events: UserEvents, transactions: TransactionEvents
) -> Mapping[bytes, int]:
    """Return how many steps each transaction had that the version does not count; absent is 0."""
    if counted.complete:
        return {}
    start = counted.starts.get(events.partition, -1)
    rows = np.array(events.offsets, dtype=np.int64)[transactions.rows]
    early = transactions.take(np.flatnonzero(rows <= start))
    early_ids, groups = distinct(early.transaction_ids)
    merged = merge(early, groups, decode_transactions([None] * len(early_ids)))
    lengths = early.histories.lengths[merged.events]
    return {
        early_ids[index]: length
        for index, length in zip(merged.groups.tolist(), lengths.tolist(), strict=True)
    }


def _transactions(
    events: TransactionEvents,
    merged: Merged,
    ids: Sequence[bytes],
    before: Mapping[bytes, int],
    owners: NDArray[np.uint64],
) -> Iterator[_Transaction]:
    histories = events.histories
    for place, event in zip(merged.groups.tolist(), merged.events.tolist(), strict=True):
        span = slice(histories.starts[event], histories.starts[event] + histories.lengths[event])
        columns = (histories.statuses[span], histories.ats[span], histories.amounts[span])
        transaction_id = ids[int(place)]
        yield _Transaction(
            transaction_id=transaction_id.decode(),
            event=event,
            before=before.get(transaction_id, 0),
            foreign=int(owners[place]) not in {0, int(events.users[event])},
            steps=tuple(zip(*(column.tolist() for column in columns), strict=True)),
        )


def _contributions(
    catalog: Catalog, counted: CountedVersion, events: TransactionEvents, transactions: Sequence[_Transaction]
) -> list[_Figures]:
    """Return what each transaction adds, by the plan of the version."""
    own = [index for index, transaction in enumerate(transactions) if not transaction.foreign]

    def column(values: Sequence[int]) -> Integers:
        return np.array(values, dtype=np.int64)

    with Plans(replace(catalog, versions=(counted,))) as plans:
        added = plans.contributions(
            histories_table(
                events,
                column([transactions[index].event for index in own]),
                column(own),
                column([transactions[index].before for index in own]),
                catalog.attributes,
            )
        )
    found: list[_Figures] = [Counter() for _ in transactions]
    columns = (added.owners, added.series, added.periods, added.tokens, added.values)
    for owner, series, ordinal, token, value in zip(*(part.tolist() for part in columns), strict=True):
        found[owner][series, ordinal, token] += value
    return found


def _measures(values: _Figures, counted: CountedVersion, period: Period) -> dict[str, int]:
    """Return the figures of one period; a distinct counts the values that occur."""
    measures: dict[str, int] = {}
    for measure in counted.version.measures:
        series = counted.series[measure.name]
        found = [
            value for (of, ordinal, _), value in values.items() if (of, ordinal) == (series, period.ordinal)
        ]
        distinct = measure.kind is MeasureKind.DISTINCT
        measures[measure.name] = sum(value > 0 for value in found) if distinct else sum(found)
    return measures


def _touches(transaction: _Transaction, added: _Figures, counted: CountedVersion, period: Period) -> bool:
    """Tell whether a transaction has to do with a period: it adds something there, or has a step in it."""
    if any(ordinal == period.ordinal and value for (_, ordinal, _), value in added.items()):
        return True
    calendar = counted.campaign.calendar
    starts_at, ends_at = calendar.starts_at(period), calendar.ends_at(period)
    return any(starts_at <= at < ends_at for _, at, _ in transaction.steps)


def _explained(
    transaction: _Transaction,
    added: _Figures,
    counted: CountedVersion,
    period: Period,
    events: UserEvents,
    row: int,
) -> ExplainedTransaction:
    contributions = {
        measure.name: sum(
            value
            for (series, ordinal, _), value in added.items()
            if (series, ordinal) == (counted.series[measure.name], period.ordinal)
        )
        for measure in counted.version.measures
    }
    reason, detail = _verdict(transaction, contributions, counted, period)
    # A refund that posts to its own period is judged by no condition there: it takes away what it added.
    judged = (
        reason in {Verdict.COUNTED, Verdict.BELOW_CONDITION}
        and transaction.completed_at is not None
        and counted.campaign.calendar.period_at(transaction.completed_at) == period
    )
    return ExplainedTransaction(
        transaction_id=transaction.transaction_id,
        reason=reason,
        contributions=contributions,
        below_condition=tuple(name for name, value in contributions.items() if value == 0) if judged else (),
        detail=detail,
        history=tuple(
            StepView(STATUSES[status], time_text(at), amount) for status, at, amount in transaction.steps
        ),
        partition=events.partition,
        offset=events.offsets[row],
    )


def _verdict(
    transaction: _Transaction, contributions: Mapping[str, int], counted: CountedVersion, period: Period
) -> tuple[Verdict, str]:
    """Return the reason of a transaction in a period, and what else there is to say."""
    if transaction.foreign:
        return Verdict.CONFLICT, Reason.USER_CHANGED.sentence
    if any(contributions.values()):
        return Verdict.COUNTED, ""
    if transaction.completed_at is None:
        end = transaction.end
        return (Verdict.NOT_COMPLETED, "") if end is None else (_ENDS[end], "")
    purchased = counted.campaign.calendar.period_at(transaction.completed_at)
    if purchased != period:
        return Verdict.OTHER_PERIOD, f"a purchase of {purchased}"
    if transaction.end is not None:
        return _ENDS[transaction.end], ""
    if transaction.refunded_in_full:
        return Verdict.REFUNDED_IN_FULL, ""
    if transaction.before == len(transaction.steps):
        return Verdict.BEFORE_VERSION, "the version was applied later"
    return Verdict.BELOW_CONDITION, ""


_ENDS: Final = {code: Verdict(STATUSES[code].lower()) for code in ENDED}


def _rejected(rejections: Sequence[Rejection], events: UserEvents) -> Iterator[RejectedEvent]:
    for rejection in sorted(rejections, key=lambda found: found.row):
        offset = events.offsets[rejection.row]
        yield RejectedEvent(events.partition, offset, rejection.reason.value, rejection.detail)
