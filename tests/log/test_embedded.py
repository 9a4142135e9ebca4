from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest

from log.contract import PARTITIONS, LogContract, OpenLog, event, read_all, seek_all, user_in
from log.opening import environment, now, opened
from rung.log.embedded import EmbeddedLog
from rung.log.port import LogError, Position, PositionOutOfRange


class TestEmbeddedLog(LogContract):
    @contextmanager
    def open_log(self) -> Generator[OpenLog]:
        with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "log") as log:
            yield OpenLog(log.producer(), log.consumer())


class TestOpening:
    def test_reopen(self, folder: Path) -> None:
        """A log that is opened again holds what it held, and offsets go on."""
        with opened(folder) as log:
            log.append([event(user_in(1), 1)])
        with opened(folder) as log:
            assert log.append([event(user_in(1), 2)])[0] == Position(1, 1)
            assert log.read(Position(1, 0)) == event(user_in(1), 1)

    def test_other_number_of_partitions(self, folder: Path) -> None:
        """The number of partitions cannot change: users would move between partitions."""
        with opened(folder, 4):
            pass
        with pytest.raises(LogError, match=r"has 4 partitions, not 8.*set it to 4"), opened(folder, 8):
            pass

    @pytest.mark.parametrize("partitions", [-1, 0, 1_025])
    def test_impossible_number_of_partitions(self, folder: Path, partitions: int) -> None:
        """A log has 1 to 1,024 partitions."""
        with pytest.raises(LogError, match="1 to 1,024 partitions"), opened(folder, partitions):
            pass

    def test_one_partition(self, folder: Path) -> None:
        """A log of one partition takes every event."""
        with opened(folder, 1) as log:
            log.append([event(f"user-{number}") for number in range(10)])
            assert log.ends() == {0: 10}

    def test_unknown_format(self, folder: Path) -> None:
        """A log of a later format is refused instead of misread."""
        with opened(folder):
            pass
        other = lmdb.open(str(folder), max_dbs=2)
        with other.begin(write=True) as transaction:
            meta = other.open_db(b"meta", txn=transaction)
            transaction.put(b"log", b"\x00\x02 and something else", db=meta)
        other.close()
        with (
            pytest.raises(LogError, match="has format 2, this version of Rung reads format 1"),
            opened(folder),
        ):
            pass

    def test_something_else(self, folder: Path) -> None:
        """A folder with another program's environment is left alone."""
        folder.mkdir(parents=True)
        other = lmdb.open(str(folder))
        with other.begin(write=True) as transaction:
            transaction.put(b"key", b"value")
        other.close()
        with pytest.raises(LogError, match="no log is in it"), opened(folder):
            pass

    def test_no_environment(self, folder: Path) -> None:
        """A data.mdb that is no LMDB file is refused with its folder."""
        folder.mkdir(parents=True)
        (folder / "data.mdb").write_bytes(b"something else" * 1_000)
        with pytest.raises(LogError, match=f"{folder}.*not the file of a log"), opened(folder):
            pass

    def test_unusable_folder(self, tmp_path: Path) -> None:
        """A path that cannot be a folder is refused and named."""
        (tmp_path / "file").write_text("")
        with pytest.raises(LogError, match="cannot make the folder of the log"), opened(tmp_path / "file"):
            pass

    def test_twice_in_one_process(self, log: EmbeddedLog, folder: Path) -> None:
        """LMDB's rule of one opening per process is an error, not a broken lock."""
        with pytest.raises(LogError, match="already open in this process"), opened(folder):
            pass
        assert log.ends()

    def test_read_missing_log(self, folder: Path) -> None:
        """To read a log that does not exist is an error, and makes none."""
        with pytest.raises(LogError, match="there is no log in"):
            EmbeddedLog.open_to_read(folder)
        assert not folder.exists()

    def test_read_only(self, folder: Path) -> None:
        """A log that is open to read gives everything, and takes nothing."""
        with opened(folder) as log:
            log.append([event(user_in(1))])
        reader = EmbeddedLog.open_to_read(folder)
        seek_all(consumer := reader.consumer())
        assert list(read_all(consumer, 1)) == [Position(1, 0)]
        assert reader.partitions == PARTITIONS
        with pytest.raises(LogError, match="open for reading only"):
            reader.append([event("somebody")])
        with pytest.raises(LogError, match="cannot trim the log"):
            reader.trim(1, 0)
        reader.close()

    def test_closed(self, folder: Path) -> None:
        """A closed log refuses to work, and can be closed again."""
        log = EmbeddedLog.open(folder, PARTITIONS, now)
        log.close()
        log.close()
        with pytest.raises(LogError, match="cannot append to the log"):
            log.append([event("somebody")])
        with pytest.raises(LogError, match="cannot read the log"):
            log.ends()


