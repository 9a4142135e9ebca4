"""`rung doctor`: what is wrong, and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cli.command import SPEC, Rung, always, purchase, running_worker, write_lines
from rung import adapters, bootstrap, servers
from rung.cli.errors import ExitCode
from rung.log.port import LogUnavailable
from rung.store.dynamodb.tables import TableDescription
from rung.store.memory import MemoryStore
from rung.store.port import StoreBusy


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
        (_lost_log, "partitions", "0 other log, 1 other log"),
    ],
)
def test_problems(small: Rung, damage: Callable[[Rung], None], what: str, text: str) -> None:
    """Each problem is named, with what to do; exit code 1."""
    damage(small)
    found = _findings(small, code=ExitCode.PROBLEMS)[what]
    assert found.state == "problem"
    assert text in found.found
    assert found.fix


def test_every_problem_is_told(small: Rung) -> None:
    """A log that cannot be opened hides nothing of a store that cannot either, nor of one that can."""
    _broken_log(small)
    found = _findings(small, code=ExitCode.PROBLEMS)
    assert (found["log"].state, found["store"].state, found["campaigns"].found) == ("problem", "ok", "small")
    _broken_store(small)
    found = _findings(small, code=ExitCode.PROBLEMS)
    assert (found["log"].state, found["store"].state) == ("problem", "problem")


class _Topics(NamedTuple):
    name: str


KAFKA = {
    "RUNG_LOG_KIND": "kafka",
    "RUNG_KAFKA_BOOTSTRAP_SERVERS": "localhost:9",
    "RUNG_KAFKA_QUARANTINE_TOPIC": "bad-events",
}
DYNAMODB = {"RUNG_STORE_KIND": "dynamodb", "RUNG_DYNAMODB_REGION": "eu-central-1"}


@pytest.mark.parametrize(
    ("topics", "missing"), [(("rung-events", "bad-events"), ""), (("rung-events",), "bad-events")]
)
def test_a_log_on_kafka(
    small: Rung, monkeypatch: pytest.MonkeyPatch, topics: tuple[str, ...], missing: str
) -> None:
    """With Kafka the topics are looked for, the properties shown without secrets, and no lock is."""
    embedded = adapters.log_of(bootstrap.open_home(small.home))
    (small.home / "rung.toml").write_text(
        '[kafka.client]\n"sasl.password" = "geheim"\n"security.protocol" = "SASL_SSL"\n', encoding="utf-8"
    )
    for name, value in KAFKA.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(adapters, "log_of", always(embedded))
    monkeypatch.setattr(servers, "describe_topics", always([_Topics(name) for name in topics]))
    found = _findings(small, code=ExitCode.PROBLEMS if missing else 0)
    assert found["log"].found == (
        "Kafka at localhost:9, topic rung-events, 4 partitions, group rung, sasl.password=***, "
        f"security.protocol=SASL_SSL{f'; missing: {missing}' if missing else ''}"
    )
    assert "confluent-kafka" in found["libraries"].found
    assert found["worker"] == _Found("ok", "those of the group rung", "")


def test_a_log_out_of_reach(small: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that does not answer is a problem, and the store is looked at all the same."""

    def unreachable(home: object, *, read_only: bool = False) -> object:
        raise LogUnavailable("no broker answers")

    for name, value in KAFKA.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(adapters, "log_of", unreachable)
    found = _findings(small, code=ExitCode.PROBLEMS)
    assert found["log"].found == "no broker answers"
    assert found["log"].fix.startswith("start the brokers, or correct [kafka]")
    assert (found["store"].state, found["campaigns"].found) == ("ok", "small")


@pytest.mark.parametrize(("status", "state"), [("ACTIVE", "ok"), ("MISSING", "problem")])
def test_a_store_on_dynamodb(small: Rung, monkeypatch: pytest.MonkeyPatch, status: str, state: str) -> None:
    """With DynamoDB the state of each table is told, and what makes the missing ones."""
    table = TableDescription("rung-users", status, 0, 0, "")
    for name, value in DYNAMODB.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(adapters, "store_of", always(MemoryStore()))
    monkeypatch.setattr(servers, "describe_tables", always([table]))
    found = _findings(small, code=0 if state == "ok" else ExitCode.PROBLEMS)
    assert found["store"].state == state
    assert found["store"].found == f"DynamoDB in eu-central-1: rung-users {status.lower()}"
    assert found["store"].fix.endswith("" if state == "ok" else "store create")
    assert "aiodynamo" in found["libraries"].found


def test_a_store_out_of_reach(small: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer is a problem, and the log is looked at all the same."""

    def busy(home: object, *, read_only: bool = False) -> object:
        raise StoreBusy("it does not answer")

    for name, value in DYNAMODB.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(adapters, "store_of", busy)
    found = _findings(small, code=ExitCode.PROBLEMS)
    assert found["store"] == _Found(
        "problem", "it does not answer", "start it, or correct [dynamodb] in rung.toml"
    )
    assert found["log"].state == "ok"


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
