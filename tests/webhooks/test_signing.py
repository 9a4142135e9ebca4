"""Signatures of webhooks: the specification's own example, and secrets that are none."""

from __future__ import annotations

import base64

import pytest

from rung.webhooks.signing import headers, new_secret, secret_bytes


def test_the_known_signature() -> None:
    """A published example of the specification's libraries is signed as they sign it."""
    key = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert headers([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body) == {
        "content-type": "application/json",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_two_secrets() -> None:
    """While a secret is changed, there is a signature by each."""
    keys = [secret_bytes(new_secret()) for _ in range(2)]
    both = headers(keys, "msg_1", 1, b"{}")["webhook-signature"].split(" ")
    assert both == [headers([key], "msg_1", 1, b"{}")["webhook-signature"] for key in keys]
    assert len(set(both)) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_!!!",
        base64.b64encode(bytes(32)).decode(),
        f"whsec_{base64.b64encode(bytes(23)).decode()}",
        f"whsec_{base64.b64encode(bytes(65)).decode()}",
    ],
)
def test_no_secret(text: str) -> None:
    """A text that is no secret is refused, and not shown."""
    with pytest.raises(ValueError, match="^expected whsec_ and 24 to 64 bytes in base64") as refused:
        secret_bytes(text)
    assert "whsec_!!!" not in str(refused.value)


@pytest.mark.parametrize("size", [24, 64])
def test_sizes(size: int) -> None:
    """The shortest and the longest secret are taken."""
    assert secret_bytes(f"whsec_{base64.b64encode(bytes(size)).decode()}") == bytes(size)