class TestReading:
    def test_read(self, log: EmbeddedLog) -> None:
        """Any one event is read by its position, whatever block it stands in."""
        payloads = [event(f"user-{number}", number) for number in range(9_000)]
        positions = list(log.append(payloads[:8_500])) + list(log.append(payloads[8_500:]))
        for index in [0, 1, 4_095, 4_096, 8_499, 8_500, 8_999]:
            assert log.read(positions[index]) == payloads[index]

    def test_large_events(self, log: EmbeddedLog) -> None:
        """Events larger than a block are kept whole, between small ones."""
        payloads = [event(user_in(1), size, padding=size) for size in (1, 3 << 20, 2, 1 << 20, 3)]
        log.append(payloads)
        assert [payload for read in log.scan(1, 0, 5) for payload in read.payloads] == payloads

    def test_too_large_event(self, log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch) -> None:
        """An event above the log's limit is refused, with everything appended beside it."""
        monkeypatch.setattr("rung.log.embedded.EVENT_BYTES_MAX", 1_000)
        with pytest.raises(LogError, match="is too large: the log takes 1,000"):
            log.append([event("somebody"), event("somebody", padding=1_000)])
        assert set(log.ends().values()) == {0}

    @pytest.mark.parametrize("position", [Position(1, 3), Position(1, -1), Position(0, 0)])
    def test_no_event(self, log: EmbeddedLog, position: Position) -> None:
        """To read an event that is not there is an error that names what is there."""
        log.append([event(user_in(1))] * 3)
        place = f"partition {position.partition} has no event at offset {position.offset}"
        with pytest.raises(PositionOutOfRange, match=place):
            log.read(position)
        with pytest.raises(PositionOutOfRange, match=place):
            log.appended_at(position)

    @pytest.mark.parametrize("partition", [-1, PARTITIONS])
    def test_no_partition(self, log: EmbeddedLog, partition: int) -> None:
        """To read a partition that is not there is an error that names those that are."""
        with pytest.raises(LogError, match=f"no partition {partition}: the log has partitions 0 to 3"):
            log.read(Position(partition, 0))

    def test_scan(self, log: EmbeddedLog) -> None:
        """A scan yields a range across blocks, with the offset of each slice."""
        payloads = [event(user_in(2), number) for number in range(10)]
        for low in range(0, 10, 3):
            log.append(payloads[low : low + 3])
        slices = list(log.scan(2, 2, 8))
        assert [(read.first_offset, len(read.payloads)) for read in slices] == [(2, 1), (3, 3), (6, 2)]
        assert [payload for read in slices for payload in read.payloads] == payloads[2:8]
        assert list(log.scan(2, 5, 5)) == []

    def test_appended_at(self, folder: Path) -> None:
        """Each event is dated by the clock at its append, a slice by its first event."""
        times = iter([1_000, 2_000])
        log = EmbeddedLog.open(folder, PARTITIONS, lambda: next(times))
        log.append([event(user_in(1))] * 2)
        log.append([event(user_in(1))])
        found = [log.appended_at(Position(1, offset)) for offset in range(3)]
        slices = [read.appended_at for read in log.scan(1, 1, 3)]
        seek_all(consumer := log.consumer())
        (read,) = consumer.poll(10, 1_000, 0)
        log.close()
        assert len(read.payloads) == 3
        assert read.appended_at == 1_000
        assert found == [1_000, 1_000, 2_000]
        assert slices == [1_000, 2_000]

    def test_poll_without_room(self, log: EmbeddedLog) -> None:
        """A poll that may return nothing is a mistake of the caller."""
        seek_all(consumer := log.consumer())
        for events_max, bytes_max in ((0, 1), (1, 0)):
            with pytest.raises(LogError, match="room for at least one event"):
                consumer.poll(events_max, bytes_max, 0)

    def test_close_consumer(self, log: EmbeddedLog) -> None:
        """A closed consumer has no positions; the log stays open."""
        seek_all(consumer := log.consumer())
        consumer.close()
        with pytest.raises(LogError, match="seek"):
            consumer.poll(1, 1, 0)
        assert log.ends()

    def test_rotation(self, log: EmbeddedLog) -> None:
        """Polls of fewer events than partitions still reach every partition in turn."""
        log.append([event(user_in(partition)) for partition in range(PARTITIONS) for _ in range(5)])
        seek_all(consumer := log.consumer())
        turns = [consumer.poll(1, 1_000, 0)[0].partition for _ in range(2 * PARTITIONS)]
        assert sorted(turns[:PARTITIONS]) == list(range(PARTITIONS))
        assert turns[PARTITIONS:] == turns[:PARTITIONS]

    def test_bytes_are_shared(self, log: EmbeddedLog) -> None:
        """A partition of large events does not take the bytes of the others, only what they leave."""
        small, large = event(user_in(0)), event(user_in(1), padding=1_000)
        log.append([large] * 10 + [small] * 10)
        seek_all(consumer := log.consumer())
        read = {one.partition: list(one.payloads) for one in consumer.poll(20, 5_000, 0)}
        assert read == {0: [small] * 10, 1: [large] * 4}

    def test_large_event_among_small(self, log: EmbeddedLog) -> None:
        """An event above its partition's share is not passed over as long as others have events."""
        log.append([event(user_in(1), padding=2_000)] + [event(user_in(0))] * 500)
        seek_all(consumer := log.consumer())
        read = [one.partition for _ in range(2) for one in consumer.poll(400, 2_500, 0)]
        assert 1 in read


