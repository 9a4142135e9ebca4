"""`rung keys`: made, listed, revoked, and kept in the audit list; a secret is shown once."""

from __future__ import annotations

from cli.command import Rung
from rung.access.permissions import Scope
from rung.cli.errors import ExitCode
from rung.status.key_file import read_keys


def make(rung: Rung, service: str = "shop", *more: str) -> dict[str, str]:
    """Make a key, and return what is told of it."""
    return rung.fine("keys", "create", service, "--scope", "status:read", *more, "--json").json


def test_the_life_of_a_key(small: Rung) -> None:
    """A key is shown once, may do what its scopes say, and is taken no more once it is revoked."""
    path = small.home / "keys.json"
    ran = small.fine("keys", "create", "shop", "--scope", "status:read", "--scope", "events:write")
    text = ran.out.strip()
    assert ran.out == f"{text}\n"
    assert text not in ran.err
    assert path.stat().st_mode & 0o777 == 0o600
    (stored,) = read_keys(path).stored
    assert (stored.service, stored.scopes, stored.expires_at) == (
        "shop",
        (Scope.EVENTS_WRITE, Scope.STATUS_READ),
        None,
    )
    assert read_keys(path).caller(text, stored.created_at) is not None
    secret = text.split("_", 2)[2]
    for shown in (
        small.fine("keys", "list"),
        small.fine("keys", "list", "--json"),
        small.fine("audit", "--json"),
    ):
        assert stored.id in shown.out
        assert secret not in shown.out + shown.err
    assert small.fine("keys", "revoke", stored.id, "--reason", "replaced").err == (
        f"Revoked: key {stored.id} of shop\n"
    )
    assert read_keys(path).caller(text, stored.created_at) is None
    assert [key["state"] for key in small.fine("keys", "list", "--json").json["keys"]] == ["revoked"]
    entries = small.fine("audit", "--json").json["entries"][-2:]
    assert [(entry["action"], entry["subject"], entry["reason"]) for entry in entries] == [
        ("keys.create", f"shop {stored.id}", ""),
        ("keys.revoke", f"shop {stored.id}", "replaced"),
    ]


def test_rotation(small: Rung) -> None:
    """A service may have two live keys, so that one takes the other's place without a gap."""
    first, second = make(small), make(small)
    refused = small("keys", "create", "shop", "--scope", "status:read")
    assert refused.code == ExitCode.BAD_INPUT
    assert refused.err == (
        f"error: service shop has 2 live keys already, {first['id']} and {second['id']}: "
        f"revoke the one that is used no more with `rung keys revoke {first['id']}`\n"
    )
    small.fine("keys", "revoke", first["id"])
    make(small)


def test_a_key_that_ends(small: Rung) -> None:
    """A key may end by itself."""
    made = make(small, "shop", "--days", "90")
    (stored,) = read_keys(small.home / "keys.json").stored
    assert stored.expires_at == stored.created_at + 90 * 86_400_000_000
    assert (made["state"], made["service"]) == ("live", "shop")
    assert made["expires_at"] > made["created_at"]


def test_bad_input(small: Rung) -> None:
    """What cannot be done is said with the way out, and changes nothing."""
    for arguments, words in (
        (("create", "shop"), "Missing option '--scope'"),
        (("create", "shop", "--scope", "everything"), "'everything' is not one of 'status:read'"),
        (("create", "a b", "--scope", "status:read"), "service 'a b': a name has 1 to 64"),
        (("create", "shop", "--scope", "status:read", "--days", "0"), "--days"),
        (("revoke", "0123"), "no key has the id '0123'; see `rung keys list`"),
    ):
        ran = small("keys", *arguments)
        assert ran.code == ExitCode.BAD_INPUT, ran
        assert words in ran.err, ran.err
    assert not (small.home / "keys.json").exists()
    assert "No service has a key" in small.fine("keys", "list").err


def test_keys_that_are_damaged(small: Rung) -> None:
    """Keys that cannot be read are named, and never overwritten."""
    path = small.home / "keys.json"
    path.write_text("{", encoding="ascii")
    path.chmod(0o600)
    for arguments in (("list",), ("create", "shop", "--scope", "status:read"), ("revoke", "1")):
        ran = small("keys", *arguments)
        assert ran.code == ExitCode.FAILED
        assert f"error: {path}: they are damaged" in ran.err
    assert path.read_text(encoding="ascii") == "{"
