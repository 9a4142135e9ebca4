"""What answers become: values, or errors that say what the server said."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from client.scripted_server import Reply, ScriptedServer, problem
from rung.client import BadAnswer, Client, ClientError, NotAllowed, Refused, Retries, Unavailable, Unreachable
from rung.status.routes import PROBLEMS

Connect = Callable[..., Client]

KINDS: dict[int, type[ClientError]] = {401: NotAllowed, 403: NotAllowed, 429: Unavailable}
ONCE = Retries(attempts_max=1)


def kind_of(status: int) -> type[ClientError]:
    return KINDS.get(status, Unavailable if status >= 500 else Refused)


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_problem(scripted: ScriptedServer, connect: Connect, code: str) -> None:
    """Each code of the API is one error of the family, with all that the server told."""
    status = PROBLEMS[code][0].value
    retry_after = "7" if status in {429, 503} else None
    scripted.script(problem(status, code, retry_after, suggestion="that", later="added"))
    with pytest.raises(ClientError) as caught:
        connect(scripted.url, retries=ONCE).campaigns()
    error = caught.value
    assert type(error) is kind_of(status)
    assert (error.status, error.code, error.detail, error.suggestion, error.retry_after_seconds) == (
        status,
        code,
        f"About {code}.",
        "that",
        None if retry_after is None else 7.0,
    )
    assert str(error) == f"{code}: About {code}. Did you mean that?"
    assert len(scripted.heard) == 1


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (Reply(502, b"<html>Bad Gateway</html>"), Unavailable, "unknown"),
        (Reply(431), Refused, "unknown"),
        (Reply(404, b'{"detail": "Not Found"}'), Refused, "unknown"),
        (Reply(302, b"", {"location": "http://127.0.0.1:1/"}), BadAnswer, "unknown"),
        (Reply(304), BadAnswer, "unknown"),
        (Reply(200, b"<html>"), BadAnswer, "bad_answer"),
        (Reply(200, b""), BadAnswer, "bad_answer"),
        (Reply(200, b"[]"), BadAnswer, "bad_answer"),
        (Reply(200, b'{"campaigns": [{"campaign": 1}]}'), BadAnswer, "bad_answer"),
        (Reply(200, b"{}", {"content-encoding": "gzip"}), Unreachable, "unreachable"),
    ],
)
def test_what_is_no_answer_of_the_api(
    scripted: ScriptedServer, connect: Connect, reply: Reply, kind: type[ClientError], code: str
) -> None:
    """Another server's answer, or that of something in between, is an error as well; nothing is followed."""
    scripted.script(reply)
    with pytest.raises(ClientError) as caught:
        connect(scripted.url, retries=ONCE).campaigns()
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert len(scripted.heard) == 1


def test_what_a_later_server_adds(scripted: ScriptedServer, connect: Connect) -> None:
    """Fields that this version does not know are passed over, at every depth."""
    scripted.script(
        Reply(
            200,
            b'{"new": 1, "campaigns": [{"campaign": "c", "timezone": "UTC", "currency": "EUR", "period": "month", '
            b'"effective": "next", "counts_until": null, "schedule": [], "newer": {"deep": []}, "versions": []}]}',
        )
    )
    (campaign,) = connect(scripted.url).campaigns().campaigns
    assert campaign.campaign == "c"


def test_the_description_of_the_api(scripted: ScriptedServer, connect: Connect) -> None:
    """The description is handed on as it is."""
    scripted.script(Reply(200, b'{"openapi": "3.1.0", "paths": {"/v1/campaigns": {}}}'))
    assert connect(scripted.url).openapi() == {"openapi": "3.1.0", "paths": {"/v1/campaigns": {}}}
    assert scripted.heard[0].target == "/v1/openapi.json"


STATUS = b'{"user_id":"ann","as_of":{"partition":0,"offset":%d,"event_at":null},"campaigns":[]}'


def test_statuses_that_have_not_changed(scripted: ScriptedServer, connect: Connect) -> None:
    """With `etags_max` an unchanged status is not sent again; each answer is still the server's."""
    client = connect(scripted.url, etags_max=2)
    scripted.script(
        Reply(200, STATUS % 1, {"etag": '"one"'}),
        Reply(304, b"", {"etag": '"one"'}),
        Reply(200, STATUS % 2, {"etag": '"two"'}),
        Reply(304, b"", {"etag": '"two"'}),
    )
    assert [client.status("ann").as_of.offset for _ in range(4)] == [1, 1, 2, 2]
    asked = [heard.headers.get("if-none-match") for heard in scripted.heard]
    assert asked == [None, '"one"', '"one"', '"two"']


def test_kept_answers_are_bounded_and_nobody_elses(scripted: ScriptedServer, connect: Connect) -> None:
    """An answer is kept for one caller and one question; the one not asked for longest is forgotten."""
    credentials = iter(["a", "a", "b", "a", "a", "a", "a"])
    client = connect(scripted.url, lambda: next(credentials), etags_max=2)
    scripted.script(Reply(200, STATUS % 1, {"etag": '"tag"'}))
    for at in (
        "2021-08-01",
        "2021-08-01",
        "2021-08-01",
        "2021-08-02",
        "2021-08-02",
        "2021-08-01",
        "2021-08-02",
    ):
        client.my_status(at=at)
    asked = [heard.headers.get("if-none-match") is not None for heard in scripted.heard]
    #        first, known, another caller, another day, known, forgotten, known
    assert asked == [False, True, False, False, True, False, True]


def test_without_etags(scripted: ScriptedServer, connect: Connect) -> None:
    """Nothing is kept unless it is asked for."""
    client = connect(scripted.url)
    scripted.script(Reply(200, STATUS % 1, {"etag": '"one"'}))
    for _ in range(2):
        client.status("ann")
    assert all("if-none-match" not in heard.headers for heard in scripted.heard)
    assert {heard.headers["authorization"][:12] for heard in scripted.heard} == {"Bearer rung_"}
