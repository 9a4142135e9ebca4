"""The speed layer's worker: micro-batches of events in, one atomic change of the store out.

A batch never adds an event. It adds what the merged history of each transaction contributes
beyond its stored history, and stores the merged history, the figures and the position in the same
write. So duplicates, reordering, gaps and replays change nothing, and a worker that was overtaken
cannot write. The batch is as large as what waits in the log, up to a limit: small when idle, so
that an event shows at once, large under load, so that the fixed costs are shared.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

import numpy as np
import pyarrow as pa

from rung.campaign.catalog import Catalog
from rung.log.port import Consumer, Slice
from rung.plan.run import Plans, histories_table
from rung.speed.figures import add_figures
from rung.speed.user_attributes import merge_user_attributes
from rung.store.port import (
    NOTHING_APPLIED,
    Applied,
    Change,
    Counters,
    Overtaken,
    Quarantined,
    Store,
)
from rung.store.records import decode_transactions, encode_transactions
from rung.transaction.events import TransactionEvents, decode
from rung.transaction.merge import Merged, StoredTransactions, distinct, merge
from rung.transaction.reasons import Rejection

OVERTAKEN_WAIT_SECONDS: Final = 0.01
COLLECTED_EVENTS_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Limits of a worker: the most that one batch takes, and how long an idle one waits."""

    batch_events_max: int = 200_000
    batch_bytes_max: int = 64 * 1024 * 1024
    idle_wait_seconds: float = 0.2


@dataclass(frozen=True, slots=True)
class _Compiled:
    revision: int
    catalog: Catalog
    plans: Plans


class Worker:
    """Applies the events of the partitions that its consumer is assigned."""

    def __init__(
        self, consumer: Consumer, store: Store, settings: WorkerSettings, clock: Callable[[], int]
    ) -> None:
        """Wire a worker; `clock` returns microseconds since the epoch."""
        self._consumer = consumer
        self._store = store
        self._settings = settings
        self._clock = clock
        self._compiled: _Compiled | None = None
        self._applied: dict[int, Applied] = {}

    def run(self, stop: threading.Event, *, until_caught_up: bool = False) -> None:
        """Apply batches until `stop` is set or, if asked, nothing is left.

        Python's garbage collector is run between batches meanwhile, and not within them.
        The batch in hand is finished before a stop. An error that is not bad data ends the run: no
        event is skipped.
        """
        with _collecting_by_hand() as collect:
            while not stop.is_set():
                applied = self.step(0.0 if until_caught_up else self._settings.idle_wait_seconds)
                collect(applied)
                if until_caught_up and applied == 0 and self.lag() == 0:
                    return

    def lag(self) -> int:
        """Return how many events of the log are not applied yet, over all assigned partitions."""
        ends, applied = self._consumer.ends(), self._store.applied()
        return sum(
            ends[partition] - applied.get(partition, NOTHING_APPLIED).offset - 1
            for partition in self._consumer.assignment()
        )

    def step(self, wait_seconds: float) -> int:
        """Apply one micro-batch and return how many events it had (0: nothing was there).

        Raises:
            PositionOutOfRange: the log has lost events that the store has not applied.
            StoreError: the store cannot be read or written.
        """
        self._follow_assignment()
        slices = self._consumer.poll(
            self._settings.batch_events_max, self._settings.batch_bytes_max, wait_seconds
        )
        if not slices:
            return 0
        while True:
            compiled = self._current_catalog()
            change = self._decide(slices, compiled)
            try:
                self._store.commit(change)
            except Overtaken:
                if self._store.catalog()[0] != compiled.revision:
                    # A campaign was applied meanwhile: the same events, counted by its rules too.
                    continue
                # Another worker applied these partitions: go on from where it got to.
                self._applied.clear()
                threading.Event().wait(OVERTAKEN_WAIT_SECONDS)
                return 0
            self._applied.update(change.applied)
            return sum(len(part.payloads) for part in slices)

    def close(self) -> None:
        """Release what the worker has compiled."""
        if self._compiled is not None:
            self._compiled.plans.close()
            self._compiled = None

    def _follow_assignment(self) -> None:
        """Start each partition that came to this worker just behind what the store holds."""
        assignment = self._consumer.assignment()
        if assignment == self._applied.keys():
            return
        stored = self._store.applied()
        for partition in assignment - self._applied.keys():
            self._applied[partition] = stored.get(partition, NOTHING_APPLIED)
            self._consumer.seek(partition, self._applied[partition].offset + 1)
        for partition in self._applied.keys() - assignment:
            del self._applied[partition]

    def _current_catalog(self) -> _Compiled:
        revision, record = self._store.catalog()
        if self._compiled is None or self._compiled.revision != revision:
            self.close()
            catalog = Catalog.decode(record)
            self._compiled = _Compiled(revision, catalog, Plans(catalog))
        return self._compiled

    def _decide(self, slices: Sequence[Slice], compiled: _Compiled) -> Change:
        """Compute the change that the slices make to what is stored.

        1. decode the events; 2. read what is known of their transactions and merge; 3. run the
        plans on what grew; 4. read the figures of those users and add; 5. merge user attributes;
        6. collect what is rejected, and the positions.
        """
        catalog = compiled.catalog
        payloads = list(chain.from_iterable(part.payloads for part in slices))
        batch = decode(payloads, catalog.attributes, catalog.user_attributes)
        events = batch.transactions
        keys, groups = distinct(events.transaction_ids)
        merged = merge(events, groups, decode_transactions(self._store.transactions(keys)))
        users, figures = self._figures(events, merged, compiled)
        attributes, attribute_rejections, attribute_duplicates = merge_user_attributes(
            batch.user_attributes, self._store
        )
        rejections = [*batch.rejections, *merged.rejections, *attribute_rejections]
        return Change(
            catalog_revision=compiled.revision,
            expected={part.partition: self._applied[part.partition] for part in slices},
            applied=_applied_after(slices, events, merged, self._applied),
            transactions=_transaction_records(events, merged, keys),
            users=list(zip(users, figures, strict=True)),
            user_attributes=attributes,
            quarantined=_quarantined(slices, payloads, rejections, self._clock()),
            counters=Counters(
                events=len(payloads) - len(rejections),
                duplicates=merged.duplicates + attribute_duplicates,
                batches=1,
                quarantined=_by_reason(rejections),
                last_batch_events=len(payloads),
                last_batch_at=self._clock(),
            ),
        )

    def _figures(
        self, events: TransactionEvents, merged: Merged, compiled: _Compiled
    ) -> tuple[list[bytes], list[bytes]]:
        """Return the users whose figures change, and their records."""
        users, owners = distinct(events.user_ids.take(pa.array(merged.events)))
        table = histories_table(events, merged.events, owners, merged.before, compiled.catalog.attributes)
        contributions = compiled.plans.contributions(table)
        # Most steps before the completion change no figure: their users are not read or written.
        changed, places = np.unique(contributions.owners, return_inverse=True)
        chosen: list[int] = changed.tolist()
        keys = [users[owner] for owner in chosen]
        return keys, add_figures(self._store.users(keys), replace(contributions, owners=places))


