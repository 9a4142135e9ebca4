"""Trimming the log behind the archive: never what the lake or the store lacks, and only what is checked."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from campaign_pairs import FIRST_VERSION
from harness import put_campaigns, work_to_the_end
from lake.rows import purchase
from log.kafka_broker import new_settings
from log.kafka_broker import opened as opened_kafka
from log.opening import opened
from rung.batch.archive import archive_up_to
from rung.batch.trim import Trim, plan_trim, trim_behind
from rung.lake.delta import DeltaLake
from rung.lake.port import LakeDamaged, LakeError
from rung.log.embedded import EmbeddedLog
from rung.log.port import LogError, LogIdentity
from rung.store.memory import MemoryStore
from rung.store.port import BoundLog


@contextmanager
def scene(folder: Path) -> Generator[tuple[EmbeddedLog, DeltaLake, MemoryStore]]:
    """Give a log of which each partition has ten events in blocks of two, its lake, and a store."""
    with opened(folder / "log") as log, closing(MemoryStore()) as store:
        put_campaigns(store, [FIRST_VERSION])
        for first in range(0, 40, 8):
            log.append([purchase(number, number % 4) for number in range(first, first + 8)])
        yield log, DeltaLake.create(str(folder / "lake"), log.identity(), {}), store


def test_behind_both(tmp_path: Path) -> None:
    """A partition is trimmed up to what lake and store both have, in whole blocks, and never beyond."""
    with scene(tmp_path) as (log, lake, store):
        work_to_the_end(log, store)
        log.append([purchase(99, 0)])
        archive_up_to(log, lake, {0: 11, 1: 7, 2: 1})
        planned = plan_trim(log, lake, store)
        assert planned == {0: Trim(0, 11, 10), 1: Trim(0, 7, 10), 2: Trim(0, 1, 10), 3: Trim(0, 0, 10)}
        assert [trim.before for trim in planned.values()] == [10, 7, 1, 0]
        assert trim_behind(log, lake, store) == {0: 10, 1: 6, 2: 0, 3: 0}
        assert log.starts() == {0: 10, 1: 6, 2: 0, 3: 0}
        assert trim_behind(log, lake, store) == log.starts()


def test_nothing_applied(tmp_path: Path) -> None:
    """What is archived and not applied stays in the log."""
    with scene(tmp_path) as (log, lake, store):
        archive_up_to(log, lake, log.ends())
        assert trim_behind(log, lake, store) == dict.fromkeys(range(4), 0)


def test_a_damaged_archive(tmp_path: Path) -> None:
    """Where the lake is not what was written nothing is trimmed: the log has the only good copy."""
    with scene(tmp_path) as (log, lake, store):
        work_to_the_end(log, store)
        archive_up_to(log, lake, log.ends())
        path = Path(lake.state().files[3].path)
        content = bytearray(path.read_bytes())
        content[-30] ^= 1
        path.write_bytes(content)
        with pytest.raises(LakeDamaged, match=f"{path} is not what was written"):
            trim_behind(log, lake, store)
        assert log.starts() == dict.fromkeys(range(4), 0)


def test_an_archive_with_a_gap(tmp_path: Path) -> None:
    """A lake whose position is past events that it does not have is not believed."""
    with scene(tmp_path) as (log, lake, store):
        work_to_the_end(log, store)
        archive_up_to(log, lake, {2: 4})
        nothing = lake.read(lake.state().files[0]).slice(0, 0)
        lake.append(nothing, {2: 4}, {2: 9})
        with pytest.raises(LakeDamaged, match="the lake has 4 events of partition 2, and should have 9"):
            trim_behind(log, lake, store)
        assert log.starts()[2] == 0


def test_other_logs(tmp_path: Path) -> None:
    """A lake or a store of another log trims nothing."""
    with scene(tmp_path) as (log, lake, store):
        other = DeltaLake.create(str(tmp_path / "other"), LogIdentity("other", 4), {})
        with pytest.raises(LakeError, match="the lake belongs to another log"):
            trim_behind(log, other, store)
        store.bind(BoundLog("other", 4))
        with pytest.raises(LakeError, match="the store's positions refer to another log"):
            trim_behind(log, lake, store)


def test_a_topic(tmp_path: Path) -> None:
    """The events of a topic are deleted by its own rule: that is said, and nothing is done."""
    with opened_kafka(new_settings()) as log, closing(MemoryStore()) as store:
        lake = DeltaLake.create(str(tmp_path / "lake"), log.identity(), {})
        with pytest.raises(LogError, match=r"deleted by its own rule and not by Rung: set `retention.ms`"):
            trim_behind(log, lake, store)
