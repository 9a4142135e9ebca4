"""Tokens of users for the bench: an issuer of its own, whose keys stand in the home."""

from __future__ import annotations

import json
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ISSUER, AUDIENCE, KEY_ID, KEY_SET = "https://bench.example", "rung", "bench", "bench-jwks.json"
SETTINGS = {
    "RUNG_API_TOKENS_ISSUER": ISSUER,
    "RUNG_API_TOKENS_AUDIENCE": AUDIENCE,
    "RUNG_API_TOKENS_JWKS": KEY_SET,
}


def write_tokens(home: Path, users: int) -> Path:
    """Write the issuer's key set into a home, and a token of each user, one a line; return that file."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(ECAlgorithm.to_jwk(key.public_key()))
    document = {"keys": [{**public, "kid": KEY_ID, "use": "sig"}]}
    (home / KEY_SET).write_text(json.dumps(document), encoding="utf-8")
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 86_400}
    tokens = [
        jwt.encode({**claims, "sub": f"u{number:08d}"}, key, "ES256", {"kid": KEY_ID})
        for number in range(users)
    ]
    path = home / "bench-tokens.txt"
    path.write_text("\n".join(tokens), encoding="ascii")
    return path
