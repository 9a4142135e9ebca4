"""`rung lake`: what the archive holds, whether it is what was written, and its compaction."""

from __future__ import annotations

from pathlib import Path

from deltalake import DeltaTable

from cli.command import Rung, program, purchase, start, write_lines
from rung import bootstrap
from rung.cli.errors import ExitCode
from rung.lake.port import LakeFile
from rung.transaction.routing import partition_of

ANN = partition_of(b"ann", 4)


def files_of(home: Path) -> list[LakeFile]:
    with bootstrap.opened_lake(bootstrap.open_home(home)) as lake:
        return list(lake.state().files)


def fill(small: Rung, tmp_path: Path, times: int = 3) -> None:
    """Archive a few events of ann, one file after the other."""
    for number in range(times):
        small.fine(
            "ingest", write_lines(tmp_path / f"e{number}", purchase(f"t{number}"), purchase(f"s{number}"))
        )
        small.fine("archive", "--until-caught-up")


def test_upgrade(small: Rung, tmp_path: Path) -> None:
    """A lake of an earlier release is refused with what to run, which brings it to the present form once."""
    fill(small, tmp_path)
    before = files_of(small.home)
    assert small.fine("lake", "upgrade", "--json").json == {"upgraded": False, "files": 0}
    table = DeltaTable(str(small.home / "lake"))
    description = table.metadata().description or ""
    table.alter.set_table_description(description.replace('"format":2', '"format":1'))
    refused = small("archive", "--until-caught-up")
    assert refused.code == ExitCode.FAILED
    assert "run `rung lake upgrade`" in refused.err
    assert "now; 0 files written anew" in small.fine("lake", "upgrade").err
    assert "The lake has the present form already." in small.fine("lake", "upgrade").err
    assert files_of(small.home) == before


def test_status(small: Rung, tmp_path: Path) -> None:
    """It tells for each partition how far it is archived, what waits, and how much there is of how many days."""
    fill(small, tmp_path)
    small.fine("ingest", write_lines(tmp_path / "later", purchase("t9")))
    found = small.fine("lake", "status", "--json").json
    day = found["partitions"][ANN]["first_day"]
    size = sum(file.bytes for file in files_of(small.home))
    assert found["partitions"][ANN] == {
        "partition": ANN,
        "position": 6,
        "start": 0,
        "end": 7,
        "behind": 1,
        "events": 6,
        "files": 3,
        "bytes": size,
        "first_day": day,
        "last_day": day,
    }
    total = {
        name: found[name] for name in ("ok", "events", "behind", "files", "bytes", "checked", "problems")
    }
    assert total == {
        "ok": True,
        "events": 6,
        "behind": 1,
        "files": 3,
        "bytes": size,
        "checked": False,
        "problems": [],
    }
    assert found["uri"] == str(small.home / "lake")
    text = small.fine("lake", "status")
    (line,) = (line for line in text.out.splitlines() if line.split()[0] == str(ANN))
    assert line.split()[:7] == [str(ANN), "6", "0", "7", "1", "6", "3"]
    assert line.endswith(day)
    assert text.out.splitlines()[-1].split()[:4] == ["total", "1", "6", "3"]


def test_no_lake(small: Rung) -> None:
    """Before anything is archived there is none, and it says what makes one; exit code 5."""
    for command in ("status", "compact"):
        ran = small("lake", command)
        assert ran.code == ExitCode.FAILED
        assert ran.err == f"error: there is no lake in {small.home}/lake: `rung archive` makes it\n"


def test_check(small: Rung, tmp_path: Path) -> None:
    """With --check every file is read: a changed one and a missing one are named, and the exit is 1."""
    fill(small, tmp_path)
    ran = small.fine("lake", "status", "--check")
    assert "3 files read" in ran.err
    assert "Every file is what was written.\n" in ran.err
    first, second, _ = files_of(small.home)
    content = bytearray(Path(first.path).read_bytes())
    content[len(content) // 2] ^= 4
    Path(first.path).write_bytes(content)
    Path(second.path).unlink()
    assert small("lake", "status").code == 0
    ran = small("lake", "status", "--check", "--json")
    assert ran.code == ExitCode.PROBLEMS
    changed, missing = ran.json["problems"]
    assert changed == (
        f"{first.path} is not what was written: its checksum is another one than its name tells: "
        "restore it from a copy"
    )
    assert missing.startswith(f"{second.path} is missing")
    assert "Every file" not in small("lake", "status", "--check").err


def test_events_that_are_there_twice(small: Rung, tmp_path: Path) -> None:
    """More events than offsets can only be there twice: that is told without reading a file."""
    fill(small, tmp_path, 1)
    opened = bootstrap.open_home(small.home)
    with bootstrap.opened_lake(opened) as lake:
        rows = lake.read(lake.state().files[0])
        lake.append(rows.slice(0, 1), {ANN: 2}, {ANN: 3})
        lake.append(rows.slice(1, 1), {ANN: 3}, {ANN: 3})
    small.fine("ingest", write_lines(tmp_path / "f", purchase("t8")))
    ran = small("lake", "status")
    assert ran.code == ExitCode.PROBLEMS
    assert f"partition {ANN}: the lake has 4 events, and at most 3 can be: events are there twice" in ran.err


def test_a_lake_that_is_ahead(small: Rung, tmp_path: Path) -> None:
    """A log that ends before its lake has lost events."""
    fill(small, tmp_path, 1)
    with bootstrap.opened_lake(bootstrap.open_home(small.home)) as lake:
        file = lake.state().files[0]
        lake.append(lake.read(file).slice(0, 0), {ANN: 2}, {ANN: 8})
    ran = small("lake", "status")
    assert ran.code == ExitCode.PROBLEMS
    assert f"partition {ANN}: the lake goes up to offset 8, and the log ends before 2" in ran.err


def test_compact(small: Rung, tmp_path: Path) -> None:
    """Small files become one, the old ones stay for readers, and figures made from them are the same."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "x", purchase("x")))
    fill(small, tmp_path)
    old = files_of(small.home)
    assert small.fine("lake", "compact", "--json").json == {"files_before": 3, "files_after": 1, "deleted": 0}
    assert all(Path(file.path).exists() for file in old)
    assert small.fine("lake", "status", "--check", "--json").json["events"] == 7
    ran = small.fine("lake", "compact", "--keep-hours", "1")
    assert ran.err == "1 file before, 1 now; deleted 0 of those replaced earlier\n"
    small.fine("batch", "aggregate", "--full")


def test_keep_hours(small: Rung) -> None:
    """Less than an hour, or more than a week, is refused."""
    for hours in ("0", "169"):
        ran = small("lake", "compact", "--keep-hours", hours)
        assert ran.code == ExitCode.BAD_INPUT


def test_beside_an_archiver(small: Rung, tmp_path: Path) -> None:
    """A compaction runs while an archiver does, as programs of their own."""
    fill(small, tmp_path, 2)
    with start("--home", small.home, "archive") as archiver:
        assert archiver.stderr is not None
        while "Partitions" not in archiver.stderr.readline():
            assert archiver.poll() is None
        assert program("--home", small.home, "lake", "compact").code == 0
        archiver.terminate()
        archiver.communicate(timeout=30)
        assert archiver.returncode == 0
    assert small.fine("lake", "status", "--check", "--json").json["files"] == 1
