"""Keys of services: what is kept of them, who is let in by one, and for how long."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from rung.access.keys import KEYS_MAX, RANDOM_BYTES, Keys, KeysDamaged, KeysRefused, decode_keys
from rung.access.permissions import Permission, Scope

AT = 1_000_000
READ = frozenset({Scope.STATUS_READ})


def made(
    keys: Keys, service: str = "shop", number: int = 1, expires_at: int | None = None
) -> tuple[Keys, str]:
    """Return the keys with one more, and its text."""
    after, _key, text = keys.create(service, READ, AT, expires_at, bytes([number]) * RANDOM_BYTES)
    return after, text


def test_only_a_hash_is_kept() -> None:
    """A key is shown once: neither it nor its secret stands in what is kept, and its hash does."""
    keys, text = made(Keys())
    secret = text.split("_", 2)[2]
    assert len(secret) == 43
    assert secret.encode() not in keys.encode()
    assert hashlib.sha256(secret.encode()).hexdigest().encode() in keys.encode()
    assert decode_keys(keys.encode()).stored == keys.stored


def test_a_caller() -> None:
    """A key stands for its scopes and no others, for any valid caller's, and for no user."""
    keys, text = made(Keys())
    caller = keys.caller(text, AT)
    assert caller is not None
    assert caller.permissions == {Permission.OPEN, Permission.SIGNED_IN, Permission.STATUS_READ}
    assert (caller.name, caller.user_id) == ("key:010101010101", None)


WRONG: tuple[Callable[[str], str], ...] = (
    lambda text: text + "A",
    lambda text: text[:-1],
    lambda text: text[:-1] + ("B" if text[-1] != "B" else "C"),
    lambda text: text.upper(),
    lambda text: text.replace("rung_0", "rung_f"),
    lambda text: text.replace("rung_", "rung-"),
    lambda text: f" {text}",
    lambda text: f"{text}\n",
    lambda text: text.split("_", 2)[2],
    lambda text: "_".join(text.split("_", 2)[:2]) + "_" + "A" * 43,
    lambda text: text[:0],
    lambda text: text[:5],
)


@pytest.mark.parametrize("change", WRONG)
def test_wrong_keys(change: Callable[[str], str]) -> None:
    """Whatever differs from a key by anything is none."""
    keys, text = made(Keys())
    assert keys.caller(change(text), AT) is None


def test_the_end_of_a_key() -> None:
    """A key is taken up to just before it expires, and not from its revocation on; nor is it forgotten."""
    keys, text = made(Keys(), expires_at=AT + 10)
    assert keys.caller(text, AT + 9) is not None
    assert keys.caller(text, AT + 10) is None
    assert (keys.has_live(AT + 9), keys.has_live(AT + 10)) == (True, False)
    revoked, key = keys.revoke("010101010101", AT + 1)
    assert revoked.caller(text, AT + 1) is None
    assert key.revoked_at == AT + 1
    again, same = revoked.revoke("010101010101", AT + 5)
    assert (again.stored, same) == (revoked.stored, key)


def test_two_live_keys_of_a_service() -> None:
    """A service has two live keys at most, so that one can take the other's place; others have their own."""
    keys, first = made(Keys(), number=1)
    keys, second = made(keys, number=2)
    with pytest.raises(KeysRefused, match="has 2 live keys already, 010101010101 and 020202020202: revoke"):
        made(keys, number=3)
    made(keys, "till", 3)
    keys, _ = keys.revoke("010101010101", AT)
    keys, third = made(keys, number=3)
    assert [keys.caller(text, AT) is not None for text in (first, second, third)] == [False, True, True]


@pytest.mark.parametrize("service", ["", "-shop", "a b", "x" * 65, "shop\n", "läden"])
def test_names_of_services(service: str) -> None:
    """A service has a plain name."""
    with pytest.raises(KeysRefused, match="a name has 1 to 64 letters"):
        made(Keys(), service)
    made(Keys(), "x" * 64)


def test_a_key_needs_a_scope() -> None:
    """A key that may do nothing is not made."""
    with pytest.raises(KeysRefused, match="a key needs a scope: status:read, explain:read"):
        Keys().create("shop", frozenset(), AT, None, bytes(RANDOM_BYTES))


def test_an_unknown_key_is_not_revoked() -> None:
    """Who revokes a key that there is not is told where to look."""
    with pytest.raises(KeysRefused, match="no key has the id 'abc'; see `rung keys list`"):
        Keys().revoke("abc", AT)


def test_as_many_as_there_may_be() -> None:
    """The file has a bound."""
    keys, _ = made(Keys())
    many = Keys(keys.stored * KEYS_MAX)
    with pytest.raises(KeysRefused, match="there are 10,000 keys, as many as there may be"):
        made(many, "till")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged"),
        (b"[]", "damaged"),
        (b'{"format":2,"keys":[]}', "have the format 2, not 1"),
        (b'{"format":1,"keys":[],"more":1}', "unknown field"),
        (b'{"format":1,"keys":[{"id":"a"}]}', "missing required field"),
        (
            b'{"format":1,"keys":[{"id":"a","service":"s","scopes":[],"hash":"zz","created_at":1,"expires_at":null,"revoked_at":null}]}',
            "a hash is no hash",
        ),
        (
            b'{"format":1,"keys":[{"id":"a","service":"s","scopes":["all"],"hash":"","created_at":1,"expires_at":null,"revoked_at":null}]}',
            "Invalid enum value",
        ),
    ],
)
def test_damaged_keys(content: bytes, words: str) -> None:
    """What is no list of keys is refused with the reason, and lets nobody in."""
    with pytest.raises(KeysDamaged, match=words):
        decode_keys(content)
