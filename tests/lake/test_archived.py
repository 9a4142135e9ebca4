"""A log with its lake: what was trimmed away is read from there, as if it were in the log."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from campaign_pairs import FIRST_VERSION
from harness import put_campaigns, stored_figures, ticking, work_to_the_end
from lake.rows import purchase, user_in
from log.contract import read_all
from log.opening import opened
from rung.batch.archive import archive_up_to
from rung.lake.archived import ArchivedLog
from rung.lake.delta import DeltaLake
from rung.lake.port import LakeError
from rung.log.embedded import EmbeddedLog
from rung.log.port import LogIdentity, Position, PositionOutOfRange
from rung.speed.worker import Worker, WorkerSettings
from rung.store.memory import MemoryStore

EVENTS = 200


@contextmanager
def trimmed(folder: Path) -> Generator[tuple[EmbeddedLog, ArchivedLog]]:
    """Give a log whose partitions are archived to some extent, and trimmed to another, and the whole of it."""
    with opened(folder / "log") as log:
        for first in range(0, EVENTS, 20):
            log.append([purchase(number, number % 4) for number in range(first, first + 20)])
        lake = DeltaLake.create(str(folder / "lake"), log.identity(), {})
        archive_up_to(log, lake, {0: 50, 1: 30, 2: 50, 3: 5})
        for partition, before in {0: 50, 1: 20, 2: 5}.items():
            log.trim(partition, before)
        yield log, ArchivedLog.whole(log, lake)


def positions_of(log: ArchivedLog, partition: int, first: int, end: int) -> list[int]:
    return [
        part.first_offset + index
        for part in log.scan(partition, first, end)
        for index in range(len(part.payloads))
    ]


def test_scan(tmp_path: Path) -> None:
    """A scan goes from the lake over into the log, wherever it begins and ends, and misses nothing."""
    with trimmed(tmp_path) as (log, whole):
        assert log.starts() == {0: 50, 1: 20, 2: 5, 3: 0}
        assert whole.starts() == {0: 0, 1: 0, 2: 0, 3: 0}
        for partition in range(4):
            for first, end in ((0, 50), (0, 3), (4, 21), (19, 20), (20, 50), (7, 7)):
                assert positions_of(whole, partition, first, end) == list(range(first, end))


def test_scan_past_the_end(tmp_path: Path) -> None:
    """What neither of them has is out of range."""
    with trimmed(tmp_path) as (_, whole), pytest.raises(PositionOutOfRange):
        positions_of(whole, 0, 0, 51)


def test_scan_for_a_user(tmp_path: Path) -> None:
    """Of the lake a user gets its own events and those that are nobody's; of the log, all."""
    with trimmed(tmp_path) as (_, whole):
        found = [payload for part in whole.scan_for("nobody", 1, 50) for payload in part.payloads]
        assert len(found) == 30
        found = [payload for part in whole.scan_for(user_in(1), 1, 50) for payload in part.payloads]
        assert len(found) == 50


def test_consumer(tmp_path: Path) -> None:
    """A consumer reads the lake up to where the log begins, within its bounds, and goes on in the log."""
    with trimmed(tmp_path) as (_, whole), closing(whole.consumer()) as consumer:
        assert consumer.identity() == whole.identity()
        for partition in sorted(consumer.assignment()):
            consumer.seek(partition, 3)
        assert consumer.read_to() == dict.fromkeys(range(4), 3)
        first = consumer.poll(7, 1 << 20, 0.0)
        assert sum(len(part.payloads) for part in first) == 7
        found = {
            Position(part.partition, part.first_offset + index): payload
            for part in first
            for index, payload in enumerate(part.payloads)
        }
        found |= read_all(consumer, 4 * 47 - 7, events_max=11)
        assert set(found) == {Position(p, offset) for p in range(4) for offset in range(3, 50)}
        assert consumer.read_to() == consumer.ends() == whole.ends()
        consumer.seek(2, 0)
        consumer.leave(2)
        assert list(consumer.poll(10, 1 << 20, 0.0)) == []


def test_small_polls(tmp_path: Path) -> None:
    """A poll within few bytes gives at least one event."""
    with trimmed(tmp_path) as (_, whole), closing(whole.consumer()) as consumer:
        consumer.seek(0, 0)
        assert len(read_all(consumer, 50, bytes_max=1)) == 50


@pytest.mark.parametrize("batch_events_max", [7, 1_000])
def test_the_same_figures(tmp_path: Path, batch_events_max: int) -> None:
    """A worker that begins anew gets the figures that it had before the log was trimmed."""
    with opened(tmp_path / "before") as log, closing(MemoryStore()) as store:
        put_campaigns(store, [FIRST_VERSION])
        log.append([purchase(number, number % 4) for number in range(EVENTS)])
        work_to_the_end(log, store)
        due = stored_figures(store)
    with trimmed(tmp_path) as (_, whole), closing(MemoryStore()) as store:
        put_campaigns(store, [FIRST_VERSION])
        settings = WorkerSettings(batch_events_max=batch_events_max)
        with closing(Worker(whole.consumer(), store, settings, ticking())) as worker:
            worker.run(threading.Event(), until_caught_up=True)
        assert stored_figures(store) == due
        assert due


def test_a_lake_that_is_behind(tmp_path: Path) -> None:
    """A lake that lacks what was trimmed away makes nothing whole, and says what is missing."""
    with trimmed(tmp_path) as (log, _):
        log.trim(3, 20)
        lake = DeltaLake.open(str(tmp_path / "lake"), {})
        with pytest.raises(LakeError, match="has partition 3 up to offset 5, and the log from 20 on"):
            ArchivedLog.whole(log, lake)


def test_another_lake(tmp_path: Path) -> None:
    """The lake of another log makes nothing whole."""
    with trimmed(tmp_path) as (log, _):
        lake = DeltaLake.create(str(tmp_path / "other"), LogIdentity("other", 4), {})
        with pytest.raises(LakeError, match="belongs to another log"):
            ArchivedLog.whole(log, lake)
