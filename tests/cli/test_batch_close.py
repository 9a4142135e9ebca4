"""`rung batch close`, `rung batch adjust` and `rung grants`: a month settled by commands, and one that is killed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.command import PROJECT, Ran, Rung, program, purchase, write_lines
from rung.cli.errors import ExitCode

JULY = [
    purchase("j1", at="2021-07-01T00:00:00Z"),
    purchase("j2", at="2021-07-02T00:00:00Z"),
    purchase("j3", at="2021-07-31T23:59:59Z"),
]
AUGUST = [
    purchase("a1", at="2021-08-01T00:00:00Z"),
    purchase("a2", "bob", 499, at="2021-08-31T23:59:59Z"),
    purchase("s1", at="2021-09-01T00:00:00Z"),
]


@pytest.fixture
def fed(small: Rung, tmp_path: Path) -> Rung:
    """Return a command line on a home with two months of events, which are verified."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "events.ndjson", *JULY, *AUGUST))
    small.fine("batch", "verify")
    return small


def refund(rung: Rung, folder: Path, transaction: str, at: str) -> None:
    """Append the refund of a half, and apply it."""
    line = purchase(transaction, at=at, then=[("REFUNDED", "2021-10-01T00:00:00Z", 600)])
    rung.fine("ingest", "--wait", write_lines(folder / f"{transaction}.ndjson", line))


def test_a_month_is_settled(fed: Rung, tmp_path: Path) -> None:
    """Close, grant, then tell what a refund changes in both: every answer once for people, once as JSON."""
    ran = fed.fine("batch", "close", "small", "2021-07", "--yes", "--by", "mia")
    assert "Closed small 2021-07: 2 users, counted by version 0" in ran.err
    assert ran.out.splitlines()[-1].split() == ["three", "1"]
    again = fed.fine("batch", "close", "small", "2021-07")
    assert "small 2021-07 is closed already: by mia at " in again.err
    told = fed.fine("batch", "close", "small", "2021-07", "--json").json
    result = Path(told["file"])
    assert told["new"] is False
    assert told["users"] == 2
    assert told["sha256"] == hashlib.sha256(result.read_bytes()).hexdigest()

    output = tmp_path / "grants.csv"
    ran = fed.fine("grants", "small", "2021-08", "--output", output)
    assert "Granted small 2021-08: 2 grants at the rates of 2021-07" in ran.err
    lines = output.read_text(encoding="utf-8").splitlines()
    assert [line.split(",", 1)[1] for line in lines[1:]] == [
        '"ann","a1","2021-08-01T00:00:00.000000Z",1000,"1.5",15',
        '"bob","a2","2021-08-31T23:59:59.000000Z",499,"1.0",4',
    ]
    assert "Nothing changed in small 2021-08" in fed.fine("grants", "small", "2021-08").err
    assert (
        "Nothing changed in small 2021-07; it has 0 adjustments"
        in fed.fine("batch", "adjust", "small", "2021-07").err
    )

    refund(fed, tmp_path, "a1", "2021-08-01T00:00:00Z")
    refund(fed, tmp_path, "j3", "2021-07-31T23:59:59Z")
    ran = fed.fine("batch", "adjust", "small", "2021-07")
    assert "Adjusted small 2021-07: 1 user changed (adjustment 1)" in ran.err
    told = fed.fine("batch", "adjust", "small", "2021-07", "--json").json
    assert (told["new"], [one["users"] for one in told["adjustments"]]) == (False, [1])
    ran = fed.fine("grants", "small", "2021-08", "--output", tmp_path / "grants.parquet")
    assert "Granted small 2021-08: 1 change since settlement 1" in ran.err
    told = fed.fine(
        "grants", "small", "2021-08", "--json", "--format", "parquet", "--output", tmp_path / "again"
    ).json
    assert told["cash_back"] == 10
    assert [(one["number"], one["cash_back"]) for one in told["settlements"]] == [(1, 19), (2, -9)]
    assert (tmp_path / "again").read_bytes() == (tmp_path / "grants.parquet").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (
            ("batch", "close", "small", "2099-11", "--yes"),
            ExitCode.PROBLEMS,
            "period 2099-11 of campaign small has not ended: it ends at 2099-12-01T00:00:00+00:00 (UTC)",
        ),
        (("batch", "close", "smal", "2021-07"), ExitCode.BAD_INPUT, "did you mean small?"),
        (("batch", "close", "small", "2021-7"), ExitCode.BAD_INPUT, "is not a month such as 2021-08"),
        (("batch", "close", "small", "2020-12"), ExitCode.PROBLEMS, "it counts 2021-01 on"),
        (
            ("batch", "close", "small", "2021-07"),
            ExitCode.PROBLEMS,
            "is not verified: nothing was verified yet",
        ),
        (
            ("batch", "close", "small", "2021-07", "--grace", "3 days"),
            ExitCode.BAD_INPUT,
            "--grace is a number of days or hours, such as 3d or 12h, not '3 days'",
        ),
        (
            ("batch", "close", "small", "2021-07", "--grace", "9999d"),
            ExitCode.PROBLEMS,
            "waits for late events until 2048-12-16T00:00:00+00:00 (UTC)",
        ),
        (("batch", "adjust", "small", "2021-07"), ExitCode.PROBLEMS, "is not closed"),
        (("grants", "small", "2021-08"), ExitCode.PROBLEMS, "run `rung batch close small 2021-07` first"),
        (
            ("grants", "small", "2021-08", "--format", "csv"),
            ExitCode.BAD_INPUT,
            "--format is the form of a file",
        ),
    ],
)
def test_refused(small: Rung, arguments: tuple[str, ...], code: ExitCode, text: str) -> None:
    """Each refusal is a line with what to do, and nothing is written."""
    ran = small(*arguments)
    assert ran.code == code
    assert ran.err.startswith("error: ")
    assert text in ran.err
    assert not (small.home / "batch/closed").exists()


