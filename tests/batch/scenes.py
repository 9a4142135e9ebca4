"""A home in one process for tests of the batch layer: log, store, lake, engine, and a worker that may run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from campaign_pairs import Pair
from harness import put_campaigns
from rung.batch.duck import DuckEngine, EngineSettings
from rung.batch.snapshots import Snapshots
from rung.batch.workshop import Workshop
from rung.lake.delta import DeltaLake
from rung.log.embedded import EmbeddedLog
from rung.speed.worker import Worker, WorkerSettings
from rung.store.lmdb import LmdbStore
from rung.store.port import Store

PARTITIONS = 3


def clock() -> int:
    return time.time_ns() // 1_000


@dataclass
class Scene:
    """What a test works with."""

    folder: Path
    log: EmbeddedLog
    store: Store
    workshop: Workshop

    def append(self, events: Sequence[bytes]) -> None:
        self.log.append(events)

    def work(self) -> None:
        """Apply all that is in the log."""
        with closing(Worker(self.log.consumer(), self.store, WorkerSettings(), clock)) as worker:
            worker.run(threading.Event(), until_caught_up=True)

    @contextmanager
    def traffic(
        self, events: Sequence[bytes], pause_seconds: float = 0.02, chunk: int = 40
    ) -> Generator[None]:
        """Append events little by little and apply them, all of them until the end."""
        errors: list[BaseException] = []
        hurry, stop = threading.Event(), threading.Event()

        def produce() -> None:
            for first in range(0, len(events), chunk):
                self.log.append(events[first : first + chunk])
                hurry.wait(pause_seconds)

        def apply() -> None:
            settings = WorkerSettings(idle_wait_seconds=0.01, batch_events_max=100)
            with closing(Worker(self.log.consumer(), self.store, settings, clock)) as worker:
                worker.run(stop)
                worker.run(threading.Event(), until_caught_up=True)

        def guarded(work: object) -> None:
            try:
                work()  # type: ignore[operator]
            except BaseException as error:
                errors.append(error)

        producer = threading.Thread(target=guarded, args=(produce,))
        worker = threading.Thread(target=guarded, args=(apply,))
        producer.start()
        worker.start()
        try:
            yield
        finally:
            hurry.set()
            producer.join()
            # Only now: what is caught up with is the end of all events.
            stop.set()
            worker.join()
        if errors:
            raise errors[0]


@contextmanager
def opened_scene(
    folder: Path, pairs: Sequence[Pair] = (), now: Callable[[], int] = clock, store: Store | None = None
) -> Generator[Scene]:
    """Open everything in a folder, with campaigns applied; `now` tells the log and the jobs the time.

    Another store than the embedded one is closed at the end, too.
    """
    with ExitStack() as opened:
        log = opened.enter_context(closing(EmbeddedLog.open(folder / "log", PARTITIONS, now, 1 << 30)))
        store = store or LmdbStore(folder / "store", map_bytes=1 << 30)
        opened.enter_context(closing(store))
        put_campaigns(store, pairs)
        lake = DeltaLake.create(str(folder / "lake"), log.identity(), {})
        batch = folder / "batch"
        engine = opened.enter_context(DuckEngine.open(EngineSettings("512MiB", 2, batch / "spill")))
        yield Scene(folder, log, store, Workshop(log, store, lake, engine, Snapshots(batch), batch, now))
