"""Secrets and signatures of webhooks, as the Standard Webhooks specification has them (version 1)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

_PREFIX: Final = "whsec_"
_BYTES_MIN, _BYTES_MAX = 24, 64


def new_secret() -> str:
    """Return a new secret, as text: `whsec_` and 32 random bytes in base64."""
    return f"{_PREFIX}{base64.b64encode(secrets.token_bytes(32)).decode()}"


def secret_bytes(text: str) -> bytes:
    """Return the key that a secret's text stands for.

    Raises:
        ValueError: it is no secret; the text says what is due, and shows nothing of it.
    """
    due = (
        f"expected {_PREFIX} and {_BYTES_MIN} to {_BYTES_MAX} bytes in base64; make one: rung webhooks secret"
    )
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(due) from None
    if not text.startswith(_PREFIX) or not _BYTES_MIN <= len(key) <= _BYTES_MAX:
        raise ValueError(due)
    return key


def headers(keys: Sequence[bytes], message_id: str, at_seconds: int, body: bytes) -> Mapping[str, str]:
    """Return the headers of a message: its id, when it is sent, and a signature by each key.

    What is signed is `ID.TIMESTAMP.BODY`, by HMAC-SHA256. A receiver takes the message if one signature fits,
    so a secret can be changed while both are in use, and refuses one that is older than some minutes.
    """
    signed = f"{message_id}.{at_seconds}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(at_seconds),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
