"""The lake as a Delta table: the contract, its files and its log, and every damage to them."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import DeltaTable

from lake.comparing import lake_rows
from lake.contract import LakeContract, append, everything
from lake.rows import AT, LOG, PARTITIONS, due, places, purchase, rows, slice_of
from rung.campaign.declared import Declared
from rung.campaign.model import AttributeType
from rung.lake.delta import DeltaLake
from rung.lake.port import LakeDamaged, LakeError, LakeOvertaken
from rung.lake.rows import REJECTED, SCHEMA, rows_of
from rung.log.port import LogIdentity, Slice


class TestInAFolder(LakeContract):
    def make(self, folder: Path, log: LogIdentity = LOG) -> DeltaLake:
        return DeltaLake.create(str(folder / "lake"), log, {})


class TestAtAUri(LakeContract):
    """By way of an object store's interface, which a folder has as well."""

    def make(self, folder: Path, log: LogIdentity = LOG) -> DeltaLake:
        (folder / "lake").mkdir(exist_ok=True)
        return DeltaLake.create(f"file://{folder}/lake", log, {})


def new(folder: Path) -> DeltaLake:
    return DeltaLake.create(str(folder), LOG, {})


def log_files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "_delta_log").iterdir())


def set_property(folder: Path, name: str, value: str) -> None:
    DeltaTable(str(folder)).alter.set_table_properties({name: value})


def test_no_lake(tmp_path: Path) -> None:
    """Opening a lake that is not there says what makes one."""
    with pytest.raises(LakeError, match="there is no lake in .*: `rung archive` makes it"):
        DeltaLake.open(str(tmp_path / "none"), {})


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A lake where a file is in the way is refused with its place."""
    (tmp_path / "file").write_text("x", encoding="ascii")
    with pytest.raises(LakeError, match=f"cannot make a lake in {tmp_path}/file/lake"):
        new(tmp_path / "file" / "lake")


@pytest.mark.parametrize("description", [None, "somebody's", '{"format": "one"}'])
def test_another_table(tmp_path: Path, description: str | None) -> None:
    """A Delta table that is no lake of Rung is refused, and stays as it is."""
    DeltaTable.create(str(tmp_path), SCHEMA, description=description)
    with pytest.raises(LakeDamaged, match="is no lake of Rung: choose another folder"):
        new(tmp_path)
    assert DeltaTable(str(tmp_path)).version() == 0


def test_a_later_format(tmp_path: Path) -> None:
    """A lake that a later release wrote is refused, and never guessed at."""
    description = '{"format": 3, "log": "a-log", "partitions": 4}'
    DeltaTable.create(str(tmp_path), SCHEMA, description=description)
    with pytest.raises(LakeError, match="has format 3, and this release reads 2: use the release"):
        new(tmp_path)
    with pytest.raises(LakeError, match="has format 3, and this release reads 2: use the release"):
        DeltaLake.upgrade(str(tmp_path), {})


def test_an_earlier_format(tmp_path: Path) -> None:
    """A lake of an earlier release is refused until it is upgraded: then an event is what it says, once."""
    lake = new(tmp_path)
    odd = [purchase(number, 1, attributes={"lines": "7"}) for number in (3, 4)]
    no_object = purchase(9, 1, attributes=[])
    told = [slice_of(1, 0, 3), Slice(1, 3, [*odd, no_object, b"no event"], AT + 1), slice_of(1, 7, 2)]
    judged = Declared({"lines": AttributeType.INTEGER}, {})
    lake.append(rows_of(told, PARTITIONS, judged), {1: 0}, {1: 9})
    append(lake, 2, 0, 5)
    other = lake.state().of_partition(2, 0, 5)
    assert lake_rows(lake).column("kind").to_pylist()[3:7] == [REJECTED] * 4
    table = DeltaTable(str(tmp_path))
    table.alter.set_table_description('{"format": 1, "log": "a-log", "partitions": 4}')
    with pytest.raises(LakeError, match="has format 1, .*: stop its archivers, and run `rung lake upgrade`"):
        new(tmp_path)
    assert DeltaLake.upgrade(str(tmp_path), {}) == 1
    lake = new(tmp_path)
    assert lake_rows(lake).equals(rows(*told, slice_of(2, 0, 5)))
    assert lake.state().of_partition(2, 0, 5) == other
    assert lake.positions() == {0: 0, 1: 9, 2: 5, 3: 0}
    assert DeltaLake.upgrade(str(tmp_path), {}) is None


@pytest.mark.parametrize("content", [b"", b"{", b"garbage\n"])
def test_a_damaged_log(tmp_path: Path, content: bytes) -> None:
    """A table whose own log cannot be read is refused with its place."""
    append(new(tmp_path), 0, 0, 5)
    (tmp_path / "_delta_log" / "00000000000000000000.json").write_bytes(content)
    with pytest.raises(LakeError, match=f"lake in {tmp_path}"):
        DeltaLake.open(str(tmp_path), {}).state()


def test_a_lake_that_is_gone(tmp_path: Path) -> None:
    """A lake whose folder cannot be written any more says so, and has nothing of the append."""
    lake = new(tmp_path / "lake")
    append(lake, 0, 0, 5)
    (tmp_path / "lake").rename(tmp_path / "moved")
    (tmp_path / "lake").write_text("in the way", encoding="ascii")
    with pytest.raises(LakeError, match="the lake in .* cannot be (read|written)"):
        append(lake, 0, 5, 5)
    assert places(everything(new(tmp_path / "moved"))) == due((0, 0, 5))


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    return bytes([*content[:200], content[200] ^ 1, *content[201:]])


def emptied(content: bytes) -> bytes:
    return b""


def overwritten(content: bytes) -> bytes:
    return b"x" * len(content)


@pytest.mark.parametrize("damage", [cut, flipped, emptied, overwritten])
def test_a_damaged_file(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """A file that is cut short, changed or overwritten is found by reading it and by its checksum, with its name."""
    lake = new(tmp_path)
    append(lake, 1, 0, 500)
    (file,) = lake.state().files
    path = Path(file.path)
    path.write_bytes(damage(path.read_bytes()))
    for look in (lake.read, lake.check):
        with pytest.raises(LakeDamaged, match=f"{file.path} .*: restore it from a copy"):
            look(file)


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    """Whatever bit of a file is another one, its checksum tells it, though reading it may not."""
    lake = new(tmp_path)
    append(lake, 1, 0, 500)
    (file,) = lake.state().files
    path, draw = Path(file.path), random.Random(1)
    good = path.read_bytes()
    lake.check(file)
    for _ in range(200):
        changed = bytearray(good)
        changed[draw.randrange(len(good))] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(LakeDamaged):
            lake.check(file)


def test_another_file_under_its_name(tmp_path: Path) -> None:
    """A readable file of other events under a file's name is found by reading it, if their number differs."""
    lake = new(tmp_path)
    append(lake, 1, 0, 5)
    append(lake, 1, 5, 6)
    first, second = lake.state().files
    Path(first.path).write_bytes(Path(second.path).read_bytes())
    with pytest.raises(LakeDamaged, match="holds 6 events, not 5"):
        lake.read(first)
    with pytest.raises(LakeDamaged):
        lake.check(first)


