"""What the engine says of a file of the lake that is missing or damaged."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import pytest

from lake.rows import LOG, purchase, rows
from rung.batch.duck import DuckEngine, EngineSettings, Span
from rung.batch.resolve import resolve
from rung.campaign.declared import Declarations
from rung.lake.delta import DeltaLake
from rung.lake.port import LakeDamaged, LakeFile
from rung.log.port import Slice

EVENTS = 2_000


@pytest.fixture
def engine(tmp_path: Path) -> Generator[DuckEngine]:
    with closing(DuckEngine.open(EngineSettings("512MiB", 1, tmp_path / "spill"))) as engine:
        yield engine


@pytest.fixture
def file(tmp_path: Path) -> LakeFile:
    lake = DeltaLake.create(str(tmp_path / "lake"), LOG, {})
    part = Slice(0, 0, [purchase(number, 0) for number in range(EVENTS)], 0)
    lake.append(rows(part), {0: 0}, {0: EVENTS})
    return lake.state().files[0]


def merge(engine: DuckEngine, file: LakeFile, folder: Path) -> int:
    """Merge all events of a file, and return how many transactions that gives."""
    engine.merge(Span(0, 0, EVENTS, [file.path], Declarations({}, {})), resolve)
    return engine.write_merged(folder / "merged.parquet")


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def emptied(content: bytes) -> bytes:
    return b""


def overwritten(content: bytes) -> bytes:
    return b"x" * len(content)


def with_zeros(content: bytes) -> bytes:
    """Return it with a block of zeros where columns are, as a disk may leave it."""
    middle = len(content) // 2
    return content[: middle - 2_000] + bytes(4_000) + content[middle + 2_000 :]


def with_another_footer(content: bytes) -> bytes:
    """Return it with a flipped bit in each byte of the list of its columns."""
    footer = int.from_bytes(content[-8:-4], "little")
    start = len(content) - 8 - footer
    return content[:start] + bytes(byte ^ 16 for byte in content[start:-8]) + content[-8:]


def test_a_good_file(engine: DuckEngine, file: LakeFile, tmp_path: Path) -> None:
    """A file that is what was written gives all its transactions."""
    assert merge(engine, file, tmp_path) == EVENTS


def test_a_missing_file(engine: DuckEngine, file: LakeFile, tmp_path: Path) -> None:
    """A file that is gone is named, and what to do about it."""
    Path(file.path).unlink()
    with pytest.raises(LakeDamaged, match=f"cannot be read: .*{file.path}") as told:
        merge(engine, file, tmp_path)
    assert "if a compaction has replaced it meanwhile, begin again" in str(told.value)


@pytest.mark.parametrize("damage", [cut, emptied, overwritten, with_zeros, with_another_footer])
def test_a_damaged_file(
    engine: DuckEngine, file: LakeFile, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """A file that cannot be read is an error that says what finds it, whatever the engine calls it."""
    path = Path(file.path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(LakeDamaged, match="cannot be read: ") as told:
        merge(engine, file, tmp_path)
    assert "`rung lake status --check` tells which files are not what was written" in str(told.value)


def test_what_is_wrong_with_a_query_is_no_damage(engine: DuckEngine) -> None:
    """An error that is no file's comes out as it is."""
    with pytest.raises(Exception, match="nowhere") as told:
        engine._rows('SELECT * FROM "nowhere"')
    assert not isinstance(told.value, LakeDamaged)