def test_the_name_of_the_output_says_its_form(fed: Rung, tmp_path: Path) -> None:
    """A name with another ending needs --format, and is asked for before anything is settled."""
    fed.fine("batch", "close", "small", "2021-07", "--yes")
    ran = fed("grants", "small", "2021-08", "--output", tmp_path / "grants.txt")
    assert (ran.code, ran.err) == (
        ExitCode.BAD_INPUT,
        f"error: {tmp_path / 'grants.txt'} ends neither in .csv nor in .parquet: choose with --format\n",
    )
    assert not (fed.home / "batch/grants").exists()


def test_it_is_asked(fed: Rung) -> None:
    """Without --yes a period is closed only if that is what is wanted."""
    ran = program("--home", fed.home, "batch", "close", "small", "2021-07", stdin="n\n")
    assert ran.code == ExitCode.INTERRUPTED
    assert "Close 2021-07 of small, counted by version 0, for good?" in ran.err
    assert not (fed.home / "batch/closed").exists()
    ran = program("--home", fed.home, "batch", "close", "small", "2021-07", stdin="y\n")
    assert ran.code == ExitCode.OK
    assert "Closed small 2021-07" in ran.err


def killed(home: Path, told: Path, point: str, *arguments: str) -> Ran:
    """Run a command that is killed at a fault point."""
    path = os.pathsep.join(str(PROJECT / part) for part in ("src", "tests"))
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "faults.armed",
            told,
            f"{point}:1:kill",
            "--",
            "--home",
            home,
            *arguments,
        ],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def test_killed_before_the_manifest(fed: Rung, tmp_path: Path) -> None:
    """A closing, an adjustment or grants that die leave nothing but a file that the next run writes over."""
    clean = fed.home / "batch"
    told = tmp_path / "told"
    for arguments, file in (
        (("batch", "close", "small", "2021-07", "--yes"), "closed/small/2021-07/result.parquet"),
        (("grants", "small", "2021-08"), "grants/small/2021-08/1.parquet"),
        (("batch", "adjust", "small", "2021-07"), "closed/small/2021-07/adjustments/1.parquet"),
    ):
        if "adjust" in arguments:
            refund(fed, tmp_path, "j3", "2021-07-31T23:59:59Z")
        assert killed(fed.home, told, "closing_written", *arguments).code == -signal.SIGKILL
        half = (clean / file).read_bytes()
        (clean / file).write_bytes(b"cut off")
        assert [path.name for path in (clean / file).parent.glob("*.json")] == []
        assert fed.fine(*arguments, "--json").json["new"] is True
        assert (clean / file).read_bytes() == half
    assert told.read_text(encoding="utf-8").splitlines() == ["closing_written"] * 3


