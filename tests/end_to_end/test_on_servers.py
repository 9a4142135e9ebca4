"""What an operator does beside the workers, on Kafka and DynamoDB: the console, webhooks, and what forgets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.command import SPEC, Rung, purchase, write_lines
from console.console_rig import running
from log import kafka_broker
from store import dynamodb_local
from webhooks.receiver import Receiver, configure, receiving

USER = "ann-in-question"
USERS = (USER, "bob", "cy")
BAD = purchase("bad", USER, at="yesterday")
GOOD = purchase("bad", USER, at="2021-08-29T00:00:00Z")


@pytest.fixture
def rung(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Rung:
    """Return a command line on a home that keeps one month, with events of three, on servers."""
    kafka, dynamodb = kafka_broker.new_settings(quarantine=True), dynamodb_local.new_settings()
    home = tmp_path / "home"
    home.mkdir()
    (home / "rung.toml").write_text(
        f"""
[log]
kind = "kafka"
[kafka]
bootstrap_servers = "{kafka.bootstrap_servers}"
topic = "{kafka.topic}"
group_id = "{kafka.group_id}"
quarantine_topic = "{kafka.quarantine_topic}"
[store]
kind = "dynamodb"
[dynamodb]
region = "{dynamodb.region}"
endpoint_url = "{dynamodb.endpoint_url}"
table_prefix = "{dynamodb.table_prefix}"
""",
        encoding="utf-8",
    )
    rung = Rung(home, capsys)
    rung.fine("log", "create", "--partitions", "2", "--replication-factor", "1")
    rung.fine("store", "create")
    spec = tmp_path / "keep.yaml"
    spec.write_text(SPEC.replace("currency:", "keep: 1 month\ncurrency:"), encoding="utf-8")
    rung.fine("campaign", "apply", spec)
    days = [f"2021-{month:02}-{day:02}T00:00:00Z" for month in range(6, 10) for day in (1, 2, 28)]
    lines = [purchase(f"{number}-{day}", user, at=day) for number, user in enumerate(USERS) for day in days]
    feed(rung, *lines, BAD)
    return rung


def feed(rung: Rung, *lines: str) -> None:
    rung.fine("ingest", write_lines(rung.home.parent / "events.ndjson", *lines))
    rung.fine("worker", "--until-caught-up")


@pytest.mark.timeout(400)
def test_the_console(rung: Rung) -> None:
    """Pages are shown, an event is corrected, and jobs compare every user, and one, with all events."""
    with running(rung.home, None) as rig:
        bob = rig.person("bob")
        for path in ("/", "/live", "/lag", "/campaigns/small", "/changes", "/batch", "/audit"):
            assert bob.get(path).status_code == 200, path
        event = "/quarantine/" + bob.get("/quarantine").text.split('href="/quarantine/')[1].split('"')[0]
        assert bob.fine(f"{event}/correct", {"event": GOOD, "reason": "sent again"}) == "/quarantine"
        rung.fine("worker", "--until-caught-up")
        rung.fine("archive", "--until-caught-up")
        page = bob.get(f"/users?id={USER}&period=2021-08").text
        assert "The sum of 4 transactions equals the stored figures (version 0)" in page
        assert "All 3 users are equal" in bob.get(bob.job("/batch/verify")).text
        plan = bob.job("/users/replay/plan", {"user": USER})
        assert "1 user was fine already" in bob.get(plan).text


@pytest.mark.timeout(400)
def test_what_forgets(rung: Rung) -> None:
    """A period is closed, old ones are pruned, a late event is settled, and a user's name is nowhere any more."""
    rung.fine("archive", "--until-caught-up")
    rung.fine("batch", "verify")
    for period in ("2021-06", "2021-07"):
        rung.fine("batch", "close", "small", period, "--yes")
    assert rung.fine("grants", "small", "2021-07", "--json").json["settlements"]
    assert rung.fine("prune", "--yes", "--reason", "old", "--json").json["transactions"] == 18
    feed(rung, purchase("late", USER, at="2021-06-03T00:00:00Z"))
    rung.fine("archive", "--until-caught-up")
    rung.fine("batch", "verify")
    assert rung.fine("batch", "settle", "--json").json["released"] == 1
    erased = rung.fine("erase", USER, "--reason", "asked", "--yes", "--log-expires-itself", "--json").json
    assert (erased["transactions"], erased["quarantined"], erased["left"]) == (6, 1, [])
    counting = rung.fine("status", USER, "--at", "2021-09-29", "--json").json["campaigns"][0]["counting"]
    assert counting["measures"] == {"payments": 0, "total": 0}
    rung.fine("batch", "verify")
    assert rung.fine("audit", "--json").json["ok"]


@pytest.mark.timeout(400)
def test_webhooks(rung: Rung) -> None:
    """Steps that are reached are told to an endpoint, and told once."""
    with receiving(Receiver()) as receiver:
        now = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
        feed(rung, *(purchase(f"new-{number}", USER, at=now) for number in range(3)))
        configure(rung.home, receiver.url, settings=(rung.home / "rung.toml").read_text())
        for _ in range(2):
            rung.fine("webhooks", "run", "--until-caught-up")
    assert receiver.problems == []
    assert receiver.steps() == {USER: [("step.reached", "three", 1)]}
    assert len(receiver.came) == 1
