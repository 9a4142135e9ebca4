"""The speed layer's worker: micro-batches of events in, changes of the store out.

The batch is as large as what waits in the log, up to a limit: small when idle, so that an event shows at
once, large under load, so that the fixed costs are shared. What a batch changes is for
`rung.speed.decide`; here stands when one is decided, and what follows when it cannot be stored.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from rung.campaign.catalog import Catalog
from rung.faultpoints import passing
from rung.log.port import Consumer, LogReplaced, LogUnavailable, PositionOutOfRange, Slice
from rung.plan.run import Plans
from rung.speed.decide import Compiled, decide
from rung.speed.slices import first_events, split_at_starts
from rung.store.backoff import Backoff
from rung.store.port import (
    NOTHING_APPLIED,
    Applied,
    BoundLog,
    ChangeTooLarge,
    Overtaken,
    Quarantined,
    Store,
    StoreBusy,
)

OVERTAKEN_WAIT_SECONDS: Final = 0.01
COLLECTED_EVENTS_MAX: Final = 1_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Limits of a worker: the most that one batch takes, and how long an idle one waits."""

    batch_events_max: int = 200_000
    batch_bytes_max: int = 64 * 1024 * 1024
    idle_wait_seconds: float = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """The partitions that a worker applies now, and those that it has halted, with the reason."""

    assigned: frozenset[int]
    halted: Mapping[int, str]


def _mirror_nowhere(quarantined: Sequence[Quarantined]) -> None:
    """Keep quarantined events in the store alone."""


