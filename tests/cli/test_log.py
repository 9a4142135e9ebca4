"""`rung log`: the topics of a log, and what it says of an embedded one."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from cli.command import Rung
from rung import servers
from rung.adapters import Home
from rung.cli.errors import ExitCode
from rung.log.kafka.topics import Topic
from rung.log.port import LogUnavailable


@dataclass
class Topics:
    """The topics of a log, as Kafka would tell them."""

    made: list[Topic] = field(default_factory=list[Topic])
    error: Exception | None = None

    def create(self, home: Home, partitions: int, replication_factor: int) -> list[str]:
        if self.made:
            return []
        names = [home.settings.kafka.topic, home.settings.kafka.quarantine_topic]
        self.made = [
            Topic(name, "id-1", partitions, replication_factor, {"cleanup.policy": "delete"})
            for name in names
        ]
        return names

    def describe(self, home: Home) -> list[Topic]:
        if self.error is not None:
            raise self.error
        return self.made


@pytest.fixture
def topics(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> Topics:
    """Return topics of a home on Kafka that are not there yet."""
    made = Topics()
    monkeypatch.setenv("RUNG_LOG_KIND", "kafka")
    monkeypatch.setenv("RUNG_KAFKA_BOOTSTRAP_SERVERS", "localhost:9")
    monkeypatch.setattr(servers, "create_topics", made.create)
    monkeypatch.setattr(servers, "describe_topics", made.describe)
    return made


def test_topics(rung: Rung, topics: Topics) -> None:
    """Topics are made once and described; one that is missing is told with the command that makes it."""
    ran = rung("log", "describe")
    assert (ran.code, ran.err) == (
        ExitCode.PROBLEMS,
        "error: there is no topic rung-events: rung log create --partitions N --replication-factor R\n",
    )
    create = ("log", "create", "--partitions", "6", "--replication-factor", "3")
    assert rung.fine(*create).err.splitlines() == [
        "Made: rung-events with 6 partitions",
        "Made: rung-quarantine with 6 partitions",
    ]
    assert rung.fine(*create).err == "All topics were there: rung log describe\n"
    ran = rung.fine("log", "describe")
    assert ran.out.splitlines()[1].split() == ["rung-events", "id-1", "6", "3", "cleanup.policy=delete"]
    assert rung.fine("log", "describe", "--json").json["topics"][1]["name"] == "rung-quarantine"


def test_what_create_needs(rung: Rung, topics: Topics) -> None:
    """How many partitions and replicas there are is for a person to say: there is no default."""
    assert "Missing option '--partitions'" in rung("log", "create", "--replication-factor", "1").err
    assert "Missing option '--replication-factor'" in rung("log", "create", "--partitions", "1").err


def test_out_of_reach(rung: Rung, topics: Topics) -> None:
    """A Kafka that does not answer is one clear line; exit code 5."""
    topics.error = LogUnavailable("no broker answers")
    ran = rung("log", "describe")
    assert (ran.code, ran.err) == (ExitCode.FAILED, "error: no broker answers\n")


def test_an_embedded_log(rung: Rung) -> None:
    """An embedded log is its folder: there is nothing to make."""
    text = f"The log is embedded (LMDB): the folder {rung.home / 'log'}, made by `rung init`"
    create = ("log", "create", "--partitions", "6", "--replication-factor", "3")
    assert rung.fine(*create).err == f"{text}; there is nothing to make\n"
    assert rung.fine("log", "describe").err == f"{text}\n"
    assert rung.fine("log", "describe", "--json").json == {
        "kind": "embedded",
        "folder": str(rung.home / "log"),
        "partitions": 4,
    }
