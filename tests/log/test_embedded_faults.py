from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import lmdb
import pytest

from log import appender
from log.contract import PARTITIONS, event, read_all, seek_all, user_in
from log.opening import environment, now, opened
from rung.log.embedded import EmbeddedLog
from rung.log.port import LogError, Position


class TestFaults:
    @pytest.mark.parametrize("place", ["first", "middle", "last"])
    def test_damaged_byte(self, folder: Path, place: str) -> None:
        """A changed byte is found when its block is read; the other blocks are read as ever."""
        with opened(folder) as log:
            log.append([event(user_in(1), number) for number in range(3)])
            log.append([event(user_in(1), number) for number in (10, 11, 12)])
        data = bytearray((folder / "data.mdb").read_bytes())
        # An old page may hold the same bytes, so every copy is changed.
        damaged = event(user_in(1), {"first": 10, "middle": 11, "last": 12}[place])
        at = data.find(damaged)
        assert at > 0
        while at > 0:
            data[at + len(damaged) - 1] ^= 0x01
            at = data.find(damaged)
        (folder / "data.mdb").write_bytes(data)
        with opened(folder) as log:
            seek_all(consumer := log.consumer())
            with pytest.raises(LogError, match="damaged log: the checksum of partition 1, block of offset 3"):
                consumer.poll(10, 1 << 20, 0)
            assert log.read(Position(1, 2)) == event(user_in(1), 2)

    def test_missing_block(self, folder: Path) -> None:
        """A block that is gone is damage; its events are not skipped."""
        with opened(folder) as log:
            for number in range(3):
                log.append([event(user_in(1), number)] * 2)
        other = lmdb.open(str(folder), max_dbs=2)
        with other.begin(write=True) as transaction:
            blocks = other.open_db(b"blocks", txn=transaction)
            assert transaction.delete(b"\x00\x01" + (2).to_bytes(8), db=blocks)
        other.close()
        with opened(folder) as log:
            with pytest.raises(LogError, match="damaged log: partition 1 has no block with offset 2"):
                list(log.scan(1, 0, 6))
            with pytest.raises(LogError, match="damaged log: partition 1 has no block at its start 2"):
                log.trim(1, 6)

    def test_file_limit(self, log: EmbeddedLog, folder: Path) -> None:
        """When the file cannot grow, an append fails as a whole, and works once there is room."""
        log.append([event(user_in(1), 1)])
        ends = log.ends()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((folder / "data.mdb").stat().st_size + 300_000, limits[1]))
        try:
            for _ in range(2):
                with pytest.raises(LogError, match=r"nothing of it was kept\. Is the disk full"):
                    log.append([event(f"user-{number}", padding=1_000) for number in range(1_000)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert log.ends() == ends
        assert log.append([event(user_in(1), 2)])[0] == Position(1, 1)
        assert [payload for read in log.scan(1, 0, 2) for payload in read.payloads] == [
            event(user_in(1), 1),
            event(user_in(1), 2),
        ]

    def test_size_limit(self, folder: Path) -> None:
        """A log at its size limit refuses an append as a whole, and takes events again after a trim."""
        log = EmbeddedLog.open(folder, PARTITIONS, now, map_bytes_max=1 << 20)
        many = [event(user_in(1), padding=1_000)] * 600
        log.append(many)
        with pytest.raises(LogError, match="reached its size limit"):
            log.append(many)
        assert log.ends()[1] == 600
        log.trim(1, 600)
        # Freed pages can be used from the commit after the next one on.
        log.append([event(user_in(1))])
        log.append(many)
        log.close()

    def test_failed_clock(self, folder: Path) -> None:
        """An error in the middle of an append leaves nothing behind, and the log usable."""
        times = iter([1, None, 3])

        def clock() -> int:
            at = next(times)
            if at is None:
                raise RuntimeError("no time")
            return at

        log = EmbeddedLog.open(folder, PARTITIONS, clock)
        log.append([event(user_in(1))])
        with pytest.raises(RuntimeError, match="no time"):
            log.append([event(user_in(1))])
        assert log.append([event(user_in(1))])[0] == Position(1, 1)
        log.close()


def start(folder: Path, name: str, batches: int) -> subprocess.Popen[bytes]:
    """Start a process that appends; it does once its first line comes."""
    command = [sys.executable, appender.__file__, str(folder), name, str(batches)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment())


def indices_of_batches(log: EmbeddedLog) -> Mapping[str, list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for partition, end in log.ends().items():
        for read in log.scan(partition, log.starts()[partition], end):
            for payload in read.payloads:
                sent = json.loads(payload)
                found[sent["batch"]].append(sent["index"])
    return found


class TestProcesses:
    def test_threads(self, log: EmbeddedLog) -> None:
        """Threads that append at once share the partitions without a gap or a double."""
        positions: list[Position] = []

        def append() -> None:
            for _ in range(20):
                positions.extend(log.append([event(f"user-{number}") for number in range(8)]))

        threads = [threading.Thread(target=append) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(positions) == 960
        assert sorted(positions) == [
            Position(partition, offset) for partition, end in log.ends().items() for offset in range(end)
        ]

    def test_other_processes(self, folder: Path) -> None:
        """What two other processes append is read while they do, each event once, in their order."""
        with opened(folder):
            pass
        batches = 20
        processes = [start(folder, name, batches) for name in ("a", "b")]
        reader = EmbeddedLog.open_to_read(folder)
        seek_all(consumer := reader.consumer())
        found = read_all(consumer, 2 * appender.THREADS * batches * appender.BATCH_EVENTS, events_max=50)
        for process in processes:
            process.communicate()
            assert process.returncode == 0
        reader.close()
        numbers: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for position in sorted(found):
            sent = json.loads(found[position])
            thread, number = sent["batch"].rsplit("-", 1)
            numbers[thread, sent["index"]].append(int(number))
        assert len(numbers) == 2 * appender.THREADS * appender.BATCH_EVENTS
        assert all(each == list(range(batches)) for each in numbers.values())

    def test_kill(self, folder: Path) -> None:
        """After kill -9 in the middle of appends, all that was acknowledged is there, batches are whole."""
        chance = random.Random(20_200_401)
        acknowledged: dict[str, Position] = {}
        for round_number in range(6):
            process = start(folder, f"round-{round_number}", 0)
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(chance.uniform(0, 0.15))
            process.kill()
            output = first + process.stdout.read()
            process.stdout.close()
            process.wait()
            lines = output.decode().splitlines(keepends=True)
            for line in lines:
                if line.endswith("\n"):
                    name, partition, offset = line.split()
                    acknowledged[name] = Position(int(partition), int(offset))
            with opened(folder) as log:
                found = indices_of_batches(log)
                assert acknowledged.keys() <= found.keys()
                for indices in found.values():
                    assert sorted(indices) == list(range(appender.BATCH_EVENTS))
                for name, position in acknowledged.items():
                    assert log.read(position) == appender.batch(name)[-1]
        assert len(acknowledged) > 6