@pytest.mark.parametrize("point", ["keeping_steps", "steps_kept"])
def test_killed_before_it_is_told(fed: Rung, tmp_path: Path, point: str) -> None:
    """A closing that dies before statuses tell it is completed by the next run, which changes no byte of it."""
    close = ("batch", "close", "small", "2021-07", "--yes")
    folder = fed.home / "batch/closed/small/2021-07"
    assert killed(fed.home, tmp_path / "told", point, *close).code == -signal.SIGKILL
    written = {path: path.read_bytes() for path in folder.iterdir()}
    assert effective(fed)["state"] == "provisional"
    assert "is closed already" in fed.fine(*close).err
    assert {path: path.read_bytes() for path in folder.iterdir()} == written
    assert effective(fed)["state"] == "closed"
    assert [one["action"] for one in fed.fine("audit", "--json").json["entries"]][-1] == "batch.close"


def effective(rung: Rung, user: str = "ann") -> dict[str, object]:
    """Return what a user is told of the rate in force in August."""
    told = rung.fine("status", user, "--at", "2021-08-04", "--json").json
    return told["campaigns"][0]["effective"]


def test_what_is_told_of_a_closed_period(fed: Rung, tmp_path: Path) -> None:
    """The status, its explanation and the time line tell the close, and go on telling it after a refund."""
    fed.fine("batch", "close", "small", "2021-07", "--yes")
    line = purchase("j3", at="2021-07-31T23:59:59Z", then=[("REFUNDED", "2021-10-01T00:00:00Z", 1_000)])
    fed.fine("ingest", "--wait", write_lines(tmp_path / "refund.ndjson", line))
    told = effective(fed)
    assert (told["state"], told["rate_percent"], told["measures"]) == (
        "closed",
        "1.5",
        {"payments": 2, "total": 2_000},
    )
    lines = fed.fine("status", "ann", "--at", "2021-07-04").out.splitlines()
    assert "  +0.5% three: met" in lines
    assert any("0 (closed)" in one and "1.5%" in one for one in lines)
    assert "  +0.5% three: not met" in fed.fine("status", "bob", "--at", "2021-07-04").out.splitlines()
    explained = fed.fine("explain", "ann", "small", "2021-07")
    assert (
        "2021-07 is closed: what was earned in it, 1.5% (three), stays, whatever is counted since."
        in explained.err
    )
    assert fed.fine("explain", "bob", "small", "2021-07", "--json").json["closed"] == {
        "rate_percent": "1.0",
        "met": [],
    }
    assert fed.fine("explain", "ann", "small", "2021-08", "--json").json["closed"] is None
    assert (
        "version 0, complete, counts 2021-01 on, closed 2021-07" in fed.fine("campaign", "show", "small").out
    )


def test_a_replay_goes_on_telling_it(fed: Rung, tmp_path: Path) -> None:
    """After a replay a closed period is told as it was closed; without its result there is none."""
    fed.fine("batch", "close", "small", "2021-07", "--yes")
    line = purchase("j3", at="2021-07-31T23:59:59Z", then=[("REFUNDED", "2021-10-01T00:00:00Z", 1_000)])
    fed.fine("ingest", "--wait", write_lines(tmp_path / "refund.ndjson", line))
    before = [effective(fed, user) for user in ("ann", "bob", "zoe")]
    fed.fine("replay", "--yes", "--by", "mia")
    assert [effective(fed, user) for user in ("ann", "bob", "zoe")] == before
    last = fed.fine("audit", "--json").json["entries"][-1]
    assert (last["action"], last["who"], last["after"]["closed"]) == (
        "replay",
        "mia",
        {"small/0": ["2021-07"]},
    )
    fed.fine("batch", "verify")
    manifest = fed.home / "batch/closed/small/2021-07/manifest.json"
    manifest.rename(manifest.with_suffix(".away"))
    ran = fed("replay", "--yes")
    assert ran.code == ExitCode.FAILED
    assert "period 2021-07 of campaign small is closed: restore it with its result" in ran.err
    assert [effective(fed, user) for user in ("ann", "bob", "zoe")] == before
