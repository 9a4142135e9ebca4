"""Callers of the API for tests: a key that every test home may have, and an issuer of users' tokens."""

from __future__ import annotations

import base64
import json
import time
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from rung.access.keys import RANDOM_BYTES, Keys
from rung.access.permissions import Scope
from rung.durable import put

ISSUER, AUDIENCE = "https://issuer.example", "rung"
ALGORITHMS = ("RS256", "ES256", "EdDSA")


def key_of(number: int, *scopes: Scope, service: str = "") -> tuple[Keys, str]:
    """Return keys with one that never changes, and its text."""
    service = service or f"service-{number}"
    keys, _stored, text = Keys().create(service, frozenset(scopes), 1, None, bytes([number]) * RANDOM_BYTES)
    return keys, text


KEYS, KEY = key_of(1, *Scope)
"""Keys with one that may do everything, and that one."""
AUTHORIZED: dict[str, str] = {"authorization": f"Bearer {KEY}"}


def put_key(home: Path) -> None:
    """Let `KEY` use the API of a home."""
    put(home / "keys.json", KEYS.encode(), 0o600)


@cache
def private_key(algorithm: str, which: str) -> Any:
    """Return a private key; making one takes long, so each is made once."""
    if algorithm == "RS256":
        return rsa.generate_private_key(65_537, 2_048)
    return (
        ec.generate_private_key(ec.SECP256R1())
        if algorithm == "ES256"
        else ed25519.Ed25519PrivateKey.generate()
    )


def public_jwk(algorithm: str, which: str = "one", **more: object) -> dict[str, Any]:
    """Return the public part of a key as the issuer publishes it, with a kid."""
    public = private_key(algorithm, which).public_key()
    makers: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}
    made = json.loads(makers[algorithm].to_jwk(public))
    made.pop("key_ops", None)
    return {**made, "kid": f"{algorithm}-{which}", "use": "sig", "alg": algorithm, **more}


def key_set(*keys: dict[str, Any]) -> bytes:
    """Return a JWK set; that of the issuer if no keys are named."""
    return json.dumps({"keys": list(keys) or [public_jwk(algorithm) for algorithm in ALGORITHMS]}).encode()


def claims(user: str = "ann", **changes: object) -> dict[str, Any]:
    """Return the claims of a good token; a change to None leaves a claim out."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + 600}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(
    user: str = "ann",
    algorithm: str = "ES256",
    which: str = "one",
    headers: dict[str, Any] | None = None,
    **changes: object,
) -> str:
    """Return a token of the issuer; what is changed may make it a bad one."""
    chosen = {"kid": f"{algorithm}-{which}", **(headers or {})}
    return jwt.encode(claims(user, **changes), private_key(algorithm, which), algorithm, chosen)


def raw_token(header: object, payload: object, signature: bytes = b"") -> str:
    """Return a token of any parts."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, signature))
