"""The console's accounts: names, roles and hashed passwords, in a file of the home.

HOME/console/accounts.json    readable by its owner alone
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from rung.console.roles import Role
from rung.durable import put
from rung.exclusive import Held, exclusive

FORMAT: Final = 1
ACCOUNTS_MAX: Final = 1_000
PASSWORD_CHARACTERS_MIN: Final = 12
PASSWORD_BYTES_MAX: Final = 1_024
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_MODE: Final = 0o600


class AccountsRefused(Exception):
    """What is asked of the accounts cannot be done; the text says why, and what to do."""


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who may sign in.

    `hash` is of the password (Argon2id), `since` in microseconds since the epoch.
    """

    name: str
    role: Role
    hash: str
    since: int


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    accounts: tuple[Account, ...]


class Accounts:
    """The accounts of a home. What another process writes is seen at the next look."""

    def __init__(self, folder: Path, hasher: PasswordHasher | None = None) -> None:
        """Use a folder, which need not be there yet. A hasher other than the usual one is for tests."""
        self._path = folder / "accounts.json"
        self._hasher = PasswordHasher() if hasher is None else hasher
        self._lock = Lock()
        self._seen: tuple[int, int, int] | None = None
        self._known: Mapping[str, Account] = {}
        self._nobody = ""

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def all(self) -> Mapping[str, Account]:
        """Return the accounts by name.

        Raises:
            AccountsRefused: the file is damaged, or others may read it.
        """
        with self._lock:
            try:
                status = self._path.stat()
            except FileNotFoundError:
                self._seen, self._known = None, {}
                return self._known
            if status.st_mode & 0o077:
                raise AccountsRefused(f"{self._path} can be read by others: chmod 600 {self._path}")
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                self._known, self._seen = self._read(), seen
            return self._known

    def find(self, name: str) -> Account | None:
        """Return an account, None if there is none of this name."""
        return self.all().get(name)

    def check_known(self, name: str) -> None:
        """See to it that there is an account.

        Raises:
            AccountsRefused: there is none of this name.
        """
        _check_known(self.all(), name)

    def signed_in(self, name: str, password: str) -> Account | None:
        """Return the account if the password is its own, None if not; both take the same time."""
        account = self.find(name)
        # Where there is no account another hash is compared, so that the time tells nothing of it.
        self._nobody = self._nobody or self._hasher.hash("nobody")
        known = self._nobody if account is None else account.hash
        try:
            self._hasher.verify(known, password[:PASSWORD_BYTES_MAX])
        except (Argon2Error, InvalidHashError):
            return None
        return account

    def add(self, name: str, role: Role, password: str, at: int) -> Account:
        """Add an account.

        Raises:
            AccountsRefused: the name is none or is taken, the password is too short, or there are too many.
        """
        if not _NAME.fullmatch(name):
            raise AccountsRefused(
                f"account {name!r}: a name has 1 to 64 letters, digits, dots, dashes, underscores and @, "
                "and begins with a letter or digit"
            )
        account = Account(name, role, self._hashed(password), at)
        with self._changing() as known:
            if name in known:
                raise AccountsRefused(
                    f"there is an account {name} already: `rung accounts password {name}` gives it another "
                    "password; to give it another role, remove it and add it again"
                )
            if len(known) >= ACCOUNTS_MAX:
                raise AccountsRefused(f"there are {ACCOUNTS_MAX:,} accounts, as many as there may be")
            known[name] = account
        return account

    def remove(self, name: str) -> None:
        """Remove an account: whoever is signed in with it is signed out at the next request.

        Raises:
            AccountsRefused: there is none of this name.
        """
        with self._changing() as known:
            _check_known(known, name)
            del known[name]

    def set_password(self, name: str, password: str) -> None:
        """Give an account another password: whoever is signed in with it is signed out.

        Raises:
            AccountsRefused: there is none of this name, or the password is too short.
        """
        hashed = self._hashed(password)
        with self._changing() as known:
            _check_known(known, name)
            known[name] = msgspec.structs.replace(known[name], hash=hashed)

    def _hashed(self, password: str) -> str:
        if len(password) < PASSWORD_CHARACTERS_MIN:
            raise AccountsRefused(
                f"the password has {len(password)} characters: choose one with at least "
                f"{PASSWORD_CHARACTERS_MIN}"
            )
        if len(password.encode()) > PASSWORD_BYTES_MAX:
            raise AccountsRefused(f"the password is longer than {PASSWORD_BYTES_MAX:,} bytes")
        return self._hasher.hash(password)

    def _read(self) -> dict[str, Account]:
        try:
            document = msgspec.json.decode(self._path.read_bytes(), type=_Document)
        except msgspec.MsgspecError as error:
            raise AccountsRefused(f"{self._path} is damaged ({error}): restore it from a copy") from error
        if document.format != FORMAT:
            raise AccountsRefused(
                f"{self._path} has format {document.format}, not {FORMAT}: use the release that made it"
            )
        return {account.name: account for account in document.accounts}

    @contextmanager
    def _changing(self) -> Generator[dict[str, Account]]:
        """Give the accounts to change, and write them durably when all went well."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ExitStack() as held:
            try:
                held.enter_context(exclusive(self._path.with_suffix(".lock"), f"process {os.getpid()}"))
            except Held as error:
                raise AccountsRefused("another process changes the accounts just now: try again") from error
            known = dict(self.all())
            yield known
            document = _Document(FORMAT, tuple(known[name] for name in sorted(known)))
            put(self._path, msgspec.json.format(msgspec.json.encode(document), indent=1), _MODE)


def _check_known(known: Mapping[str, Account], name: str) -> None:
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise AccountsRefused(f"there is no account {name!r}; there are: {there}")