READ_FOR_EVER = """
import sys, time
from pathlib import Path
from rung.log.embedded import EmbeddedLog
with EmbeddedLog.open_to_read(Path(sys.argv[1])).snapshot() as snapshot:
    snapshot.bounds(0)
    print("reading", flush=True)
    time.sleep(60)
"""


class TestTrim:
    def test_trim(self, log: EmbeddedLog) -> None:
        """Whole blocks before the offset go, the block that holds it stays."""
        for _ in range(3):
            log.append([event(user_in(1))] * 10)
        assert log.trim(1, 25) == 20
        assert log.starts() == {0: 0, 1: 20, 2: 0, 3: 0}
        assert log.ends()[1] == 30
        assert log.read(Position(1, 20))
        with pytest.raises(PositionOutOfRange, match="starts at 20"):
            log.read(Position(1, 19))

    def test_trim_everything(self, folder: Path) -> None:
        """Offsets never start again, also when all events are gone and the log is opened anew."""
        with opened(folder) as log:
            log.append([event(user_in(1))] * 10)
            assert log.trim(1, 10) == 10
        with opened(folder) as log:
            assert log.starts()[1] == log.ends()[1] == 10
            assert log.append([event(user_in(1))])[0] == Position(1, 10)

    def test_trim_past_the_end(self, log: EmbeddedLog) -> None:
        """Events that are not there yet cannot be trimmed away."""
        log.append([event(user_in(1))])
        with pytest.raises(PositionOutOfRange, match="cannot trim partition 1 before 2: it ends at 1"):
            log.trim(1, 2)

    def test_trim_twice(self, log: EmbeddedLog) -> None:
        """A trim to where the log starts already changes nothing."""
        log.append([event(user_in(1))] * 3)
        log.append([event(user_in(1))] * 3)
        assert [log.trim(1, 3), log.trim(1, 3), log.trim(1, 0)] == [3, 3, 3]

    def test_trim_under_a_consumer(self, log: EmbeddedLog) -> None:
        """A consumer whose next event was trimmed away is told so, instead of skipping events."""
        log.append([event(user_in(1))] * 3)
        seek_all(consumer := log.consumer())
        log.trim(1, 3)
        with pytest.raises(PositionOutOfRange, match=r"partition 1.*from 0 on were trimmed away"):
            consumer.poll(10, 1_000, 0)
        with pytest.raises(PositionOutOfRange, match=r"partition 1.*from 2 on were trimmed away"):
            consumer.seek(1, 2)

    def test_room_is_used_again(self, log: EmbeddedLog, folder: Path) -> None:
        """Trimmed away events make room: the file stays small, also beside a consumer."""
        seek_all(consumer := log.consumer())
        sizes: list[int] = []
        for _ in range(20):
            log.append([event(user_in(1), padding=1_000)] * 1_000)
            read_all(consumer, 1_000)
            sizes.append((folder / "data.mdb").stat().st_size)
            assert log.size_bytes() >= 1_000_000
            log.trim(1, log.ends()[1])
            assert log.size_bytes() < 100_000
        assert sizes[-1] < 2 * sizes[1]

    def test_dead_reader(self, log: EmbeddedLog, folder: Path) -> None:
        """A reader that was killed in the middle of a read does not keep trimmed room for ever."""
        log.append([event(user_in(1))])
        process = subprocess.Popen(
            [sys.executable, "-c", READ_FOR_EVER, str(folder)], stdout=subprocess.PIPE, env=environment()
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"reading\n"
        process.kill()
        process.communicate()
        for _ in range(20):
            log.append([event(user_in(1), padding=1_000)] * 1_000)
            log.trim(1, log.ends()[1])
        assert (folder / "data.mdb").stat().st_size < 6_000_000
