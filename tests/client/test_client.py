"""Both clients against a real server: every question, and what it answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import count

import pytest

from callers import key_of, token
from cli.command import purchase
from client.scripted_server import Reply, ScriptedServer
from rung.access.permissions import Scope
from rung.client import BadAnswer, Client, NotAllowed, Refused, Unavailable
from rung.status.messages import USERS_MAX
from rung.status.view import Comparison, CountingStatus, UserStatus

Connect = Callable[..., Client]

USERS = count()
"""Each test that sends events has a user of its own, because all share one server."""
MONTH = "2021-08-15"


def counting(status: UserStatus) -> CountingStatus:
    (campaign,) = status.campaigns
    assert campaign.counting is not None
    return campaign.counting


@pytest.mark.parametrize(
    "at",
    [MONTH, date(2021, 8, 15), "2021-08-15T00:00:00+09:00", datetime(2021, 8, 31, 23, 59, 59, 999_999, UTC)],
)
def test_a_status(served: str, connect: Connect, at: str | date) -> None:
    """A status is decoded whole, at a time given as text or as value."""
    status = connect(served).status("ann", at=at)
    assert status.user_id == "ann"
    found = counting(status)
    assert (found.period, dict(found.measures)) == ("2021-08", {"payments": 1, "total": 1_499})
    (step,) = found.steps
    assert step.conditions == (Comparison("payments >= 3", False, 1, 3, 2),)


def test_the_present_and_one_campaign(served: str, connect: Connect) -> None:
    """Without a time it is the present; an unknown campaign is refused with the one that was meant."""
    client = connect(served)
    assert counting(client.status("ann", campaign="small")).period >= "2026-01"
    with pytest.raises(Refused) as caught:
        client.status("ann", campaign="smal")
    assert (caught.value.status, caught.value.code, caught.value.suggestion) == (
        404,
        "unknown_campaign",
        "small",
    )
    assert "smal" in caught.value.detail
    assert str(caught.value).endswith("Did you mean small?")


def test_own_figures(served: str, connect: Connect) -> None:
    """A user's token gives the user's own status and explanation, and nothing else."""
    client = connect(served, token("ann"))
    assert counting(client.my_status(at=MONTH, campaign="small")).measures["payments"] == 1
    assert client.my_explain("small", "2021-08").user_id == "ann"
    shown = client.my_watch()
    assert next(iter(shown)).user_id == "ann"
    with pytest.raises(NotAllowed) as caught:
        client.status("ann")
    assert (caught.value.status, caught.value.code) == (403, "missing_permission")


@pytest.mark.parametrize(
    ("credential", "code"),
    [
        (key_of(9, *Scope)[1], "bad_credentials"),
        ("nonsense", "bad_credentials"),
        (token("ann", exp=1_600_000_000), "token_expired"),
    ],
    ids=["unknown key", "nonsense", "expired"],
)
def test_wrong_credentials(served: str, connect: Connect, credential: str, code: str) -> None:
    """What the server does not take is an error that says why, and does not repeat it."""
    with pytest.raises(NotAllowed) as caught:
        connect(served, credential).my_status()
    assert (caught.value.status, caught.value.code) == (401, code)
    assert credential not in str(caught.value)


@pytest.mark.parametrize("number", [0, 1, USERS_MAX, USERS_MAX + 1, 2 * USERS_MAX + 5])
def test_many_statuses(served: str, connect: Connect, number: int) -> None:
    """Any number of users may be asked for; the statuses come in their order."""
    asked = [f"u{index}" for index in range(number)]
    if asked:
        asked[-1] = "ann"
    found = connect(served).statuses(iter(asked), at=MONTH)
    assert [status.user_id for status in found] == asked
    assert [counting(status).measures["payments"] for status in found[-1:]] == [1][:number]


def test_an_explanation(served: str, connect: Connect) -> None:
    """Each transaction has its reason, and the sum is what is stored."""
    found = connect(served).explain("ann", "small", "2021-08", version=0)
    assert {one.transaction_id: (one.reason, one.below_condition) for one in found.transactions} == {
        "t1": ("counted", ()),
        "t2": ("counted", ("payments",)),
    }
    assert found.exact


def test_campaigns(served: str, connect: Connect) -> None:
    """The campaigns are told with the units of their measures, to a service and to a user."""
    for credential in ({}, {"credential": token("ann")}):
        (campaign,) = connect(served, **credential).campaigns().campaigns
        assert campaign.campaign == "small"
        assert campaign.versions[0].measures == {"payments": "count", "total": "money"}


def test_the_description_of_the_api(served: str, connect: Connect) -> None:
    """The server describes its API, with every question of the client in it."""
    described = connect(served).openapi()
    assert described["openapi"].startswith("3.1")
    assert {"/v1/me/status", "/v1/users/status", "/v1/events"} <= described["paths"].keys()


def test_one_event_and_its_status(served: str, connect: Connect) -> None:
    """A status that waits for a receipt has the event in it; sending it again changes nothing."""
    client, user = connect(served), f"sent-{next(USERS)}"
    event = purchase(f"t-{user}", user)
    for _ in range(2):
        receipt = client.send(event)
        assert receipt.accepted == 1
        status = client.status(user, at=MONTH, after=receipt, wait_seconds=60)
        assert counting(status).measures["payments"] == 1
        assert receipt.last is not None
        assert status.as_of.offset >= receipt.last.offset
        assert receipt.after is not None
        assert client.status(user, at=MONTH, after=receipt.after[0]).campaigns == status.campaigns
    assert client.send([]).after == ()
    assert client.status("ann", after=client.send([])).user_id == "ann"


def test_many_events(served: str, connect: Connect) -> None:
    """Events of all kinds are sent together, whatever partitions they belong to."""
    client, user = connect(served), f"sent-{next(USERS)}"
    history = [{"status": "COMPLETED", "at": "2021-08-03T10:00:00Z", "amount": 1_000}]
    receipt = client.send(
        [
            purchase(f"a-{user}", user),
            purchase(f"b-{user}", user).encode(),
            purchase(f"c-{user}", user).replace(", ", ",\n  "),
            {"transaction_id": f"d-{user}", "user_id": user, "history": history},
            *(purchase(f"{number}-{user}", f"{user}-{number}") for number in range(50)),
        ]
    )
    assert receipt.accepted == 54
    found = client.status(user, at=MONTH, after=receipt, wait_seconds=60)
    assert counting(found).measures["payments"] == 4


def test_not_applied_yet(scripted: ScriptedServer, connect: Connect) -> None:
    """Whoever waits shorter than it takes is told so, and that is no failure of the server's."""
    body = b'{"type":"","title":"","status":503,"detail":"Not yet.","code":"not_applied_yet"}'
    scripted.script(Reply(503, body, {"retry-after": "2"}))
    with pytest.raises(Unavailable) as caught:
        connect(scripted.url).status("ann", after="AQ", wait_seconds=0)
    assert caught.value.not_applied_yet
    assert [heard.target for heard in scripted.heard] == ["/v1/users/ann/status?after=AQ&wait_ms=0"]


