"""`rung doctor`: what is wrong, and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cli.command import SPEC, Rung, purchase, running_worker, write_lines
from rung import bootstrap
from rung.cli.errors import ExitCode


class _Found(NamedTuple):
    state: str
    found: str
    fix: str


def _findings(rung: Rung, *, code: int = 0) -> dict[str, _Found]:
    ran = rung("doctor", "--json")
    assert ran.code == code, ran.out
    assert ran.json["ok"] == (code == 0)
    return {one["what"]: _Found(one["state"], one["found"], one["fix"]) for one in ran.json["findings"]}


def test_all_is_well(small: Rung, tmp_path: Path) -> None:
    """On a healthy home with a worker, everything is looked at and nothing is to do; exit code 0."""
    small.fine("ingest", "--wait", write_lines(tmp_path / "e", purchase("t1")))
    with running_worker(small.home):
        found = _findings(small)
    assert {what for what, one in found.items() if one.state != "ok"} <= {"open files"}
    assert {"python", "libraries", "clock", "disk", "home", "settings", "log", "store", "lag"} <= found.keys()
    assert found["campaigns"].found == "small"
    assert found["lag"].found == "0 events, 0.0 s"
    assert "All is well" in small.fine("doctor").err


def test_no_home(rung: Rung, tmp_path: Path) -> None:
    """Without a home that is the problem, with the command that makes one; exit code 1."""
    ran = rung.bare("--home", tmp_path / "none", "doctor")
    assert ran.code == ExitCode.PROBLEMS
    assert f"home: rung --home {tmp_path / 'none'} init" in ran.err
    assert ran.err.endswith("error: 1 problem found\n")


def _wrong_setting(rung: Rung) -> None:
    (rung.home / "rung.toml").write_text("[api]\nprot = 1\n", encoding="utf-8")


def _other_partitions(rung: Rung) -> None:
    (rung.home / "rung.toml").write_text("[log]\npartitions = 8\n", encoding="utf-8")


def _broken_store(rung: Rung) -> None:
    (rung.home / "store" / "data.mdb").write_bytes(b"x" * 8_192)


def _broken_log(rung: Rung) -> None:
    (rung.home / "log" / "data.mdb").write_bytes(b"x" * 8_192)


def _lost_log(rung: Rung) -> None:
    rung.fine("ingest", "--wait", write_lines(rung.home / "e", purchase("t1")))
    shutil.rmtree(rung.home / "log")


@pytest.mark.parametrize(
    ("damage", "what", "text"),
    [
        (_wrong_setting, "settings", "did you mean api.port?"),
        (_other_partitions, "log", "has 4 partitions, not 8"),
        (_broken_store, "store", "cannot be opened"),
        (_broken_log, "log", "not the file of a log"),
        (_lost_log, "lag", "-1 events"),
    ],
)
def test_problems(small: Rung, damage: Callable[[Rung], None], what: str, text: str) -> None:
    """Each problem is named, with what to do; exit code 1."""
    damage(small)
    found = _findings(small, code=ExitCode.PROBLEMS)[what]
    assert found.state == "problem"
    assert text in found.found
    assert found.fix


def test_what_is_worth_knowing(rung: Rung, spec: Path, tmp_path: Path) -> None:
    """What is not wrong, but waits for somebody, is a warning with its command; exit code 0."""
    assert _findings(rung)["campaigns"].fix.endswith("campaign apply SPEC...")
    rung.fine("campaign", "apply", spec)
    rung.fine("ingest", "--wait", write_lines(tmp_path / "e", "no json"))
    spec.write_text(SPEC.replace("campaign: small", "campaign: late"), encoding="utf-8")
    rung.fine("campaign", "apply", spec)
    found = _findings(rung)
    assert found["campaigns"] == _Found(
        "warning", "2 campaigns; partial: late", f"to count earlier events: rung --home {rung.home} replay"
    )
    assert found["quarantine"] == _Found("warning", "1 event", "rung quarantine list")
    assert found["worker"].state == "warning"


def test_events_that_wait(small: Rung, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that have waited long are a warning, with the command that applies them."""
    small.fine("ingest", write_lines(tmp_path / "e", purchase("t1")))
    later = bootstrap.clock() + 3_600_000_000
    monkeypatch.setattr(bootstrap, "clock", lambda: later)
    found = _findings(small)["lag"]
    assert found.state == "warning"
    assert found.found.startswith("1 event, 3,6")
    assert found.fix.endswith("worker --until-caught-up")


def test_a_full_map(small: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file near its limit is a problem, with the setting to raise."""
    monkeypatch.setenv("RUNG_STORE_MAP_BYTES", str(1 << 20))
    store = small.home / "store" / "data.mdb"
    with store.open("ab") as file:
        file.truncate(1_040_000)
    found = _findings(small, code=ExitCode.PROBLEMS)["store"]
    assert found.fix == "raise store.map_bytes in rung.toml"
