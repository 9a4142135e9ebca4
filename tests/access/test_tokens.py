"""Users' tokens: what is taken, and every forgery that is not."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from callers import (
    ALGORITHMS,
    AUDIENCE,
    ISSUER,
    claims,
    key_set,
    private_key,
    public_jwk,
    raw_token,
    token,
)
from rung.access.permissions import Permission
from rung.access.tokens import (
    KEY_SET_BYTES_MAX,
    KEYS_MAX,
    KeySetUnusable,
    Refusal,
    TokenRefused,
    TokenRules,
    read_key_set,
    read_token,
)

RULES = TokenRules(ISSUER, AUDIENCE, frozenset(ALGORITHMS))
SECOND = 1_000_000


def now() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1_000


def read(
    text: str, rules: TokenRules = RULES, at: int | None = None, keys: bytes | None = None
) -> bytes | None:
    """Return the user that a token stands for."""
    found = read_key_set(keys or key_set(), rules.algorithms)
    return read_token(text, rules, found, now() if at is None else at).user_id


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_good_tokens(algorithm: str) -> None:
    """A token of the issuer, signed by one of its keys, stands for its user and nothing else."""
    found = read_key_set(key_set(), RULES.algorithms)
    exp = int(time.time()) + 60
    caller = read_token(token("ann", algorithm, exp=exp), RULES, found, now())
    assert (caller.user_id, caller.name, caller.expires_at) == (b"ann", "user:ann", exp * SECOND)
    assert caller.permissions == {Permission.OPEN, Permission.SIGNED_IN, Permission.OWN}


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": [AUDIENCE, "other"]},
        {"sub": "ユ" * 42},
        {"sub": "x" * 128},
        {"iat": None},
        {"exp": 4_000_000_000.5},
        {"nbf": 0},
        {"more": {"nested": [1, None]}},
    ],
)
def test_what_a_token_may_be(changes: dict[str, Any]) -> None:
    """A token may have several audiences, any id, other claims, and times with fractions."""
    assert read(token(**changes)) == str(changes.get("sub", "ann")).encode()


def test_another_claim() -> None:
    """The user's id is in the claim that is set."""
    rules = TokenRules(ISSUER, AUDIENCE, frozenset(ALGORITHMS), user_claim="uid")
    assert read(token("ann", uid="u-1"), rules) == b"u-1"
    with pytest.raises(TokenRefused, match="user"):
        read(token("ann"), rules)


def _hmac_with_public_key() -> str:
    """Sign with the public key as the secret, as a verifier would take it that trusts the header."""
    public = private_key("RS256", "one").public_key()
    secret = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = raw_token({"alg": "HS256", "kid": "RS256-one"}, claims()).rpartition(".")[0]
    signature = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _none(algorithm: str) -> str:
    return raw_token({"alg": algorithm, "kid": "ES256-one", "typ": "JWT"}, claims())


def _signature_of_another_payload() -> str:
    head, _, signature = token("ann").split(".")
    _, payload, _ = token("bob").split(".")
    return f"{head}.{payload}.{signature}"


def _header_of_another_algorithm() -> str:
    _, payload, signature = token("ann", "ES256").split(".")
    head = raw_token({"alg": "RS256", "kid": "RS256-one"}, {}).split(".")[0]
    return f"{head}.{payload}.{signature}"


def _algorithm_that_is_not_the_keys() -> str:
    _, payload, signature = token("ann", "ES256").split(".")
    head = raw_token({"alg": "EdDSA", "kid": "ES256-one"}, {}).split(".")[0]
    return f"{head}.{payload}.{signature}"


