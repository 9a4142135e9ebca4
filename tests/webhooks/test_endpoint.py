"""Where messages may go, and what counts as taken."""

from __future__ import annotations

from contextlib import closing

import pytest

from rung.webhooks.endpoint import Endpoint, EndpointGone, EndpointRefused, check_url
from rung.webhooks.outbox import Message
from rung.webhooks.signing import secret_bytes
from webhooks.receiver import DROPPED, SECRET, Receiver, receiving

BODY = b'{"data": {"user_id": "ann"}}'


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hooks?a=b",
        "https://10.0.0.1:8443/",
        "http://localhost:8000/",
        "http://127.0.0.9/",
        "http://[::1]:80/",
    ],
)
def test_fine(url: str) -> None:
    """Messages go by https anywhere, and by http on this machine."""
    assert check_url(url) == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "expected a URL such as"),
        ("example.com", "expected a URL such as"),
        ("ftp://example.com/", "expected a URL such as"),
        ("https://", "expected a URL such as"),
        ("https://example.com:x/", "Port could not be cast"),
        ("https://me:pw@example.com/", "has a name or password in it"),
        ("http://example.com/", "by https beyond this machine"),
        ("http://10.0.0.1/", "by https beyond this machine"),
        ("http://localhost.example.com/", "by https beyond this machine"),
        ("http://127.0.0.1.example.com/", "by https beyond this machine"),
    ],
)
def test_refused(url: str, message: str) -> None:
    """Any other URL is refused with the reason."""
    with pytest.raises(EndpointRefused, match=message):
        check_url(url)


@pytest.mark.parametrize(
    ("status", "cause"),
    [(200, ""), (204, ""), (302, "answered 302"), (400, "answered 400"), (503, "answered 503"), (DROPPED, "disconnected")],
)  # fmt: skip
def test_answers(status: int, cause: str) -> None:
    """Only 2xx is taken; another answer, or none, is a reason to send it again."""
    with (
        receiving(Receiver(answer=lambda _: status)) as receiver,
        closing(Endpoint(receiver.url, [secret_bytes(SECRET)], 1.0)) as endpoint,
    ):
        told = endpoint.send(Message(1, "msg_1", BODY, 0))
    assert receiver.problems == []
    assert (cause in told) if cause else told == ""


def test_gone() -> None:
    """410 is told apart: no later attempt will help."""
    with (
        receiving(Receiver(answer=lambda _: 410)) as receiver,
        closing(Endpoint(receiver.url, [secret_bytes(SECRET)], 1.0)) as endpoint,
        pytest.raises(EndpointGone, match="wants no messages any more"),
    ):
        endpoint.send(Message(1, "msg_1", BODY, 0))


def test_nobody_there() -> None:
    """An endpoint that is away or too slow is a reason to send it again."""
    with (
        receiving(Receiver(delay_seconds=lambda _: 0.5)) as receiver,
        closing(Endpoint(receiver.url, [secret_bytes(SECRET)], 0.1)) as endpoint,
    ):
        assert "timed out" in endpoint.send(Message(1, "msg_1", BODY, 0))
    with closing(Endpoint(receiver.url, [secret_bytes(SECRET)], 0.5)) as endpoint:
        assert "refused" in endpoint.send(Message(1, "msg_1", BODY, 0))
