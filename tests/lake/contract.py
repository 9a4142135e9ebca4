"""What every adapter of the lake port does: subclass `LakeContract` and say how to make and open a lake."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import date
from pathlib import Path
from threading import Barrier, Thread

import pyarrow as pa
import pytest

from lake.rows import AT, DAY, LOG, due, places, purchase, rows, slice_of
from rung.lake.port import Lake, LakeError, LakeOvertaken
from rung.log.port import LogIdentity, Slice


def everything(lake: Lake) -> pa.Table:
    """Return all rows of a lake."""
    tables = [lake.read(file) for file in lake.state().files]
    return pa.concat_tables(tables) if tables else rows()


def append(lake: Lake, partition: int, first: int, count: int, at: int = AT) -> None:
    """Append consecutive purchases."""
    lake.append(rows(slice_of(partition, first, count, at)), {partition: first}, {partition: first + count})


class LakeContract(ABC):
    """The contract. Every test works on a lake of its own."""

    @abstractmethod
    def make(self, folder: Path, log: LogIdentity = LOG) -> Lake:
        """Open the lake in a folder, and make it where there is none."""

    def test_new(self, tmp_path: Path) -> None:
        """A new lake holds nothing, and knows its log."""
        state = self.make(tmp_path).state()
        assert (state.log, state.files) == (LOG, [])
        assert state.positions == dict.fromkeys(range(4), 0)

    def test_read_back(self, tmp_path: Path) -> None:
        """What is appended is read as it was, by whoever opens the lake later."""
        lake, appended = self.make(tmp_path), rows(slice_of(1, 0, 30), slice_of(3, 0, 5))
        lake.append(appended, {1: 0, 3: 0}, {1: 30, 3: 5})
        found = everything(self.make(tmp_path))
        assert found.equals(appended)
        assert found.schema.equals(appended.schema)

    def test_positions_move_with_the_events(self, tmp_path: Path) -> None:
        """Positions move by an append of their partitions, and by no other."""
        lake = self.make(tmp_path)
        append(lake, 1, 0, 30)
        append(lake, 2, 0, 1)
        append(lake, 1, 30, 2)
        assert lake.positions() == {0: 0, 1: 32, 2: 1, 3: 0}
        assert lake.state().positions == lake.positions()
        assert places(everything(lake)) == due((1, 0, 32), (2, 0, 1))

    def test_positions_without_events(self, tmp_path: Path) -> None:
        """A position may move past offsets that hold no event."""
        lake = self.make(tmp_path)
        lake.append(rows(), {2: 0}, {2: 7})
        assert self.make(tmp_path).positions()[2] == 7
        assert everything(lake).num_rows == 0

    def test_files(self, tmp_path: Path) -> None:
        """A file holds events of one partition and one day, in order, and the state tells what is in it."""
        lake = self.make(tmp_path)
        late = slice_of(1, 3, 2, AT + DAY)
        lake.append(rows(slice_of(1, 0, 3), late, slice_of(0, 0, 4)), {0: 0, 1: 0}, {0: 4, 1: 5})
        told = [
            (file.partition, file.day, file.events, file.first_offset, file.last_offset)
            for file in lake.state().files
        ]
        assert told == [
            (0, date(2021, 8, 3), 4, 0, 3),
            (1, date(2021, 8, 3), 3, 0, 2),
            (1, date(2021, 8, 4), 2, 3, 4),
        ]
        assert all(file.bytes > 0 for file in lake.state().files)
        chosen = [file.first_offset for file in lake.state().of_partition(1, 2, 3)]
        assert chosen == [0]

    def test_same_positions_twice(self, tmp_path: Path) -> None:
        """Of two archivers with the same positions the second is refused, and nothing is there twice."""
        first, second = self.make(tmp_path), self.make(tmp_path)
        append(first, 1, 0, 30)
        for lake in (first, second):
            with pytest.raises(LakeOvertaken):
                append(lake, 1, 0, 30)
        assert places(everything(second)) == due((1, 0, 30))

    def test_wrong_positions(self, tmp_path: Path) -> None:
        """Who is ahead of the lake, or behind it in one of several partitions, is refused as a whole."""
        lake = self.make(tmp_path)
        with pytest.raises(LakeOvertaken):
            append(lake, 1, 5, 5)
        append(lake, 1, 0, 5)
        with pytest.raises(LakeOvertaken):
            lake.append(rows(slice_of(0, 0, 2), slice_of(1, 0, 2)), {0: 0, 1: 0}, {0: 2, 1: 2})
        assert places(everything(lake)) == due((1, 0, 5))
        assert lake.positions() == {0: 0, 1: 5, 2: 0, 3: 0}

    def test_race(self, tmp_path: Path) -> None:
        """Archivers that append the same events at the same moment: one wins every time, and all are there once."""
        lakes = [self.make(tmp_path) for _ in range(3)]
        barrier, won = Barrier(len(lakes)), list[int]()

        def archive(number: int) -> None:
            for first in range(0, 40, 10):
                barrier.wait()
                try:
                    append(lakes[number], 2, first, 10)
                except LakeOvertaken:
                    continue
                won.append(first)

        threads = [Thread(target=archive, args=(number,)) for number in range(len(lakes))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [0, 10, 20, 30]
        assert places(everything(lakes[0])) == due((2, 0, 40))

    def test_other_partitions_at_once(self, tmp_path: Path) -> None:
        """Archivers of different partitions do not hinder one another."""
        lakes = [self.make(tmp_path) for _ in range(4)]
        failed: list[Exception] = []

        def archive(partition: int) -> None:
            try:
                for first in range(0, 25, 5):
                    append(lakes[partition], partition, first, 5)
            except (LakeOvertaken, LakeError) as error:
                failed.append(error)

        threads = [Thread(target=archive, args=(partition,)) for partition in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert places(everything(lakes[0])) == due(*((partition, 0, 25) for partition in range(4)))

    def test_a_state_stays(self, tmp_path: Path) -> None:
        """A state tells what it told, and its files can be read, whatever is appended or compacted later."""
        lake = self.make(tmp_path)
        for first in range(0, 30, 10):
            append(lake, 1, first, 10)
        before = lake.state()
        told = list(before.files), dict(before.positions), before.version
        append(lake, 1, 30, 10)
        lake.compact(1)
        assert (list(before.files), dict(before.positions), before.version) == told
        assert places(pa.concat_tables([lake.read(file) for file in before.files])) == due((1, 0, 30))

    def test_compaction(self, tmp_path: Path) -> None:
        """Small files become one for each day and partition; events and positions stay; a second run changes nothing."""
        lake = self.make(tmp_path)
        for number in range(12):
            append(lake, 1, number * 10, 10, AT + DAY * (number // 6))
        append(lake, 2, 0, 3)
        lake.append(rows(), {3: 0}, {3: 9})
        before = everything(lake)
        done = lake.compact(1)
        assert (done.files_before, done.files_after, done.deleted) == (13, 3, 0)
        assert everything(lake).equals(before)
        assert lake.positions() == {0: 0, 1: 120, 2: 3, 3: 9}
        assert [(f.partition, f.first_offset, f.last_offset) for f in lake.state().files] == [
            (1, 0, 59),
            (1, 60, 119),
            (2, 0, 2),
        ]
        version = lake.state().version
        assert lake.compact(1).files_before == 3
        assert [file.path for file in lake.state().files] == [
            file.path for file in self.make(tmp_path).state().files
        ]
        assert lake.state().version >= version

    def test_replaced_files_are_deleted(self, tmp_path: Path) -> None:
        """What a compaction replaced is deleted by one that need not keep it any longer."""
        lake = self.make(tmp_path)
        for first in range(0, 30, 10):
            append(lake, 1, first, 10)
        old = lake.state().files
        assert lake.compact(168).deleted == 0
        lake.check(old[0])
        assert lake.compact(0).deleted == 3
        with pytest.raises(LakeError, match="is missing: begin again if a compaction has replaced it"):
            lake.read(old[0])
        assert places(everything(lake)) == due((1, 0, 30))

    def test_compaction_beside_an_archiver(self, tmp_path: Path) -> None:
        """An archiver appends while compaction after compaction runs: neither fails, and every event is there once."""
        lake, other, failed = self.make(tmp_path), self.make(tmp_path), list[Exception]()
        ended = False

        def compact() -> None:
            try:
                while not ended:
                    other.compact(1)
            except (LakeOvertaken, LakeError) as error:
                failed.append(error)

        thread = Thread(target=compact)
        thread.start()
        for first in range(0, 200, 5):
            append(lake, 0, first, 5)
        ended = True
        thread.join()
        assert failed == []
        lake.compact(1)
        assert places(everything(lake)) == due((0, 0, 200))
        assert lake.positions()[0] == 200

    def test_compactions_at_once(self, tmp_path: Path) -> None:
        """Of compactions at the same time some are refused; no event is there twice or lost."""
        lake = self.make(tmp_path)
        for number in range(12):
            append(lake, number % 3, number // 3 * 10, 10)
        lakes, refused = [self.make(tmp_path) for _ in range(3)], list[str]()
        barrier = Barrier(len(lakes))

        def compact(number: int) -> None:
            barrier.wait()
            try:
                lakes[number].compact(1)
            except LakeOvertaken as error:
                refused.append(str(error))

        threads = [Thread(target=compact, args=(number,)) for number in range(len(lakes))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(refused) <= {"another compaction of this lake is under way: one is enough"}
        assert places(everything(lake)) == due((0, 0, 40), (1, 0, 40), (2, 0, 40))
        lake.compact(1)
        assert len(lake.state().files) == 3

    def test_another_log(self, tmp_path: Path) -> None:
        """The lake of another log, or of one with other partitions, is refused with the reason and the fix."""
        self.make(tmp_path)
        for log in (LogIdentity("another", 4), LogIdentity("a-log", 5)):
            with pytest.raises(
                LakeError, match=r"belongs to log a-log with 4 partitions.*Choose another folder"
            ):
                self.make(tmp_path, log)

    def test_an_event_without_a_user(self, tmp_path: Path) -> None:
        """Rejected events keep their bytes, whatever these are."""
        lake = self.make(tmp_path)
        payloads = [b"no json", bytes(range(256)), b"", purchase(3)]
        appended = rows(Slice(0, 0, payloads, AT))
        lake.append(appended, {0: 0}, {0: 4})
        assert everything(lake).column("payload").to_pylist() == [*payloads[:3], None]
