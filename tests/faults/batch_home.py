"""A home whose batch jobs are real processes: they are killed, stopped, and run beside a worker."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from batch.reading import figure_checksums, snapshot_figures
from campaign_pairs import Pair
from faults.rung_process import RungProcess
from harness import decode_catalog, put_campaigns, stored_figures, work_to_the_end
from oracle import FigureKey, Oracle
from rung import bootstrap
from rung.batch.snapshots import Snapshot, Snapshots
from rung.campaign.catalog import Catalog
from rung.log.embedded import EmbeddedLog
from rung.settings import FILE_NAME

JOB_SECONDS_MAX = 90.0


@dataclass
class BatchHome:
    """An embedded home with campaigns. Between the calls nothing of it is open in this process."""

    folder: Path
    opening: threading.RLock = field(default_factory=threading.RLock)
    """A log and a store are open in one thread of this process at a time."""
    started: list[RungProcess] = field(default_factory=list[RungProcess])

    @classmethod
    def make(cls, folder: Path, pairs: Sequence[Pair]) -> BatchHome:
        """Make a home and apply campaigns."""
        made = cls(folder)
        made.path.mkdir(parents=True)
        text = "[log]\npartitions = 3\n[batch]\nmemory_mib = 512\n[worker]\nbatch_events_max = 100\n"
        (made.path / FILE_NAME).write_text(text, encoding="utf-8")
        bootstrap.initialise(made.path)
        made.apply(pairs)
        return made

    @property
    def path(self) -> Path:
        """Where the home is."""
        return self.folder / "home"

    @property
    def snapshots(self) -> Snapshots:
        """The snapshots, as any process sees them."""
        return Snapshots(self.path / "batch")

    def apply(self, pairs: Sequence[Pair]) -> None:
        """Apply campaigns."""
        with self.opening, bootstrap.opened_store(bootstrap.open_home(self.path)) as store:
            put_campaigns(store, pairs)

    def append(self, events: Sequence[bytes]) -> None:
        """Append events."""
        with self.opening, bootstrap.opened_log(bootstrap.open_home(self.path)) as log:
            log.producer().append(events)

    def work(self) -> None:
        """Apply all events in this process."""
        home = bootstrap.open_home(self.path)
        with self.opening, bootstrap.opened_log(home) as log, bootstrap.opened_store(home) as store:
            assert isinstance(log, EmbeddedLog)
            work_to_the_end(log, store)

    def start(self, *arguments: str, arms: Sequence[str] = ()) -> RungProcess:
        """Start a command on the home, with arms of `faults.armed`."""
        name = f"{'-'.join(arguments[:2])}-{len(self.started)}"
        command = ["--home", str(self.path), *arguments]
        process = RungProcess(name, self.folder / name, command, arms).launch()
        self.started.append(process)
        return process

    def fine(self, *arguments: str) -> str:
        """Run a command that has to succeed, and return what it printed."""
        process = self.start(*arguments)
        code = process.ended(JOB_SECONDS_MAX)
        assert code == 0, process.printed()
        return process.printed()

    def catalog(self) -> Catalog:
        """Return the catalog in force."""
        with self.opening, bootstrap.opened_store(bootstrap.open_home(self.path), read_only=True) as store:
            return decode_catalog(store.catalog()[1])

    def stored(self) -> dict[FigureKey, int]:
        """Return the figures of the store."""
        with self.opening, bootstrap.opened_store(bootstrap.open_home(self.path), read_only=True) as store:
            return stored_figures(store)

    def figures(self, snapshot: Snapshot) -> dict[FigureKey, int]:
        """Return the figures of a snapshot."""
        return snapshot_figures(self.snapshots, snapshot, self.catalog())

    def oracle_at(self, pairs: Sequence[Pair], ends: Mapping[int, int] | None = None) -> dict[FigureKey, int]:
        """Return what the oracle makes of the events before positions, of all events without them."""
        oracle = Oracle([pair.oracle for pair in pairs])
        with self.opening, bootstrap.opened_log(bootstrap.open_home(self.path), read_only=True) as log:
            for partition, end in sorted((ends or log.ends()).items()):
                for part in log.scan(partition, 0, end):
                    oracle.apply_all(part.payloads)
        return oracle.figures()

    def full_checksums(self) -> dict[tuple[str, int], str]:
        """Return the checksums of the figures of a full run, whose snapshot is the newest afterwards."""
        self.fine("batch", "aggregate", "--full")
        return figure_checksums(self.snapshots.all()[0])

    def close(self) -> None:
        """Kill what still runs."""
        for process in self.started:
            process.kill()


@contextmanager
def batch_home(folder: Path, pairs: Sequence[Pair]) -> Generator[BatchHome]:
    """Make a home; at the end nothing of it runs any more."""
    with ExitStack() as opened:
        made = BatchHome.make(folder, pairs)
        opened.callback(made.close)
        yield made
