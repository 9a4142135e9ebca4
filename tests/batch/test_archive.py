"""The archiver: every event of the log once in the lake, whoever else archives and whatever is away meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lake.comparing import difference, lake_rows
from lake.rows import due, places, purchase, rows
from log.opening import opened
from rung.batch.archive import Archiver, ArchiveSettings, Archiving, archive_up_to
from rung.lake.delta import DeltaLake
from rung.lake.port import LakeError
from rung.log.embedded import EmbeddedLog

SOON = ArchiveSettings(events_max=1_000, bytes_max=1 << 20, wait_seconds=0.05)
PATIENT = ArchiveSettings(events_max=1_000, bytes_max=1 << 20, wait_seconds=60.0)


@contextmanager
def scene(folder: Path) -> Generator[tuple[EmbeddedLog, DeltaLake]]:
    """Give an empty log and its lake."""
    with opened(folder / "log") as log:
        yield log, DeltaLake.create(str(folder / "lake"), log.identity(), {})


def feed(log: EmbeddedLog, first: int, count: int) -> None:
    """Append events to all four partitions in turn, and one that is none to the first."""
    log.append([*(purchase(number, number % 4) for number in range(first, first + count)), b"no event"])


def new(log: EmbeddedLog, lake: DeltaLake, settings: ArchiveSettings = SOON) -> Archiver:
    return Archiver(log.consumer(), lake, settings)


def run(archiver: Archiver) -> int:
    return archiver.run(threading.Event(), until_caught_up=True)


def steps(archiver: Archiver, seconds: float) -> int:
    """Let an archiver step for a while, and return what it appended."""
    appended, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        appended += archiver.step()
    return appended


def test_until_caught_up(tmp_path: Path) -> None:
    """It archives what the log has, tells how much, and ends; a second run finds what has come since."""
    with scene(tmp_path) as (log, lake):
        feed(log, 0, 40)
        assert run(new(log, lake)) == 41
        assert run(new(log, lake)) == 0
        feed(log, 40, 8)
        assert run(new(log, lake)) == 9
        assert difference(log, lake) == ""
        assert lake.positions() == log.ends()


def test_an_empty_log(tmp_path: Path) -> None:
    """Of an empty log there is nothing to archive, and no file is written."""
    with scene(tmp_path) as (log, lake):
        assert run(new(log, lake)) == 0
        assert lake.state().version == 0


def test_events_wait_for_others(tmp_path: Path) -> None:
    """Events wait to be appended together, as long as they may, or until there are enough."""
    with scene(tmp_path) as (log, lake):
        archiver = new(log, lake, ArchiveSettings(events_max=50, wait_seconds=60.0))
        feed(log, 0, 20)
        assert steps(archiver, 0.3) == 0
        feed(log, 20, 40)
        assert archiver.step() == 50
        assert steps(archiver, 0.2) == 0
        assert archiver.flush() == 12
        assert difference(log, lake) == ""


def test_the_first_event_waits_its_full_time(tmp_path: Path) -> None:
    """However long an archiver has been idle, the first event waits for others."""
    with scene(tmp_path) as (log, lake):
        archiver = new(log, lake, ArchiveSettings(wait_seconds=0.5))
        steps(archiver, 0.8)
        feed(log, 0, 4)
        assert archiver.step() == 0
        assert steps(archiver, 0.8) == 5


def test_large_events(tmp_path: Path) -> None:
    """What is held is bounded in bytes, too."""
    with scene(tmp_path) as (log, lake):
        log.append([purchase(number, 0, padding="x" * 10_000) for number in range(12)])
        archiver = new(log, lake, ArchiveSettings(bytes_max=30_000, wait_seconds=60.0))
        appended = [archiver.step() for _ in range(8)]
        assert sum(appended) >= 3
        assert max(appended) <= 4
        run(archiver)
        assert difference(log, lake) == ""


def test_a_stop_appends_what_is_held(tmp_path: Path) -> None:
    """When it is stopped, what it holds is appended."""
    with scene(tmp_path) as (log, lake):
        feed(log, 0, 40)
        archiver, stop, appended = new(log, lake, PATIENT), threading.Event(), list[int]()
        thread = threading.Thread(target=lambda: appended.append(archiver.run(stop)))
        thread.start()
        time.sleep(0.3)
        assert lake.state().version == 0
        stop.set()
        thread.join()
        assert appended == [41]
        assert difference(log, lake) == ""


def test_progress(tmp_path: Path) -> None:
    """It tells its partitions, and what is appended and held."""
    with scene(tmp_path) as (log, lake):
        feed(log, 0, 40)
        told: list[Archiving] = []
        new(log, lake, PATIENT).run(threading.Event(), until_caught_up=True, on_progress=told.append)
        assert told[-1] == Archiving(0, 41, frozenset(range(4)), {})


def test_two_at_once(tmp_path: Path) -> None:
    """Two archivers of one log, and a job that archives beside them: every event is there once."""
    with scene(tmp_path) as (log, lake):
        stop, failed = threading.Event(), list[Exception]()

        def archive() -> None:
            try:
                own = DeltaLake.open(str(tmp_path / "lake"), {})
                new(log, own).run(stop)
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=archive) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(20):
            feed(log, number * 20, 20)
            if number % 5 == 4:
                archive_up_to(log, lake, log.ends())
                assert lake.positions() == log.ends()
            time.sleep(0.03)
        stop.set()
        for thread in threads:
            thread.join()
        assert failed == []
        run(new(log, lake))
        assert difference(log, lake) == ""


def test_lost_events(tmp_path: Path) -> None:
    """A partition whose next event was trimmed away is halted and named; the others are archived."""
    with scene(tmp_path) as (log, lake):
        feed(log, 0, 40)
        run(new(log, lake))
        feed(log, 40, 40)
        log.trim(1, 20)
        feed(log, 80, 8)
        told: list[Archiving] = []
        with pytest.raises(
            LakeError, match="the lake has partition 1 up to offset 10, and the log does not go on"
        ):
            new(log, lake).run(threading.Event(), until_caught_up=True, on_progress=told.append)
        assert "trimmed away" in told[-1].halted[1]
        ends = log.ends()
        assert lake.positions() == {**ends, 1: 10}
        assert places(lake_rows(lake)) == due(*((p, 0, 10 if p == 1 else end) for p, end in ends.items()))


def test_lost_while_it_reads(tmp_path: Path) -> None:
    """What it had read of a partition before the next event was lost is appended all the same."""
    with scene(tmp_path) as (log, lake):
        feed(log, 0, 40)
        archiver = new(log, lake, PATIENT)
        assert archiver.step() == 0
        feed(log, 40, 40)
        log.trim(1, 20)
        with pytest.raises(LakeError, match="partition 1 up to offset 10"):
            run(archiver)
        assert lake.positions() == {**log.ends(), 1: 10}


def test_all_lost(tmp_path: Path) -> None:
    """When every partition is halted it ends with the reason."""
    with scene(tmp_path) as (log, lake):
        feed(log, 0, 40)
        for partition, end in log.ends().items():
            log.trim(partition, end)
        with pytest.raises(LakeError, match="partition 0 up to offset 0, and the log does not go on"):
            new(log, lake).run(threading.Event())


def test_a_lake_that_is_ahead(tmp_path: Path) -> None:
    """A log that ends before the lake does is not the one that was archived: it is halted, not archived anew."""
    with scene(tmp_path) as (log, lake):
        feed(log, 0, 40)
        lake.append(rows(), {2: 0}, {2: 99})
        with pytest.raises(LakeError, match="partition 2 up to offset 99, and the log does not go on"):
            run(new(log, lake))
        with pytest.raises(LakeError, match="partition 2 up to offset 99"):
            archive_up_to(log, lake, {2: 120})


def test_up_to(tmp_path: Path) -> None:
    """A job archives just what is missing before its ends, and what is there already it leaves alone."""
    with scene(tmp_path) as (log, lake):
        feed(log, 0, 40)
        assert archive_up_to(log, lake, {0: 5, 1: 3, 3: 0}) == 8
        version = lake.state().version
        assert archive_up_to(log, lake, {0: 4, 1: 3}) == 0
        assert lake.state().version == version
        assert archive_up_to(log, lake, log.ends()) == 33
        assert difference(log, lake) == ""


def test_up_to_what_is_lost(tmp_path: Path) -> None:
    """A job whose events were trimmed away before they were archived says so."""
    with scene(tmp_path) as (log, lake):
        feed(log, 0, 40)
        log.trim(1, log.ends()[1])
        with pytest.raises(
            LakeError, match="the lake has partition 1 up to offset 0, and the log does not go on"
        ):
            archive_up_to(log, lake, log.ends())
