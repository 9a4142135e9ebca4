"""Accounts: a file that only its owner reads, and that every process sees as it is now."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from cli.command import Rung, program
from console.console_rig import CHEAP, PASSWORD
from rung.cli.errors import ExitCode
from rung.console.accounts import PASSWORD_BYTES_MAX, PASSWORD_CHARACTERS_MIN, Accounts, AccountsRefused
from rung.console.roles import Role


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    """Return the accounts of an empty folder."""
    return Accounts(tmp_path / "console", CHEAP)


def test_add_and_sign_in(accounts: Accounts) -> None:
    """An account is known by its password; the file holds a hash, and is its owner's alone."""
    accounts.add("ann", Role.APPROVER, PASSWORD, 7)
    found = accounts.signed_in("ann", PASSWORD)
    assert found is not None
    assert (found.name, found.role, found.since) == ("ann", Role.APPROVER, 7)
    assert accounts.signed_in("ann", PASSWORD + ".") is None
    assert accounts.signed_in("bob", PASSWORD) is None
    assert accounts.signed_in("bob", "nobody") is None
    assert PASSWORD not in accounts.path.read_text()
    assert "$argon2id$" in accounts.path.read_text()
    assert stat.S_IMODE(accounts.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(accounts.path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("name", "password", "text"),
    [
        ("", PASSWORD, "a name has 1 to 64 letters"),
        ("-ann", PASSWORD, "begins with a letter or digit"),
        ("ann lee", PASSWORD, "a name has 1 to 64 letters"),
        ("a" * 65, PASSWORD, "a name has 1 to 64 letters"),
        (
            "bob",
            "x" * (PASSWORD_CHARACTERS_MIN - 1),
            "the password has 11 characters: choose one with at least 12",
        ),
        ("bob", "", "the password has 0 characters"),
        ("bob", "x" * (PASSWORD_BYTES_MAX + 1), "longer than 1,024 bytes"),
        ("ann", PASSWORD, "there is an account ann already: `rung accounts password ann`"),
    ],
)
def test_refused(accounts: Accounts, name: str, password: str, text: str) -> None:
    """What cannot be an account is refused with the reason, and the others stay."""
    accounts.add("ann", Role.VIEWER, PASSWORD, 1)
    with pytest.raises(AccountsRefused, match=text):
        accounts.add(name, Role.VIEWER, password, 2)
    assert list(accounts.all()) == ["ann"]


def test_at_the_limits(accounts: Accounts) -> None:
    """Passwords of the least and of the greatest length are taken."""
    for name, password in (("least", "x" * PASSWORD_CHARACTERS_MIN), ("most", "x" * PASSWORD_BYTES_MAX)):
        accounts.add(name, Role.VIEWER, password, 1)
        assert accounts.signed_in(name, password) is not None


def test_seen_by_others(accounts: Accounts, tmp_path: Path) -> None:
    """What one process changes another one sees at its next look."""
    other = Accounts(tmp_path / "console", CHEAP)
    accounts.add("ann", Role.VIEWER, PASSWORD, 1)
    assert other.find("ann") is not None
    accounts.set_password("ann", PASSWORD * 2)
    assert other.signed_in("ann", PASSWORD) is None
    assert other.signed_in("ann", PASSWORD * 2) is not None
    accounts.remove("ann")
    assert other.find("ann") is None
    with pytest.raises(AccountsRefused, match="there is no account 'ann'; there are: none"):
        other.remove("ann")


def test_readable_by_others(accounts: Accounts) -> None:
    """A file that others may read is not used: whoever reads the hashes may try passwords."""
    accounts.add("ann", Role.VIEWER, PASSWORD, 1)
    accounts.path.chmod(0o640)
    with pytest.raises(AccountsRefused, match="can be read by others: chmod 600 "):
        accounts.find("ann")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "is damaged"),
        ('{"format": 2, "accounts": []}', "has format 2, not 1"),
        ('{"format": 1, "accounts": [{"name": "ann"}]}', "is damaged"),
    ],
)
def test_damaged(accounts: Accounts, content: str, text: str) -> None:
    """A file that is not as it was written lets nobody in, and says what to do."""
    accounts.add("ann", Role.VIEWER, PASSWORD, 1)
    accounts.path.write_text(content)
    os.utime(accounts.path, ns=(1, 1))
    with pytest.raises(AccountsRefused, match=text):
        accounts.find("ann")


def test_commands(rung: Rung) -> None:
    """The command line adds, lists and removes; a password comes from a pipe, and is printed nowhere."""
    added = program(
        "--home",
        rung.home,
        "accounts",
        "add",
        "ann",
        "--role",
        "approver",
        "--password-stdin",
        "--json",
        stdin=f"{PASSWORD}\n",
    )
    assert added.json == {"name": "ann", "role": "approver"}
    listed = rung.fine("accounts", "list", "--json").json["accounts"]
    assert [(one["name"], one["role"]) for one in listed] == [("ann", "approver")]
    assert "ann   approver" in rung.fine("accounts", "list").out
    changed = program(
        "--home", rung.home, "accounts", "password", "ann", "--password-stdin", stdin="another password\n"
    )
    assert (changed.code, changed.out) == (0, "")
    assert "another password" not in changed.err
    assert Accounts(rung.home / "console").signed_in("ann", "another password") is not None
    assert rung.fine("accounts", "remove", "ann", "--yes", "--json").json == {"removed": "ann"}
    assert "There is no account" in rung.fine("accounts", "list").err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("add", "ann", "--role", "king"), "--role king: expected one of viewer, operator, approver"),
        (("remove", "ann", "--yes"), "there is no account 'ann'; there are: none"),
        (("password", "ann"), "there is no account 'ann'"),
    ],
)
def test_bad_commands(rung: Rung, arguments: tuple[str, ...], text: str) -> None:
    """A wrong role or name is told before any password is asked for."""
    ran = rung("accounts", *arguments)
    assert ran.code == ExitCode.BAD_INPUT
    assert text in ran.err