@contextmanager
def _collecting_by_hand() -> Generator[Callable[[int], None]]:
    """Give a function that collects garbage when there was much work, or none.

    A batch makes many objects and no cycles, so a collection within it only looks at them in vain.
    """
    waiting = 0

    def collect(events: int) -> None:
        nonlocal waiting
        waiting += events
        if waiting and (events == 0 or waiting >= COLLECTED_EVENTS_MAX):
            gc.collect()
            waiting = 0

    automatic = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield collect
    finally:
        gc.unfreeze()
        if automatic:
            gc.enable()


def _transaction_records(
    events: TransactionEvents, merged: Merged, keys: Sequence[bytes]
) -> list[tuple[bytes, bytes]]:
    records = encode_transactions(
        StoredTransactions(
            events.users[merged.events],
            events.attributes[merged.events],
            events.histories.take(merged.events),
        )
    )
    groups: list[int] = merged.groups.tolist()
    return list(zip([keys[index] for index in groups], records, strict=True))


def _applied_after(
    slices: Sequence[Slice], events: TransactionEvents, merged: Merged, before: Mapping[int, Applied]
) -> dict[int, Applied]:
    """Return how far each partition is applied after a batch."""
    never = np.iinfo(np.int64).min
    latest = np.full(len(events.rows), never)
    if len(latest):
        latest = np.maximum.reduceat(events.histories.ats, events.histories.starts)
        latest[np.isin(events.rows, [rejection.row for rejection in merged.rejections])] = never
    applied: dict[int, Applied] = {}
    first = 0
    for part in slices:
        end = first + len(part.payloads)
        low, high = np.searchsorted(events.rows, [first, end])
        known = before[part.partition].event_at
        event_at = max(int(latest[low:high].max(initial=never)), never if known is None else known)
        applied[part.partition] = Applied(
            part.first_offset + len(part.payloads) - 1, None if event_at == never else event_at
        )
        first = end
    return applied


def _quarantined(
    slices: Sequence[Slice], payloads: Sequence[bytes], rejections: Sequence[Rejection], at: int
) -> list[Quarantined]:
    starts = np.cumsum([0, *(len(part.payloads) for part in slices)])
    quarantined: list[Quarantined] = []
    for rejection in rejections:
        index = int(np.searchsorted(starts, rejection.row, side="right")) - 1
        part = slices[index]
        offset = part.first_offset + rejection.row - int(starts[index])
        payload = payloads[rejection.row]
        quarantined.append(
            Quarantined(part.partition, offset, rejection.reason.value, rejection.detail, at, payload)
        )
    return quarantined


def _by_reason(rejections: Sequence[Rejection]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for rejection in rejections:
        counts[rejection.reason.value] = counts.get(rejection.reason.value, 0) + 1
    return counts
