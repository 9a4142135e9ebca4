"""`rung batch monitor`, `rung batch late`, and the engines of `rung batch aggregate`, from the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cli.command import Rung, always, purchase, write_lines
from rung.cli.errors import ExitCode

DAY = "2021-08-03"


def listed(tmp_path: Path, *events: str) -> Path:
    """Write a list of whole histories, as CSV."""
    rows = [json.loads(event) for event in events]
    lines = [
        f'{row["transaction_id"]},{row["user_id"]},"{json.dumps(row["history"]).replace(chr(34), chr(34) * 2)}"'
        for row in rows
    ]
    return write_lines(tmp_path / "list.csv", "transaction_id,user_id,history", *lines)


@pytest.fixture
def filled(small: Rung, tmp_path: Path) -> Rung:
    """Return a home to which one purchase of two came."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "events", purchase("t1")))
    return small


def test_monitor_and_fill(filled: Rung, tmp_path: Path) -> None:
    """What is missing is shown, then sent with --yes, and a second look finds nothing."""
    arguments = (
        "batch",
        "monitor",
        "--against",
        listed(tmp_path, purchase("t1"), purchase("t2")),
        "--day",
        DAY,
    )
    ran = filled(*arguments)
    assert ran.code == ExitCode.PROBLEMS
    assert "1 transaction of 2021-08-03 (UTC) equal in list and lake" in ran.err
    assert "missing     t2" in ran.out
    dry = filled(*arguments, "--fill")
    assert "Would send 1 event; to do it, add --yes" in dry.err
    assert filled(*arguments, "--json").json["differences"] == {"missing": 1}
    sent = filled(*arguments, "--fill", "--yes", "--by", "ann")
    assert (sent.code, "Sent 1 event" in sent.err) == (ExitCode.PROBLEMS, True)
    filled.fine("worker", "--until-caught-up")
    again = filled.fine(*arguments, "--fill", "--yes", "--json").json
    assert (again["clean"], again["equal"], again["filled"], again["differences"]) == (True, 2, 0, {})
    assert Path(again["report"]).exists()
    status = filled.fine("status", "ann", "--at", "2021-08-04", "--json").json
    assert status["campaigns"][0]["counting"]["measures"]["payments"] == 2
    assert [one["action"] for one in filled.fine("audit", "--json").json["entries"]][-1:] == [
        "batch.monitor.fill"
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--day", "2021-8-3"),
            "--day 2021-8-3 --campaign-zone UTC: '2021-8-3' is not a day such as 2021-08-05",
        ),
        (("--day", DAY, "--campaign-zone", "Tokyo"), "'Tokyo' is not an IANA time zone"),
        (("--day", DAY, "--yes"), "--yes belongs to --fill"),
        (
            ("--day", DAY, "--column", "id=x"),
            "--column id=x: expected NAME=THEIRS; the names are transaction_id,",
        ),
        (("--day", DAY, "--column", "history=x"), "--column history=x: there is no such column"),
        (("--day", DAY, "--query", "x"), "--query belongs to a server"),
    ],
)
def test_bad_arguments(filled: Rung, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """A wrong argument is named with what is due."""
    ran = filled("batch", "monitor", "--against", listed(tmp_path, purchase("t1")), *arguments)
    assert ran.code == ExitCode.BAD_INPUT
    assert message in ran.err


def test_a_password_is_shown_nowhere(filled: Rung) -> None:
    """A server that cannot be reached is an error without its password."""
    ran = filled(
        "batch", "monitor", "--against", "postgresql://u:hidden@127.0.0.1:1/d", "--query", "t", "--day", DAY
    )
    assert ran.code == ExitCode.BAD_INPUT
    assert "the PostgreSQL server cannot be read" in ran.err
    assert "hidden" not in ran.err


def test_latest_steps_cannot_fill(filled: Rung, tmp_path: Path) -> None:
    """A list of latest steps is compared, and refused with --fill."""
    path = write_lines(
        tmp_path / "list.csv",
        "transaction_id,user_id,status,at,amount",
        "t2,ann,COMPLETED,2021-08-03T10:00:00Z,5",
    )
    ran = filled("batch", "monitor", "--against", path, "--day", DAY, "--fill")
    assert ran.code == ExitCode.BAD_INPUT
    assert "--fill needs whole histories" in ran.err


def test_late(filled: Rung) -> None:
    """The events of a day by how late they came, and what they changed; else those of yesterday."""
    today = datetime.now(UTC).date().isoformat()
    found = filled.fine("batch", "late", "--day", today, "--json").json
    assert found == {
        "day": today,
        "events": 1,
        "delays": {
            "under 1 minute": 0,
            "under 1 hour": 0,
            "under 1 day": 0,
            "under 3 days": 0,
            "3 days or more": 1,
        },
        "changed_ended": {"small": 1},
    }
    shown = filled.fine("batch", "late", "--day", today)
    assert f"1 event appended on {today} (UTC)" in shown.err
    assert "3 days or more" in shown.out
    assert "0 events appended on" in filled.fine("batch", "late").err


def test_spark_begins_with_the_first_event(filled: Rung) -> None:
    """Spark is for full runs."""
    ran = filled("batch", "aggregate", "--engine", "spark")
    assert (ran.code, ran.err) == (
        ExitCode.BAD_INPUT,
        "error: --engine spark begins with the first event: add --full, or leave out --engine\n",
    )


def test_spark_is_not_installed(filled: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyspark the error has the command that installs it, and no snapshot is made."""
    monkeypatch.setattr("rung.batch.spark.session.find_spec", always(None))
    ran = filled("batch", "aggregate", "--full", "--engine", "spark")
    assert ran.code == ExitCode.BAD_INPUT
    assert 'run pip install "pyspark>=4.1,<5"' in ran.err


@pytest.mark.timeout(600)
def test_aggregate_on_spark(filled: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot of Spark is like one of DuckDB, and the next run goes on from it; Spark is gone at the end."""
    monkeypatch.setenv("RUNG_BATCH_MEMORY_MIB", "1024")
    monkeypatch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
    made = filled.fine("batch", "aggregate", "--full", "--engine", "spark", "--json").json
    assert (made["snapshot"], made["events"], made["transactions"]) == (1, 1, 1)
    assert not (filled.home / "batch" / "spark").exists()
    again = filled.fine("batch", "aggregate", "--json").json
    assert (again["snapshot"], again["events"]) == (2, 0)


def test_spark_does_not_start(filled: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    """A master that is none, or that Spark refuses, is named; nothing is left running."""
    monkeypatch.setenv("RUNG_BATCH_SPARK_MASTER", "nowhere")
    ran = filled("batch", "aggregate", "--full", "--engine", "spark")
    assert ran.code == ExitCode.BAD_INPUT
    assert "RUNG_BATCH_SPARK_MASTER: " in ran.err
    monkeypatch.setenv("RUNG_BATCH_SPARK_MASTER", "local[none]")
    ran = filled("batch", "aggregate", "--full", "--engine", "spark")
    assert ran.code == ExitCode.FAILED
    assert "Spark did not start with batch.spark_master = local[none]" in ran.err
    assert not (filled.home / "batch" / "spark").exists()
