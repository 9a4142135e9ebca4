"""Making and revoking the keys of services; each is kept in the audit list before it is done."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rung.access.keys import RANDOM_BYTES, Keys, StoredKey
from rung.access.permissions import Scope
from rung.operations.author import Author
from rung.status.key_file import changing_keys, read_keys
from rung.store.audit import append_audit
from rung.store.port import Store

_MICROSECONDS_PER_DAY: Final = 86_400_000_000


def list_keys(path: Path) -> Keys:
    """Return the keys of a file.

    Raises:
        KeysDamaged: it cannot be read.
    """
    return read_keys(path)


def create_key(
    path: Path,
    store: Store,
    clock: Callable[[], int],
    service: str,
    scopes: frozenset[Scope],
    days: int | None,
    author: Author,
) -> tuple[StoredKey, str]:
    """Make a key, and return it and its text, which is never told again.

    Args:
        path: The file of keys.
        store: The store, for the audit list.
        clock: Gives microseconds since the epoch.
        service: Who will use it.
        scopes: What it may do.
        days: How long it lives; None is until it is revoked.
        author: Who makes it, and why.

    Raises:
        KeysRefused: the service has two live keys, or a name that is none.
        KeysBusy: another process changes the keys.
        KeysDamaged: the file cannot be read.
    """
    with changing_keys(path) as (before, put):
        at = clock()
        expires_at = None if days is None else at + days * _MICROSECONDS_PER_DAY
        after, made, text = before.create(service, scopes, at, expires_at, secrets.token_bytes(RANDOM_BYTES))
        told = {"scopes": list(made.scopes), "expires_at": expires_at}
        append_audit(
            store, clock, author.who, "keys.create", f"{service} {made.id}", None, told, author.reason
        )
        put(after)
    return made, text


def revoke_key(path: Path, store: Store, clock: Callable[[], int], key_id: str, author: Author) -> StoredKey:
    """Revoke a key, and return it. One that was revoked stays as it is.

    Raises:
        KeysRefused: there is no such key.
        KeysBusy: another process changes the keys.
        KeysDamaged: the file cannot be read.
    """
    with changing_keys(path) as (before, put):
        after, key = before.revoke(key_id, clock())
        if after.stored != before.stored:
            subject = f"{key.service} {key.id}"
            told = {"scopes": list(key.scopes)}
            append_audit(store, clock, author.who, "keys.revoke", subject, told, None, author.reason)
            put(after)
    return key