def test_a_damaged_file_is_not_compacted(tmp_path: Path) -> None:
    """A compaction does not write damaged events anew: it says which file, and all stays as it is."""
    lake = new(tmp_path)
    append(lake, 1, 0, 500)
    append(lake, 1, 500, 500)
    files = lake.state().files
    path = Path(files[1].path)
    path.write_bytes(flipped(path.read_bytes()))
    with pytest.raises(LakeDamaged, match=files[1].path):
        lake.compact(1)
    assert lake.state().files == files


def test_positions_outlive_the_log(tmp_path: Path) -> None:
    """Positions and events survive when checkpoints take the place of the table's log, which does not grow for ever."""
    lake, idle = new(tmp_path), new(tmp_path)
    set_property(tmp_path, "delta.logRetentionDuration", "interval 0 seconds")
    for number in range(120):
        append(lake, 0, number, 1)
    lake.append(rows(slice_of(1, 0, 2)), {1: 0}, {1: 2})
    lake.compact(1)
    assert len(log_files(tmp_path)) < 10
    for reader in (new(tmp_path), idle):
        assert reader.positions() == {0: 120, 1: 2, 2: 0, 3: 0}
        assert places(everything(reader)) == due((0, 0, 120), (1, 0, 2))
    with pytest.raises(LakeOvertaken):
        append(idle, 0, 0, 1)
    append(idle, 0, 120, 1)
    assert lake.positions()[0] == 121


def test_the_log_shrinks_by_itself(tmp_path: Path) -> None:
    """Without a compaction the table's log is cut as well, whenever a checkpoint is made."""
    lake = new(tmp_path)
    set_property(tmp_path, "delta.logRetentionDuration", "interval 0 seconds")
    for number in range(210):
        lake.append(rows(), {0: number}, {0: number + 1})
    assert len(log_files(tmp_path)) < 120
    assert new(tmp_path).positions()[0] == 210


def test_what_a_killed_archiver_left(tmp_path: Path) -> None:
    """Files that never became part of the lake are deleted once they are old, and those being written are not."""
    lake = new(tmp_path)
    append(lake, 1, 0, 5)
    folder = Path(lake.state().files[0].path).parent
    old, young, part = folder / "0-old.parquet", folder / "0-young.parquet", folder / "0-old.parquet.ab.part"
    for path in (old, young, part):
        path.write_bytes(b"unfinished")
    for path in (old, part):
        os.utime(path, (time.time() - 7_200, time.time() - 7_200))
    assert lake.compact(1).deleted == 2
    assert (old.exists(), young.exists(), part.exists()) == (False, True, False)
    assert lake.compact(0).deleted == 0
    assert young.exists()
    assert places(everything(lake)) == due((1, 0, 5))


def test_large_files_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are joined with their neighbours up to a size, in order, so that none grows beyond it."""
    lake = new(tmp_path)
    for number in range(6):
        append(lake, 1, number * 10, 10)
    size = max(file.bytes for file in lake.state().files)
    monkeypatch.setattr("rung.lake.delta.COMPACTED_BYTES_MAX", 2 * size)
    lake.compact(1)
    spans = [(file.first_offset, file.last_offset) for file in lake.state().files]
    assert spans == [(0, 19), (20, 39), (40, 59)]


def test_one_append_has_no_bound(tmp_path: Path) -> None:
    """An append of more events than a row group takes is one file, in the order of the offsets."""
    lake = new(tmp_path)
    table = rows(slice_of(2, 0, 1_000))
    lake.append(table, {2: 0}, {2: 1_000})
    (file,) = lake.state().files
    assert lake.read(file).column("offset").to_pylist() == list(range(1_000))
