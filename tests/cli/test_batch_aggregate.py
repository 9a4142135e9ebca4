"""`rung batch aggregate`: snapshots from the lake; what is damaged is named with its fix, and the fix works."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from batch.reading import figure_checksums
from cli.command import Rung, purchase, trim, write_lines
from rung.batch.snapshots import Snapshots
from rung.cli.errors import ExitCode


@pytest.fixture
def aggregated(small: Rung, tmp_path: Path) -> Rung:
    """Return a command line on a home with events, two snapshots, and events behind the second."""
    for number in range(3):
        lines = [purchase(f"{number}-{index}", f"user {index % 9}") for index in range(60)]
        small.fine("ingest", "--wait", write_lines(tmp_path / "events", *lines))
        if number < 2:
            small.fine("batch", "aggregate")
    return small


def snapshots_of(rung: Rung) -> Snapshots:
    return Snapshots(rung.home / "batch")


def full_checksums(rung: Rung, tmp_path: Path) -> dict[tuple[str, int], str]:
    """Return the checksums of a full run on a copy of the home."""
    copy = tmp_path / "copy"
    shutil.copytree(rung.home, copy)
    assert rung.bare("--home", copy, "batch", "aggregate", "--full").code == 0
    return figure_checksums(Snapshots(copy / "batch").all()[0])


def test_it_tells_what_it_did(small: Rung, tmp_path: Path) -> None:
    """A run tells the snapshot's number, events and transactions; a second one has nothing to do."""
    lines = [purchase("t1"), purchase("t1"), purchase("t2"), "no json"]
    small.fine("ingest", "--wait", write_lines(tmp_path / "events", *lines))
    first = small.fine("batch", "aggregate", "--json").json
    assert (first["snapshot"], first["events"], first["transactions"]) == (1, 4, 2)
    assert sum(first["positions"].values()) == 4
    again = small.fine("batch", "aggregate")
    assert again.out == "" or "Snapshot 2: 0 events since the one before, 0 transactions grew" in again.out
    assert "Snapshot 2: 0 events since the one before, 0 transactions grew" in again.out + again.err


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (Path.unlink, "is missing: "),
    (cut_off, " bytes, not "),
    (flip_a_byte, "is not what was written: "),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGES)