def test_watching(served: str, connect: Connect) -> None:
    """A watched status is shown at once, and again when a payment has changed it."""
    client, sender, user = connect(served), connect(served), f"watched-{next(USERS)}"
    shown = client.watch(user, campaign="small")
    assert next(iter(shown)).user_id == user
    event = purchase(f"t-{user}", user, at=datetime.now(UTC).isoformat())
    sending = threading.Thread(target=sender.send, args=(event,))
    sending.start()
    try:
        assert counting(next(iter(shown))).measures["payments"] == 1
    finally:
        sending.join()


@pytest.mark.parametrize(
    "user",
    [
        "a/b",
        "/",
        "..",
        ".",
        "a/../b",
        "ann/status",
        "ann/campaigns/small",
        "x/campaigns",
        "a?b#c%20d%2Fe",
        "a+b c&d=e;f",
        '"quoted"\\',
        "Zoë 雪 🍒",
        "\x00\x07\n",
        "u" * 128,
    ],
)
def test_any_user_id(served: str, connect: Connect, user: str) -> None:
    """Whatever stands in an id, the status is that user's, and so is what was sent."""
    client = connect(served)
    receipt = client.send(purchase(f"of {user}"[:64], user, 700))
    if "/" not in user:
        client.status(user, at=MONTH, after=receipt, wait_seconds=60)
    deadline = time.monotonic() + 60
    # To wait for events an id has to stand in a path, where one with a slash may name something else.
    while not counting(client.status(user, at=MONTH)).measures["payments"]:
        assert "/" in user
        assert time.monotonic() < deadline
    for status in (client.status(user, at=MONTH), *client.statuses([user], at=MONTH)):
        assert status.user_id == user
        assert counting(status).measures == {"payments": 1, "total": 700}


@pytest.mark.parametrize(
    ("user", "code"), [("", "bad_user_id"), ("u" * 129, "bad_user_id"), ("\ud800", "bad_user_id")]
)
def test_no_user_id(served: str, connect: Connect, user: str, code: str) -> None:
    """What can be no id is refused, by every question in the same way."""
    client = connect(served)
    questions: tuple[Callable[[], object], ...] = (
        lambda: client.status(user),
        lambda: client.statuses([user]),
        lambda: client.explain(user, "small", "2021-08"),
        lambda: next(iter(client.watch(user))),
    )
    for ask in questions:
        with pytest.raises(Refused) as caught:
            ask()
        assert caught.value.code == code


def test_another_users_figures_are_not_taken(scripted: ScriptedServer, connect: Connect) -> None:
    """If something on the way asks for another user, nobody gets those figures."""
    status = b'{"user_id":"bob","as_of":{"partition":0,"offset":-1,"event_at":null},"campaigns":[]}'
    scripted.script(Reply(200, status))
    client = connect(scripted.url)
    with pytest.raises(BadAnswer, match="another user"):
        client.status("ann")
    scripted.script(Reply(200, b'{"statuses":[%s]}' % status))
    with pytest.raises(BadAnswer, match="not about the users"):
        client.statuses(["ann"])
    assert client.statuses(["bob"])[0].user_id == "bob"
