"""`rung ingest`: events of files into the log, and waiting until they are applied."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from cli.command import Rung, program, purchase, running_worker, write_lines
from rung.cli.errors import ExitCode

LINES = tuple(purchase(f"t{number}", user=f"u{number % 7}") for number in range(50))


def test_append(small: Rung, tmp_path: Path) -> None:
    """Without --wait the events are in the log, and wait for a worker."""
    ran = small.fine("ingest", "--json", write_lines(tmp_path / "e", *LINES)).json
    assert (ran["events"], ran["applied"]) == (50, False)
    assert small.fine("worker", "--until-caught-up", "--json").json["events"] == 50


def test_wait_without_a_worker(small: Rung, tmp_path: Path) -> None:
    """With --wait and no worker, the command applies the events itself."""
    ran = small.fine("ingest", "--wait", write_lines(tmp_path / "e", *LINES))
    assert "Appended 50 events" in ran.err
    assert "lag 0" in ran.err
    assert "All applied; 0 events of them in quarantine" in ran.err
    assert small.fine("status", "u1", "--at", "2021-08-04", "--json").json["campaigns"][0]["counting"][
        "measures"
    ] == {
        "payments": 7,
        "total": 7_000,
    }


def test_wait_for_a_worker(small: Rung, tmp_path: Path) -> None:
    """With --wait and a worker in another process, the command returns when that one is done."""
    file = write_lines(tmp_path / "e", *LINES)
    with running_worker(small.home):
        ran = small.fine("ingest", "--wait", "--json", file).json
    assert (ran["events"], ran["applied"], ran["quarantined"]) == (50, True, 0)


def test_quarantined_events_are_counted(small: Rung, tmp_path: Path) -> None:
    """The summary counts what this call brought into quarantine, and not what was there before."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "a", "no json", *LINES))
    ran = small.fine("ingest", "--wait", "--json", write_lines(tmp_path / "b", "{}", "[]", *LINES[:1])).json
    assert (ran["events"], ran["quarantined"]) == (3, 2)
    text = small.fine("ingest", "--wait", write_lines(tmp_path / "c", "nothing")).err
    assert "1 event of them in quarantine" in text
    assert f"rung --home {small.home} quarantine list" in text


def test_compressed_files_and_several(small: Rung, tmp_path: Path) -> None:
    """Several files of several kinds are read in their order."""
    plain = write_lines(tmp_path / "a.ndjson", *LINES[:10])
    text = "\n".join(LINES[10:20]).encode()
    (tmp_path / "b.ndjson.gz").write_bytes(gzip.compress(text))
    (tmp_path / "c.ndjson.xz").write_bytes(lzma.compress(text))
    ran = small.fine(
        "ingest", "--wait", "--json", plain, tmp_path / "b.ndjson.gz", tmp_path / "c.ndjson.xz"
    ).json
    assert (ran["events"], ran["quarantined"]) == (30, 0)


def test_standard_input(small: Rung) -> None:
    """`-` reads standard input."""
    ran = program("--home", small.home, "ingest", "--wait", "--json", "-", stdin="\n".join(LINES))
    assert ran.code == 0, ran.err
    assert ran.json["events"] == 50


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("none",), "{folder}/none: no such file"),
        (("good", "none"), "{folder}/none: no such file"),
        ((".",), "{folder}: is a folder; name the files in it"),
        (("-", "-"), "- (standard input) can be read once only"),
    ],
)
def test_wrong_files(small: Rung, tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    """A file that is not there is refused before anything is appended."""
    write_lines(tmp_path / "good", *LINES)
    ran = small("ingest", *(name if name == "-" else tmp_path / name for name in names))
    assert (ran.code, ran.err) == (ExitCode.BAD_INPUT, f"error: {message.format(folder=tmp_path)}\n")
    assert small.fine("worker", "--until-caught-up", "--json").json["events"] == 0


def test_a_damaged_file(small: Rung, tmp_path: Path) -> None:
    """A file that ends too early says so, and ingesting the whole one afterwards is right."""
    whole = gzip.compress("\n".join(LINES).encode())
    damaged = tmp_path / "e.gz"
    damaged.write_bytes(whole[:-20])
    ran = small("ingest", "--wait", damaged)
    assert ran.code == ExitCode.BAD_INPUT
    assert ran.err.startswith(f"error: {damaged}: reading stopped")
    damaged.write_bytes(whole)
    small.fine("ingest", "--wait", damaged)
    status = small.fine("status", "u1", "--at", "2021-08-04", "--json").json
    assert status["campaigns"][0]["counting"]["measures"]["payments"] == 7