def test_a_lake_file_is_damaged(
    aggregated: Rung, tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    """A file of the lake that is missing, cut off or altered is named before anything is made of it.

    What was aggregated before stays; with the file from a copy, everything is there again.
    """
    expected = full_checksums(aggregated, tmp_path)
    before = [one.number for one in snapshots_of(aggregated).all()]
    aggregated.fine("archive", "--until-caught-up")
    newest = max((aggregated.home / "lake").rglob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    kept = newest.read_bytes()
    damage(newest)
    for command in (("aggregate",), ("aggregate", "--full"), ("verify",)):
        ran = aggregated("batch", *command)
        assert ran.code == ExitCode.FAILED
        assert f"error: {newest}" in ran.err
        assert said in ran.err
        assert "restore it from a copy" in ran.err
    assert [one.number for one in snapshots_of(aggregated).all()] == before
    checked = aggregated("lake", "status", "--check", "--json")
    assert checked.code == ExitCode.PROBLEMS
    assert str(newest) in checked.out
    newest.write_bytes(kept)
    aggregated.fine("batch", "aggregate")
    assert figure_checksums(snapshots_of(aggregated).all()[0]) == expected
    aggregated.fine("batch", "verify")


@pytest.mark.parametrize("kind", ["figures", "merged"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [(DAMAGES[0][0], "is missing"), *((d, "is not what was written") for d, _ in DAMAGES[1:])],
)
def test_a_snapshot_file_is_damaged(
    aggregated: Rung, tmp_path: Path, kind: str, damage: Callable[[Path], None], said: str
) -> None:
    """A file of the last snapshot that is missing or altered is named; the fix that is told makes it anew."""
    expected = full_checksums(aggregated, tmp_path)
    snapshots = snapshots_of(aggregated)
    file = next(snapshots.path(name) for name in sorted(snapshots.all()[0].files) if kind in name)
    damage(file)
    assert_refused_and_healed(aggregated, f"{file} {said}: ", expected)


def spoil(manifest: Path) -> None:
    manifest.write_bytes(manifest.read_bytes()[:-1])


def empty(manifest: Path) -> None:
    manifest.write_bytes(b"")


def leave_a_field_out(manifest: Path) -> None:
    manifest.write_bytes(b'{"format":3}')


def write_another_format(manifest: Path) -> None:
    manifest.write_bytes(b'{"format":9,"anything":[]}')


MANIFESTS: list[tuple[Callable[[Path], None], str]] = [
    (spoil, "cannot be read (Input data was truncated)"),
    (empty, "cannot be read (Input data was truncated)"),
    (leave_a_field_out, "cannot be read (Object missing required field `number`)"),
    (write_another_format, "has format 9, and this release reads 3"),
]


@pytest.mark.parametrize(("damage", "said"), MANIFESTS)
def test_a_manifest_is_damaged(
    aggregated: Rung, tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    """A manifest that cannot be read, or is of another release, is named; the fix that is told works."""
    expected = full_checksums(aggregated, tmp_path)
    snapshots = snapshots_of(aggregated)
    manifest = snapshots.path(f"{snapshots.all()[0].number}/manifest.json")
    damage(manifest)
    assert_refused_and_healed(aggregated, f"{manifest} {said}: ", expected)


def assert_refused_and_healed(rung: Rung, said: str, expected: dict[tuple[str, int], str]) -> None:
    """Demand that a run is refused with a reason, and that what it tells to do gives the right figures."""
    snapshots = rung.home / "batch" / "snapshots"
    for command in ("aggregate", "verify"):
        ran = rung("batch", command)
        assert ran.code == ExitCode.FAILED
        fix = f"delete the folder {snapshots}, and run `rung batch aggregate`"
        assert f"error: {said}{fix}" in ran.err
    shutil.rmtree(snapshots)
    rung.fine("batch", "aggregate")
    assert figure_checksums(snapshots_of(rung).all()[0]) == expected
    rung.fine("batch", "verify")


def test_a_snapshot_without_manifest_is_none(aggregated: Rung, tmp_path: Path) -> None:
    """What a run left behind that did not end is no snapshot: the next one starts from the one before."""
    expected = full_checksums(aggregated, tmp_path)
    snapshots = snapshots_of(aggregated)
    newest, before = snapshots.all()
    snapshots.path(f"{newest.number}/manifest.json").unlink()
    assert snapshots.all() == [before]
    ran = aggregated.fine("batch", "aggregate", "--json").json
    assert ran["events"] == sum(ran["positions"].values()) - sum(before.positions.values())
    assert not snapshots.path(str(newest.number)).exists()
    assert figure_checksums(snapshots.all()[0]) == expected


def test_positions_that_neither_log_nor_lake_has(aggregated: Rung, tmp_path: Path) -> None:
    """Events that the log lost before they were archived are missed by name; with the log's copy it goes on."""
    expected = full_checksums(aggregated, tmp_path)
    log, copy = aggregated.home / "log", tmp_path / "log"
    shutil.copytree(log, copy)
    before = [one.number for one in snapshots_of(aggregated).all()]
    positions = snapshots_of(aggregated).all()[0].positions
    trim(aggregated.home, 0)
    ran = aggregated("batch", "aggregate")
    assert ran.code == ExitCode.FAILED
    assert (
        f"error: the lake has partition 0 up to offset {positions[0]}, and the log does not go on" in ran.err
    )
    assert "until the log has these events again" in ran.err
    assert [one.number for one in snapshots_of(aggregated).all()] == before
    shutil.rmtree(log)
    shutil.copytree(copy, log)
    aggregated.fine("batch", "aggregate")
    assert figure_checksums(snapshots_of(aggregated).all()[0]) == expected


def test_no_home_and_no_store(rung: Rung, tmp_path: Path) -> None:
    """Without a home the exit code says so; a home without events gives an empty snapshot."""
    assert rung.bare("--home", tmp_path / "nowhere", "batch", "aggregate").code == ExitCode.NOT_INITIALISED
    assert rung.fine("batch", "aggregate", "--json").json["events"] == 0