def _flipped_bit() -> str:
    head, payload, signature = token("ann").split(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[5] ^= 1
    return f"{head}.{payload}.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"


def _zero_signature() -> str:
    head, payload, _ = token("ann").split(".")
    return f"{head}.{payload}.{base64.urlsafe_b64encode(bytes(64)).rstrip(b'=').decode()}"


def _own_key_in_header(name: str, value: object) -> str:
    return token("ann", "ES256", "mallory", {"kid": "ES256-one", name: value})


def _duplicate_claims() -> str:
    body = json.dumps(claims())[:-1].encode() + b',"sub":"bob"}'
    return raw_token({"alg": "ES256", "kid": "ES256-one"}, body, b"x" * 64)


LATER, EARLIER = int(time.time()) + 3_600, int(time.time()) - 3_600
FORGED: list[tuple[str, Callable[[], str], Refusal]] = [
    ("no algorithm", lambda: _none("none"), Refusal.ALGORITHM),
    ("no algorithm, other case", lambda: _none("NoNe"), Refusal.ALGORITHM),
    ("no algorithm at all", lambda: raw_token({"kid": "ES256-one"}, claims()), Refusal.ALGORITHM),
    ("algorithm that is a list", lambda: raw_token({"alg": ["ES256"], "kid": "ES256-one"}, claims()), Refusal.ALGORITHM),
    ("symmetric, by the public key", _hmac_with_public_key, Refusal.ALGORITHM),
    ("algorithm of the family", lambda: raw_token({"alg": "RS512", "kid": "RS256-one"}, claims(), b"x" * 256), Refusal.ALGORITHM),
    ("algorithm of another key", _header_of_another_algorithm, Refusal.SIGNATURE),
    ("algorithm that is not the key's", _algorithm_that_is_not_the_keys, Refusal.ALGORITHM),
    ("signature of another payload", _signature_of_another_payload, Refusal.SIGNATURE),
    ("one bit of the signature", _flipped_bit, Refusal.SIGNATURE),
    ("signature of zeros", _zero_signature, Refusal.SIGNATURE),
    ("no signature", lambda: token().rpartition(".")[0] + ".", Refusal.SIGNATURE),
    ("someone else's key under a known id", lambda: token("ann", "ES256", "mallory", {"kid": "ES256-one"}), Refusal.SIGNATURE),
    ("key in the header", lambda: _own_key_in_header("jwk", public_jwk("ES256", "mallory")), Refusal.SIGNATURE),
    ("key set by URL in the header", lambda: _own_key_in_header("jku", "https://mallory.example/jwks"), Refusal.SIGNATURE),
    ("certificate by URL in the header", lambda: _own_key_in_header("x5u", "https://mallory.example/crt"), Refusal.SIGNATURE),
    ("unknown key", lambda: token("ann", "ES256", "mallory"), Refusal.UNKNOWN_KEY),
    ("no key id", lambda: raw_token({"alg": "ES256"}, claims(), b"x" * 64), Refusal.MALFORMED),
    ("key id that is a path", lambda: token(headers={"kid": "../../dev/null"}), Refusal.UNKNOWN_KEY),
    ("key id that is a query", lambda: token(headers={"kid": "x' UNION SELECT 'a"}), Refusal.UNKNOWN_KEY),
    ("key id that is a number", lambda: raw_token({"alg": "ES256", "kid": 1}, claims(), b"x" * 64), Refusal.MALFORMED),
    ("key id without end", lambda: token(headers={"kid": "k" * 257}), Refusal.UNKNOWN_KEY),
    ("critical extension", lambda: token(headers={"crit": ["exp"]}), Refusal.MALFORMED),
    ("detached payload", lambda: raw_token({"alg": "ES256", "kid": "ES256-one", "b64": False}, b""), Refusal.MALFORMED),
    ("another issuer", lambda: token(iss="https://issuer.example.evil"), Refusal.ISSUER),
    ("another issuer by a slash", lambda: token(iss=f"{ISSUER}/"), Refusal.ISSUER),
    ("no issuer", lambda: token(iss=None), Refusal.ISSUER),
    ("another audience", lambda: token(aud="rung2"), Refusal.AUDIENCE),
    ("other audiences", lambda: token(aud=["a", "b"]), Refusal.AUDIENCE),
    ("no audience", lambda: token(aud=None), Refusal.AUDIENCE),
    ("expired", lambda: token(exp=EARLIER), Refusal.EXPIRED),
    ("never expires", lambda: token(exp=None), Refusal.TIMES),
    ("expiry that is a text", lambda: token(exp=str(LATER)), Refusal.TIMES),
    ("expiry that is true", lambda: token(exp=True), Refusal.TIMES),
    ("expiry beyond numbers", lambda: token(exp=float("inf")), Refusal.TIMES),
    ("expiry beyond time", lambda: token(exp=10**400), Refusal.TIMES),
    ("not yet", lambda: token(nbf=LATER), Refusal.TIMES),
    ("from the future", lambda: token(iat=LATER), Refusal.TIMES),
    ("no user", lambda: token(sub=None), Refusal.USER),
    ("user without a name", lambda: token(sub=""), Refusal.USER),
    ("user that is too long", lambda: token(sub="x" * 129), Refusal.USER),
    ("user that is half a character", lambda: token(sub="\ud800"), Refusal.USER),
    ("two users", _duplicate_claims, Refusal.SIGNATURE),
    ("encrypted", lambda: "a.b.c.d.e", Refusal.MALFORMED),
    ("two parts", lambda: ".".join(token().split(".")[:2]), Refusal.MALFORMED),
    ("four parts", lambda: f"{token()}.x", Refusal.MALFORMED),
    ("a space within", lambda: token().replace(".", " .", 1), Refusal.MALFORMED),
    ("empty", lambda: "", Refusal.MALFORMED),
    ("a text", lambda: "Bearer", Refusal.MALFORMED),
    ("header that is no object", lambda: raw_token([], claims()), Refusal.MALFORMED),
    ("payload that is no object", lambda: jwt.api_jws.encode(b"[]", private_key("ES256", "one"), "ES256", {"kid": "ES256-one"}), Refusal.MALFORMED),
    ("deep header", lambda: raw_token(b'{"a":' + b"[" * 5_000, claims()), Refusal.MALFORMED),
]  # fmt: skip


@pytest.mark.parametrize(("name", "forged", "reason"), FORGED, ids=[name for name, _, _ in FORGED])
def test_forged_tokens(name: str, forged: Callable[[], str], reason: Refusal) -> None:
    """Every forgery is refused, for its reason and with nothing of it in the error."""
    text = forged()
    with pytest.raises(TokenRefused) as caught:
        read(text)
    assert caught.value.reason is reason
    assert str(caught.value) == reason.value


def test_user_that_is_a_number() -> None:
    """A user's id that is no text is refused; a library that signs such a token is no excuse."""
    payload = json.dumps({**claims(), "sub": 7}).encode()
    text = jwt.api_jws.encode(payload, private_key("ES256", "one"), "ES256", {"kid": "ES256-one"})
    with pytest.raises(TokenRefused, match="malformed"):
        read(text)


@pytest.mark.parametrize(
    ("changes", "at", "is_taken"),
    [
        ({"exp": 1_000}, 1_029.999_999, True),
        ({"exp": 1_000}, 1_030, False),
        ({"exp": 2_000, "nbf": 1_000}, 970, True),
        ({"exp": 2_000, "nbf": 1_000}, 969.999_999, False),
        ({"exp": 2_000, "iat": 1_000}, 970, True),
        ({"exp": 2_000, "iat": 1_000}, 969.999_999, False),
    ],
)
def test_the_leeway(changes: dict[str, Any], at: float, is_taken: bool) -> None:
    """A clock may be off by the leeway, at both ends, and not by a microsecond more."""
    changes.setdefault("iat", None)
    text = token(**changes)
    if is_taken:
        assert read(text, at=round(at * SECOND)) == b"ann"
    else:
        with pytest.raises(TokenRefused):
            read(text, at=round(at * SECOND))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_only_allowed_algorithms(algorithm: str) -> None:
    """A good token by an algorithm that the operator does not allow is refused."""
    rules = TokenRules(ISSUER, AUDIENCE, frozenset(ALGORITHMS) - {algorithm})
    with pytest.raises(TokenRefused, match="algorithm"):
        read(token("ann", algorithm), rules)


SYMMETRIC = {"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode(), "kid": "s", "alg": "HS256"}


def test_keys_left_out() -> None:
    """A key set may hold keys for something else; none of them verifies anything, a symmetric one least."""
    others: list[dict[str, Any]] = [
        SYMMETRIC,
        public_jwk("RS256", use="enc", kid="enc"),
        public_jwk("ES256", alg="ES384", kid="other"),
        {name: value for name, value in public_jwk("EdDSA").items() if name != "kid"},
        {"kty": "new", "kid": "n"},
    ]
    found = read_key_set(key_set(*others, public_jwk("ES256")), RULES.algorithms)
    assert set(found.keys) == {"ES256-one"}
    text = jwt.encode(claims(), b"s" * 32, "HS256", {"kid": "s"})
    with pytest.raises(TokenRefused, match="algorithm"):
        read_token(text, RULES, found, now())


def _weak() -> dict[str, Any]:
    weak = public_jwk("RS256")
    return {**weak, "n": weak["n"][:150]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", 'it has no "keys"'),
        (b'{"keys": {}}', 'it has no "keys"'),
        (b'{"keys": []}', "it has no key with a kid for ES256, EdDSA, RS256"),
        (key_set(SYMMETRIC), "it has no key with a kid"),
        (b" " * (KEY_SET_BYTES_MAX + 1), "more than 262,144 bytes"),
        (key_set(*[{"kty": "x"}] * (KEYS_MAX + 1)), "it has 101 keys; 100 at most are taken"),
        (key_set(public_jwk("ES256"), public_jwk("ES256")), "two keys have the kid 'ES256-one'"),
        (key_set(public_jwk("ES256", d="c2VjcmV0")), "key 'ES256-one' is a private one"),
        (key_set(public_jwk("ES256", x="AA")), "key 'ES256-one' cannot be read as a key for ES256"),
        (key_set(_weak()), "bits; RSA keys have 2048 at least"),
    ],
)
def test_key_sets_refused(content: bytes, words: str) -> None:
    """A key set that is none, is too large, or holds what it must not is refused with the reason."""
    with pytest.raises(KeySetUnusable) as caught:
        read_key_set(content, RULES.algorithms)
    assert words in str(caught.value)
    assert "c2VjcmV0" not in str(caught.value)