class Worker:
    """Applies the events of the partitions that its consumer is assigned."""

    def __init__(
        self,
        consumer: Consumer,
        store: Store,
        settings: WorkerSettings,
        clock: Callable[[], int],
        mirror: Callable[[Sequence[Quarantined]], None] = _mirror_nowhere,
    ) -> None:
        """Wire a worker.

        Args:
            consumer: Where events come from; the worker closes it.
            store: What is changed.
            settings: The limits.
            clock: Returns microseconds since the epoch.
            mirror: Is given what is about to be put into quarantine; it may be given the same again.
        """
        self._consumer = consumer
        self._store = store
        self._settings = settings
        self._clock = clock
        self._mirror = mirror
        self._compiled: Compiled | None = None
        self._partitions = 0
        self._applied: dict[int, Applied] = {}
        self._halted: dict[int, PositionOutOfRange] = {}
        # What was read and could not be stored yet; nothing else is read before it is.
        self._held: list[Slice] = []
        self._backoff = Backoff()

    def run(
        self,
        stop: threading.Event,
        *,
        until_caught_up: bool = False,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None:
        """Apply batches until `stop` is set or, if asked, nothing is left.

        Python's garbage collector is run between batches meanwhile, and not within them.
        The batch in hand is finished before a stop. An error that is not bad data ends the run: no
        event is skipped. `on_progress` is told whenever the assignment or the halted partitions change.

        Raises:
            PositionOutOfRange: every assigned partition is halted, or with `until_caught_up` only
                halted ones are left.
            LogReplaced: this is not the log that the store's positions refer to.
            LogError: the log cannot be read, for good.
            StoreError: the store cannot be read or written, for good.
        """
        told: Progress | None = None
        wait_seconds = 0.0 if until_caught_up else self._settings.idle_wait_seconds
        with _collecting_by_hand() as collect:
            while not stop.is_set():
                applied = self.step(wait_seconds)
                collect(applied)
                if on_progress is not None and self.progress() != told:
                    told = self.progress()
                    on_progress(told)
                if until_caught_up and applied == 0:
                    if self.caught_up():
                        return
                    # What is left is another worker's, or the group has not said yet whose it is.
                    wait_seconds = self._settings.idle_wait_seconds

    def progress(self) -> Progress:
        """Return what the worker does now."""
        halted = {partition: str(error) for partition, error in self._halted.items()}
        return Progress(frozenset(self._applied), halted)

    def caught_up(self) -> bool:
        """Tell whether every event of the log is applied, by this worker or another.

        Raises:
            PositionOutOfRange: what is left stands in partitions that this worker has halted.
        """
        try:
            ends, applied = self._consumer.ends(), self._store.applied()
        except (LogUnavailable, StoreBusy):
            # Unknown for now; whoever waits for it asks again.
            return False
        behind = {
            partition
            for partition, end in ends.items()
            if applied.get(partition, NOTHING_APPLIED).offset < end - 1
        }
        if behind and behind <= self._halted.keys():
            raise self._halted[min(behind)]
        return not behind and not self._held

    def lag(self) -> int:
        """Return how many events of the log are not applied yet, over all assigned partitions."""
        ends, applied = self._consumer.ends(), self._store.applied()
        return sum(
            ends[partition] - applied.get(partition, NOTHING_APPLIED).offset - 1
            for partition in self._consumer.assignment()
        )

    def step(self, wait_seconds: float) -> int:
        """Apply one micro-batch and return how many events it had (0: nothing was there).

        When the log or the store cannot be reached, or the store takes no more, the batch stays in hand,
        the partitions rest for a while, and 0 is returned.

        Raises:
            PositionOutOfRange: the log has lost events that the store has not applied, in every partition.
            LogReplaced: this is not the log that the store's positions refer to.
            StoreError: the store cannot be read or written.
        """
        try:
            self._follow_assignment()
            self._refuse_when_all_halted()
            if not self._held:
                self._held = list(self._read(wait_seconds))
            applied = self._apply() if self._held else 0
        except (StoreBusy, LogUnavailable) as error:
            passing("waiting")
            seconds = self._backoff.next_seconds()
            _log.warning("worker_waits", extra={"seconds": seconds, "cause": str(error)})
            self._consumer.rest(seconds)
            return 0
        self._backoff.reset()
        return applied

    def close(self) -> None:
        """Release what the worker has compiled, and its consumer."""
        self._forget_compiled()
        self._consumer.close()

    def _read(self, wait_seconds: float) -> Sequence[Slice]:
        try:
            return self._consumer.poll(
                self._settings.batch_events_max, self._settings.batch_bytes_max, wait_seconds
            )
        except PositionOutOfRange as error:
            self._halt(error)
            return ()

    def _apply(self) -> int:
        """Apply what is in hand, or as much as the store takes at once; return how many events that was."""
        passing("polled")
        events_max = sum(len(part.payloads) for part in self._held)
        while True:
            compiled = self._current_catalog()
            slices, later = split_at_starts(self._held, compiled.catalog)
            slices, rest = first_events(slices, events_max)
            change = decide(slices, self._applied, compiled, self._store, self._partitions, self._clock)
            if change.quarantined:
                # Before the position moves: a mirror may hold an event twice, and misses none.
                self._mirror(change.quarantined)
            passing("decided")
            try:
                self._store.commit(change)
            except ChangeTooLarge:
                if events_max == 1:
                    raise
                events_max = max(1, sum(len(part.payloads) for part in slices) // 2)
            except Overtaken:
                if self._store.catalog()[0] == compiled.revision:
                    self._give_way()
                    return 0
                # A campaign was applied meanwhile: the same events are counted by its rules, too.
            else:
                self._held = [*rest, *later]
                self._applied.update(change.applied)
                passing("committed")
                self._consumer.report({p: state.offset for p, state in change.applied.items()})
                passing("reported")
                return sum(len(part.payloads) for part in slices)

    def _give_way(self) -> None:
        """Another worker applied these partitions: go on from where it got to."""
        passing("overtaken")
        _log.info("worker_overtaken", extra={"partitions": sorted(self._applied)})
        self._applied.clear()
        self._held = []
        self._consumer.rest(OVERTAKEN_WAIT_SECONDS)

    def _halt(self, error: PositionOutOfRange) -> None:
        """Apply no more of a partition whose next event the log does not have; the others go on."""
        _log.error("partition_halted", extra={"partition": error.partition, "cause": str(error)})
        self._halted[error.partition] = error
        self._leave(error.partition)
        self._consumer.leave(error.partition)

    def _refuse_when_all_halted(self) -> None:
        if self._halted and not self._applied:
            raise self._halted[min(self._halted)]

    def _leave(self, partition: int) -> None:
        self._applied.pop(partition, None)
        self._held = [part for part in self._held if part.partition != partition]

    def _follow_assignment(self) -> None:
        """Start each partition that came to this worker just behind what the store holds."""
        assignment = self._consumer.assignment()
        known = frozenset(self._applied) | self._halted.keys()
        if assignment == known:
            return
        for partition in known - assignment:
            self._leave(partition)
            self._halted.pop(partition, None)
        if assignment <= known:
            return
        self._check_log()
        stored = self._store.applied()
        for partition in sorted(assignment - known):
            state = stored.get(partition, NOTHING_APPLIED)
            try:
                self._consumer.seek(partition, state.offset + 1)
            except PositionOutOfRange as error:
                self._halt(error)
            else:
                # Only now: a partition that could not be sought is sought again by the next step.
                self._applied[partition] = state

    def _check_log(self) -> None:
        """See to it that the store's positions refer to the log that is read.

        Raises:
            LogReplaced: they do not.
        """
        identity = self._consumer.identity()
        bound = self._store.bind(BoundLog(*identity))
        if bound != BoundLog(*identity):
            raise LogReplaced(
                f"the store's positions refer to the log {bound.name} of {bound.partitions} partitions, "
                f"and this is {identity.name} of {identity.partitions}: it was made anew, is another one, or "
                "got other partitions. Nothing of it was applied. Point Rung at the right log and store, or "
                "derive all figures from this log with `rung replay`"
            )
        self._partitions = identity.partitions

    def _current_catalog(self) -> Compiled:
        revision, record = self._store.catalog()
        if self._compiled is None or self._compiled.revision != revision:
            self._forget_compiled()
            catalog = Catalog.decode(record)
            self._compiled = Compiled(revision, catalog, Plans(catalog))
        return self._compiled

    def _forget_compiled(self) -> None:
        if self._compiled is not None:
            self._compiled.plans.close()
            self._compiled = None


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
