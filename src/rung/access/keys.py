"""API keys of services: made, kept as hashes, and found again.

A key is `rung_ID_SECRET`. The id is no secret: it is what a key is found and revoked by. The secret is 256
random bits, so its SHA-256 may be stored as it is: nobody guesses it, and a slow hash would only slow down
whoever has it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from rung.access.permissions import Scope
from rung.access.subjects import NEVER, Caller, service_caller

FORMAT: Final = 1
PREFIX: Final = "rung_"
ID_BYTES: Final = 6
SECRET_BYTES: Final = 32
RANDOM_BYTES: Final = ID_BYTES + SECRET_BYTES
LIVE_KEYS_MAX: Final = 2
"""Of one service: the one in use, and the one that takes its place."""
KEYS_MAX: Final = 10_000
KEYS_BYTES_MAX: Final = 4 << 20
_SECRET_AT: Final = len(PREFIX) + 2 * ID_BYTES + 1
"""Where the secret begins in the text of a key."""
_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class KeysRefused(Exception):
    """What is asked of the keys cannot be done; the text says why, and what to do."""


class KeysDamaged(Exception):
    """The keys cannot be read; the text says why, and shows nothing of them."""


class StoredKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key as it is kept; `hash` is the SHA-256 of the secret in hex.

    Times are microseconds since the epoch. `expires_at` None is a key that does not end by itself,
    `revoked_at` None one that was not revoked.
    """

    id: str
    service: str
    scopes: tuple[Scope, ...]
    hash: str
    created_at: int
    expires_at: int | None
    revoked_at: int | None

    def is_live(self, at: int) -> bool:
        """Tell whether the key is taken at a time."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    keys: tuple[StoredKey, ...]


class Keys:
    """All keys of a home, as they were at one moment."""

    def __init__(self, stored: tuple[StoredKey, ...] = ()) -> None:
        """Take the keys, in the order in which they were made."""
        self.stored = stored
        self._by_id = {key.id: key for key in stored}
        self._by_hash: Mapping[bytes, tuple[StoredKey, str, Caller]] = {
            bytes.fromhex(key.hash): (
                key,
                f"{PREFIX}{key.id}_",
                service_caller(key.id, frozenset(key.scopes), key.expires_at or NEVER),
            )
            for key in stored
        }

    def caller(self, text: str, at: int) -> Caller | None:
        """Return whom a key stands for, None if it is unknown, expired or revoked.

        It is found by its hash: how long that takes tells nothing of a secret, because nobody knows of what
        text a hash begins like another one.
        """
        digest = hashlib.sha256(text[_SECRET_AT:].encode("utf-8", "surrogatepass")).digest()
        found = self._by_hash.get(digest)
        if found is None:
            return None
        key, before_secret, caller = found
        return caller if text[:_SECRET_AT] == before_secret and key.is_live(at) else None

    def has_live(self, at: int) -> bool:
        """Tell whether any key is taken at a time."""
        return any(key.is_live(at) for key in self.stored)

    def create(
        self,
        service: str,
        scopes: frozenset[Scope],
        at: int,
        expires_at: int | None,
        random_bytes: bytes,
    ) -> tuple[Keys, StoredKey, str]:
        """Return the keys with a new one, that one, and its text, which is not kept anywhere.

        Args:
            service: Who will use it.
            scopes: What it may do, at least one.
            at: The time.
            expires_at: When it ends; None for never.
            random_bytes: `RANDOM_BYTES` of them, from a generator for secrets.

        Raises:
            KeysRefused: the service has two live keys already, or a name that is none.
        """
        if not _SERVICE.fullmatch(service):
            raise KeysRefused(
                f"service {service!r}: a name has 1 to 64 letters, digits, dots, dashes and underscores, "
                "and begins with a letter or digit"
            )
        if not scopes:
            raise KeysRefused(f"a key needs a scope: {', '.join(Scope)}")
        live = [key.id for key in self.stored if key.service == service and key.is_live(at)]
        if len(live) >= LIVE_KEYS_MAX:
            raise KeysRefused(
                f"service {service} has {LIVE_KEYS_MAX} live keys already, {' and '.join(live)}: "
                f"revoke the one that is used no more with `rung keys revoke {live[0]}`"
            )
        if len(self.stored) >= KEYS_MAX:
            raise KeysRefused(f"there are {KEYS_MAX:,} keys, as many as there may be")
        key_id = random_bytes[:ID_BYTES].hex()
        secret = base64.urlsafe_b64encode(random_bytes[ID_BYTES:]).rstrip(b"=")
        digest = hashlib.sha256(secret).hexdigest()
        made = StoredKey(key_id, service, tuple(sorted(scopes)), digest, at, expires_at, None)
        return Keys((*self.stored, made)), made, f"{PREFIX}{key_id}_{secret.decode()}"

    def revoke(self, key_id: str, at: int) -> tuple[Keys, StoredKey]:
        """Return the keys with one revoked, and that one. Revoking it again changes nothing.

        Raises:
            KeysRefused: there is no such key.
        """
        found = self._by_id.get(key_id)
        if found is None:
            raise KeysRefused(f"no key has the id {key_id!r}; see `rung keys list`")
        key = found if found.revoked_at is not None else msgspec.structs.replace(found, revoked_at=at)
        return Keys(tuple(key if one.id == key_id else one for one in self.stored)), key

    def encode(self) -> bytes:
        """Return the keys as a file keeps them: JSON, a line for each."""
        lines = ",\n".join(msgspec.json.encode(key).decode() for key in self.stored)
        return f'{{"format":{FORMAT},"keys":[\n{lines}\n]}}\n'.encode()


def decode_keys(content: bytes) -> Keys:
    """Read what `Keys.encode` gives.

    Raises:
        KeysDamaged: it is nothing of the kind.
    """
    try:
        document = msgspec.json.decode(content, type=_Document)
        if document.format != FORMAT:
            raise KeysDamaged(
                f"they have the format {document.format}, not {FORMAT}: use the release that made them"
            )
        return Keys(document.keys)
    except msgspec.MsgspecError as error:
        raise KeysDamaged(f"they are damaged: {error}") from None
    except ValueError:
        raise KeysDamaged("they are damaged: a hash is no hash") from None
