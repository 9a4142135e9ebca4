"""Users' tokens: JSON web tokens (RFC 7519) of one issuer, verified by its public keys (RFC 7517).

The rules are those of RFC 8725: the algorithms are the operator's choice and belong to the key, never to
the token; issuer and audience have to be the ones that are set; a key is found by its id among those that
the issuer publishes, and nothing that a token says is ever fetched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, cast

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from rung.access.subjects import Caller, user_caller

KEY_SET_BYTES_MAX: Final = 256 << 10
KEYS_MAX: Final = 100
USER_ID_BYTES_MAX: Final = 128
KEY_ID_BYTES_MAX: Final = 256
RSA_BITS_MIN: Final = 2_048
_KINDS: Final[Mapping[tuple[str, str | None], str]] = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
"""Which algorithm a key of a kind is for; no other kind is used, a symmetric one least of all."""
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})
_MICROSECONDS: Final = 1_000_000
_TIME_SECONDS_MAX: Final = 1 << 42


class Refusal(StrEnum):
    """Why a token is not taken."""

    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    TIMES = "times"
    EXPIRED = "expired"
    USER = "user"


class TokenRefused(Exception):
    """A token is not taken; nothing of it is in the text."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.reason = reason


class KeySetUnusable(Exception):
    """A key set cannot be used; the text says why."""


class TokenRules(msgspec.Struct, frozen=True):
    """What a token has to be. `user_claim` names the claim that holds the user's id."""

    issuer: str
    audience: str
    algorithms: frozenset[str]
    user_claim: str = "sub"
    leeway_seconds: int = 30


class KeySet:
    """The public keys of an issuer, by their ids."""

    def __init__(self, keys: Mapping[str, jwt.PyJWK] | None = None) -> None:
        self.keys: Mapping[str, jwt.PyJWK] = keys or {}


def read_key_set(content: bytes, algorithms: frozenset[str]) -> KeySet:
    """Read a JWK set. Keys without an id, for something else or of another kind are left out.

    Raises:
        KeySetUnusable: it is none, it is too large, holds private or doubtful keys, or none that can be used.
    """
    if len(content) > KEY_SET_BYTES_MAX:
        raise KeySetUnusable(f"it has more than {KEY_SET_BYTES_MAX:,} bytes")
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError):
        raise KeySetUnusable("it is not JSON") from None
    listed: Any = cast("dict[str, Any]", document).get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise KeySetUnusable('it has no "keys": a JWK set is {"keys": [...]}')
    found: dict[str, jwt.PyJWK] = {}
    members = cast("list[Any]", listed)
    if len(members) > KEYS_MAX:
        raise KeySetUnusable(f"it has {len(members):,} keys; {KEYS_MAX} at most are taken")
    for member in members:
        if isinstance(member, dict):
            _add_key(found, cast("dict[str, Any]", member), algorithms)
    if not found:
        raise KeySetUnusable(f"it has no key with a kid for {', '.join(sorted(algorithms))}")
    return KeySet(found)


def _add_key(found: dict[str, jwt.PyJWK], member: dict[str, Any], algorithms: frozenset[str]) -> None:
    kid, kty = member.get("kid"), member.get("kty")
    algorithm = _KINDS.get((str(kty), None if kty == "RSA" else str(member.get("crv"))))
    if algorithm not in algorithms or member.get("alg", algorithm) != algorithm:
        return
    if member.get("use", "sig") != "sig" or not isinstance(kid, str) or not kid:
        return
    if _PRIVATE & member.keys():
        raise KeySetUnusable(f"key {kid[:64]!r} is a private one; publish its public part only")
    if kid in found:
        raise KeySetUnusable(f"two keys have the kid {kid[:64]!r}")
    try:
        key = jwt.PyJWK(member, algorithm)
    except jwt.PyJWTError:
        raise KeySetUnusable(f"key {kid[:64]!r} cannot be read as a key for {algorithm}") from None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < RSA_BITS_MIN:
        raise KeySetUnusable(
            f"key {kid[:64]!r} has {key.key.key_size} bits; RSA keys have {RSA_BITS_MIN} at least"
        )
    found[kid] = key


def read_token(text: str, rules: TokenRules, keys: KeySet, now: int) -> Caller:
    """Return the user that a token stands for; `now` is in microseconds since the epoch.

    Raises:
        TokenRefused: it is not taken. With `Refusal.UNKNOWN_KEY` a newer key set may have its key.
    """
    key = keys.keys.get(_key_id(text, rules))
    if key is None:
        raise TokenRefused(Refusal.UNKNOWN_KEY)
    try:
        claims: dict[str, Any] = jwt.decode(
            text,
            key,
            algorithms=[key.algorithm_name],
            issuer=rules.issuer,
            audience=rules.audience,
            # The times are compared below, with the clock that is given.
            options={
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "require": ["iss", "aud"],
            },
        )
    except jwt.InvalidAlgorithmError:
        raise TokenRefused(Refusal.ALGORITHM) from None
    except jwt.InvalidSignatureError:
        raise TokenRefused(Refusal.SIGNATURE) from None
    except jwt.InvalidIssuerError:
        raise TokenRefused(Refusal.ISSUER) from None
    except jwt.InvalidAudienceError:
        raise TokenRefused(Refusal.AUDIENCE) from None
    except jwt.MissingRequiredClaimError as error:
        raise TokenRefused(Refusal.ISSUER if error.claim == "iss" else Refusal.AUDIENCE) from None
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenRefused(Refusal.MALFORMED) from None
    return user_caller(_user_id(claims.get(rules.user_claim)), _checked_times(claims, rules, now))


def _key_id(text: str, rules: TokenRules) -> str:
    """Return the id of the key that a token says it is signed with, after a look at its header."""
    try:
        header = jwt.get_unverified_header(text)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenRefused(Refusal.MALFORMED) from None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms:
        raise TokenRefused(Refusal.ALGORITHM)
    # No extension is understood here, and one that is critical must not be passed over (RFC 7515, 4.1.11).
    if "crit" in header or "b64" in header:
        raise TokenRefused(Refusal.MALFORMED)
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= KEY_ID_BYTES_MAX:
        raise TokenRefused(Refusal.UNKNOWN_KEY if isinstance(kid, str) else Refusal.MALFORMED)
    return kid


def _checked_times(claims: Mapping[str, Any], rules: TokenRules, now: int) -> int:
    """Return when a token ends, in microseconds since the epoch."""
    leeway = rules.leeway_seconds * _MICROSECONDS
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise TokenRefused(Refusal.TIMES)
    for name in ("nbf", "iat"):
        begins_at = _time(claims, name)
        if begins_at is not None and begins_at > now + leeway:
            raise TokenRefused(Refusal.TIMES)
    if now >= expires_at + leeway:
        raise TokenRefused(Refusal.EXPIRED)
    return expires_at


def _time(claims: Mapping[str, Any], name: str) -> int | None:
    """Return a time of a token in microseconds since the epoch, None if it has none of this name."""
    if name not in claims:
        return None
    value = claims[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # Neither NaN nor an infinity stands between two numbers.
    if not is_number or not 0 <= value < _TIME_SECONDS_MAX:
        raise TokenRefused(Refusal.TIMES)
    return int(value * _MICROSECONDS)


def _user_id(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TokenRefused(Refusal.USER)
    try:
        user_id = value.encode()
    except UnicodeEncodeError:
        raise TokenRefused(Refusal.USER) from None
    if not 0 < len(user_id) <= USER_ID_BYTES_MAX:
        raise TokenRefused(Refusal.USER)
    return user_id
