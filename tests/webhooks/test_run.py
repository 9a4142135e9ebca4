"""`rung webhooks`: what users reach and lose is told to a real endpoint, whatever happens on the way."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from cli.command import Ran, Rung, purchase, start, trim, write_lines
from rung import bootstrap
from rung.campaign.catalog import Catalog
from rung.cli.errors import ExitCode
from rung.exclusive import exclusive
from rung.speed.worker import Worker, WorkerSettings
from webhooks.conftest import SPEC
from webhooks.receiver import DROPPED, TAKEN, Receiver, configure, receiving

NOW = datetime.now(UTC) - timedelta(minutes=1)
MONTH = NOW.strftime("%Y-%m")
REACHED, LOST = "step.reached", "step.lost"
_numbers = count()


def text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")


def bought(transaction: str, user: str = "ann", amount: int = 1_000, *, refunded: bool = False) -> str:
    """Return an event of a purchase of this month, perhaps given back since."""
    then = [("REFUNDED", text(NOW), amount)] if refunded else []
    return purchase(transaction, user, amount, text(NOW), then)


def feed(rung: Rung, *lines: str) -> None:
    """Append events, and apply them."""
    rung.fine("ingest", "--wait", write_lines(rung.home.parent / f"events-{next(_numbers)}", *lines))


def send(rung: Rung) -> Ran:
    """Send what there is to be sent."""
    return rung.fine("webhooks", "run", "--until-caught-up")


def test_reached_lost_and_reached_again(rung: Rung, receiver: Receiver) -> None:
    """Each change of a step is a message of its own, in order, and none comes again."""
    feed(rung, bought("t1"), bought("t2"), bought("b1", "bob"))
    send(rung)
    assert receiver.steps() == {"ann": [(REACHED, "two", 1)]}
    feed(rung, bought("t2", refunded=True), bought("b2", "bob"))
    assert "2 messages sent, 0 waiting, 0 parked" in send(rung).err
    feed(rung, bought("t3"))
    send(rung)
    assert "0 messages sent" in send(rung).err
    assert receiver.steps() == {
        "ann": [(REACHED, "two", 1), (LOST, "two", 2), (REACHED, "two", 3)],
        "bob": [(REACHED, "two", 1)],
    }
    assert receiver.problems == []
    assert len(receiver.came) == len(receiver.bodies) == 4
    first = receiver.taken[0]
    assert first["data"] == {
        "user_id": "ann",
        "campaign": "small",
        "version": 0,
        "period": MONTH,
        "step": "two",
        "occurrence": 1,
    }


def test_an_attribute_of_a_user(rung: Rung, receiver: Receiver) -> None:
    """A step that an attribute of the user decides is told as soon as the attribute is."""
    feed(rung, bought("t1", amount=3_000))
    send(rung)
    assert receiver.steps() == {}
    feed(rung, json.dumps({"user_id": "ann", "sequence": 1, "user_attributes": {"premium": True}}))
    send(rung)
    assert receiver.steps() == {"ann": [(REACHED, "rich", 1)]}


def test_the_period_before(rung: Rung, receiver: Receiver) -> None:
    """What comes late for the period that has just ended is told under that period."""
    before = NOW.replace(day=1) - timedelta(days=2)
    feed(rung, *(purchase(f"t{number}", at=text(before)) for number in range(2)))
    send(rung)
    assert [message["data"]["period"] for message in receiver.taken] == [before.strftime("%Y-%m")]


def test_a_replay_changes_nothing(rung: Rung, receiver: Receiver) -> None:
    """Deriving everything again tells nothing: no step is lost meanwhile, and none reached anew."""
    feed(rung, *(bought(f"{user}{number}", user) for user in ("ann", "bob") for number in range(2)))
    send(rung)
    rung.fine("replay", "--yes")
    send(rung)
    assert receiver.steps() == {"ann": [(REACHED, "two", 1)], "bob": [(REACHED, "two", 1)]}
    assert len(receiver.came) == 2


def test_amid_a_replay(rung: Rung, receiver: Receiver) -> None:
    """While everything is derived again users have less than they had: nobody is told to have lost anything."""
    feed(rung, bought("t1"), bought("t2"), bought("t3"))
    send(rung)
    home = bootstrap.open_home(rung.home)
    for steps in (0, 1, 1):
        with bootstrap.opened_log(home) as log, bootstrap.opened_store(home) as store:
            if not steps:
                store.reset(Catalog.decode(store.catalog()[1]).from_the_beginning().encode())
            else:
                worker = Worker(log.consumer(), store, WorkerSettings(batch_events_max=1), bootstrap.clock)
                assert worker.step(0.0)
                worker.close()
        assert "0 messages sent" in send(rung).err
    rung.fine("worker", "--until-caught-up")
    send(rung)
    assert receiver.steps() == {"ann": [(REACHED, "two", 1)]}


def test_everybody_is_looked_at_when_campaigns_change(rung: Rung, receiver: Receiver, tmp_path: Path) -> None:
    """A campaign that comes later tells of users who have no later event."""
    feed(rung, bought("t1"), bought("t2"))
    send(rung)
    (tmp_path / "late.yaml").write_text(SPEC.replace("campaign: small", "campaign: late"), encoding="utf-8")
    rung.fine("campaign", "apply", tmp_path / "late.yaml")
    rung.fine("replay", "--yes")
    send(rung)
    assert [message["data"]["campaign"] for message in receiver.taken] == ["small", "late"]


def test_a_log_that_was_trimmed(rung: Rung, receiver: Receiver) -> None:
    """Events that are gone before they were looked at are made up for by a look at everybody."""
    feed(rung, bought("t1"), bought("t2"))
    send(rung)
    feed(rung, *(bought(f"b{number}", "bob") for number in range(2)))
    for partition in range(4):
        trim(rung.home, partition)
    send(rung)
    assert receiver.steps() == {"ann": [(REACHED, "two", 1)], "bob": [(REACHED, "two", 1)]}


def test_a_lost_outbox(rung: Rung, receiver: Receiver) -> None:
    """Without its file everything that is met is told again, under the id that it had."""
    feed(rung, bought("t1"), bought("t2"))
    send(rung)
    (rung.home / "webhooks.sqlite").unlink()
    send(rung)
    assert len(receiver.taken) == 2
    assert len(receiver.first_taken()) == 1


def test_a_dead_endpoint(rung: Rung, receiver: Receiver) -> None:
    """Messages that are not taken are parked with an alarm, and sent in order once they are tried again."""
    configure(rung.home, receiver.url, "attempts_max = 3")
    receiver.answer = lambda _: 503
    feed(rung, bought("t1"), bought("t2"))
    ran = rung("webhooks", "run", "--until-caught-up")
    assert ran.code == ExitCode.PROBLEMS
    assert (
        f"error: 1 parked, because {receiver.url} answered 503; once the endpoint takes messages: " in ran.err
    )
    assert [status for _, status in receiver.came] == [503] * 3
    feed(rung, bought("t2", refunded=True))
    assert rung("webhooks", "run", "--until-caught-up", "--json").json == {
        "sent": 0,
        "messages": 2,
        "parked": 1,
        "held": 2,
        "cause": f"{receiver.url} answered 503",
    }
    told = rung("webhooks", "status", "--json")
    assert (told.code, told.json["ok"], told.json["sender"]) == (ExitCode.PROBLEMS, False, None)
    receiver.answer = lambda _: TAKEN
    assert rung.fine("webhooks", "retry", "--json").json == {"retried": 1}
    send(rung)
    assert receiver.steps() == {"ann": [(REACHED, "two", 1), (LOST, "two", 2)]}
    assert rung.fine("webhooks", "status").err == ("0 waiting, 0 parked; nobody sends: rung webhooks run\n")


def test_an_endpoint_that_is_gone(rung: Rung, receiver: Receiver) -> None:
    """410 parks a message at the first attempt."""
    receiver.answer = lambda _: 410
    feed(rung, bought("t1"), bought("t2"))
    assert rung("webhooks", "run", "--until-caught-up").code == ExitCode.PROBLEMS
    assert len(receiver.came) == 1


def test_an_erased_user(rung: Rung, receiver: Receiver) -> None:
    """Nothing is told of a user who was erased, and nothing of the name in its place."""
    configure(rung.home, receiver.url, "attempts_max = 1")
    receiver.answer = lambda _: 503
    feed(rung, bought("t1", "annabella"), bought("t2", "annabella"), bought("b1", "bob"), bought("b2", "bob"))
    assert rung("webhooks", "run", "--until-caught-up").code == ExitCode.PROBLEMS
    rung.fine("archive", "--until-caught-up")
    rung.fine("log", "trim", "--yes")
    rung.fine("erase", "annabella", "--reason", "asked for it", "--yes")
    assert b"annabella" not in (rung.home / "webhooks.sqlite").read_bytes()
    receiver.answer = lambda _: TAKEN
    rung.fine("webhooks", "retry")
    feed(rung, bought("c1", "cid"), bought("c2", "cid"))
    send(rung)
    assert receiver.steps() == {"bob": [(REACHED, "two", 1)], "cid": [(REACHED, "two", 1)]}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", "webhooks.url is empty: name the endpoint, https://..."),
        ('url = "https://example.com/"', "webhooks.secrets is empty: add current = {file"),
        ('url = "https://example.com/"\nsecrets = {current = "whsec_x"}', 'webhooks.secrets.current: name a file: current = {file = "FILE"}'),
        ('url = "https://example.com/"\nsecrets = {current = {file = "rung.toml"}}', "webhooks.secrets.current: expected whsec_ and 24 to 64 bytes"),
        ('url = "https://example.com/"\nsecrets = {current = {file = "none"}}', "webhooks.secrets.current: "),
        ('url = "http://example.com/"\nsecrets = {current = {file = "hook-secret"}}', "webhooks.url: messages name users, so they go by https"),
    ],
)  # fmt: skip
def test_wrong_settings(rung: Rung, settings: str, message: str) -> None:
    """Each setting that is wrong is named with what is due."""
    (rung.home / "rung.toml").write_text(f"[webhooks]\n{settings}\n", encoding="utf-8")
    ran = rung("webhooks", "run")
    assert ran.code == ExitCode.BAD_INPUT
    assert message in ran.err


def test_one_sender(rung: Rung) -> None:
    """A second process that sends is refused: it would break the order."""
    with exclusive(rung.home / "webhooks.lock", "1"):
        ran = rung("webhooks", "run")
        assert rung("webhooks", "status", "--json").json["sender"] == "1"
    assert (ran.code, "already sent (process 1)" in ran.err) == (ExitCode.BUSY, True)


def test_a_secret(rung: Rung) -> None:
    """A secret that was made is one that messages can be signed with."""
    made = rung.bare("webhooks", "secret").out
    assert made.startswith("whsec_")
    assert rung.bare("webhooks", "secret", "--json").json["secret"] != made.strip()


def scripted(draw: random.Random, users: int) -> Iterator[list[tuple[str, str, bool]]]:
    """Yield batches of (user, transaction, refunded): purchases, some of which are given back later."""
    bought_by: dict[str, list[str]] = {}
    for batch in range(7):
        events: list[tuple[str, str, bool]] = []
        for number in range(40):
            user = f"user-{draw.randrange(users)}"
            mine = bought_by.setdefault(user, [])
            if mine and int(user[5:]) % 3 == 0 and draw.random() < 0.4:
                events.append((user, mine.pop(), True))
            else:
                transaction = f"t{batch}-{number}"
                mine.append(transaction)
                events.append((user, transaction, False))
        yield events


@pytest.mark.timeout(200)
def test_killed_again_and_again(rung: Rung) -> None:
    """Whatever is dropped, slow, refused or killed: each change arrives, in order, under one id; none is made up."""
    draw = random.Random(7)
    hostile = Receiver(
        answer=lambda number: (DROPPED, 503, 429, TAKEN, TAKEN, TAKEN)[
            number * 2_654_435_761 % 4_294_967_296 % 6
        ],
        delay_seconds=lambda number: (0.0, 0.0, 0.03)[number % 3],
    )
    rises: dict[str, int] = {}
    held: dict[str, int] = {}
    with receiving(hostile), ExitStack() as running:
        configure(rung.home, hostile.url, "attempts_max = 100\nconcurrent = 4")
        for events in scripted(draw, users=30):
            process = running.enter_context(start("--home", rung.home, "webhooks", "run"))
            feed(rung, *(bought(name, user, refunded=gone) for user, name, gone in events))
            for user, _, gone in events:
                held[user] = held.get(user, 0) + (-1 if gone else 1)
                rises[user] = rises.get(user, 0) + (not gone and held[user] == 2)
            target = len(hostile.came) + draw.randrange(1, 8)
            while len(hostile.came) < target and process.poll() is None:
                if rung("webhooks", "status", "--json").json["messages"] == 0 and draw.random() < 0.3:
                    # Everything of this batch was taken already.
                    break
            assert process.poll() is None, process.communicate()[1]
            process.kill()
        send(rung)
        told = hostile.steps()
    assert hostile.problems == []
    # What is reached and given back before anybody looks may be told or not.
    assert {user for user, count in held.items() if count >= 2} <= told.keys()
    assert told.keys() <= {user for user, often in rises.items() if often}
    for user, steps in told.items():
        changes = [occurrence for _, _, occurrence in steps]
        assert changes == list(range(1, len(steps) + 1))
        assert [kind for kind, _, _ in steps] == [REACHED if number % 2 else LOST for number in changes]
        assert (len(steps) % 2 == 1) == (held[user] >= 2)
        assert sum(kind == REACHED for kind, _, _ in steps) <= rises[user]
