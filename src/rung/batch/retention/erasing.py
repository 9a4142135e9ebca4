"""What an erasure keeps while it is under way: whose identity is removed, and the name that takes its place.

It is deleted when the erasure is done, so that nobody can tell who it was. Until then an erasure that was cut
short goes on with the same name.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from secrets import token_hex
from typing import Final, Protocol, runtime_checkable

import msgspec

from rung.durable import put, sync
from rung.transaction.routing import partition_of

_NAME: Final = "erasing.json"
_PREFIX: Final = "erased-"
_PSEUDONYM: Final = re.compile(rf"{_PREFIX}[0-9a-f]{{16}}")


@runtime_checkable
class Overwritten(Protocol):
    """A log or a store whose file may hold records that are gone."""

    def overwrite_freed(self, *, thoroughly: bool = False) -> None:
        """Overwrite what the file still holds of them; thoroughly is wherever it may be, and takes longer."""
        ...


class Erasing(msgspec.Struct, frozen=True):
    """An erasure. `moved` tells that the store has the user's records under the pseudonym already."""

    user_id: str
    pseudonym: str
    moved: bool = False

    def renamed(self, text: str) -> str:
        """Return a text in which the pseudonym stands where the user's id did, within quotes of any kind."""
        for quote in ('"', "'"):
            text = text.replace(f"{quote}{self.user_id}{quote}", f"{quote}{self.pseudonym}{quote}")
        return text

    def renamed_payload(self, payload: bytes) -> bytes:
        """Return the bytes of an event with the pseudonym in place of the user's id."""
        after = payload
        for written in {msgspec.json.encode(self.user_id), _ascii(self.user_id)}:
            after = after.replace(written, msgspec.json.encode(self.pseudonym))
        return after


def _ascii(text: str) -> bytes:
    return json.dumps(text).encode()


def pseudonym_for(user_id: str, partitions: int) -> str:
    """Return a random name that is routed to the same partition as the user."""
    due = partition_of(user_id.encode(), partitions)
    while True:
        name = f"{_PREFIX}{token_hex(8)}"
        if partition_of(name.encode(), partitions) == due:
            return name


def is_pseudonym(user_id: str) -> bool:
    """Tell whether an id was put in place of an erased user's."""
    return _PSEUDONYM.fullmatch(user_id) is not None


def unfinished(folder: Path) -> Erasing | None:
    """Return the erasure that was cut short, if there is one."""
    path = folder / _NAME
    return msgspec.json.decode(path.read_bytes(), type=Erasing) if path.exists() else None


def note(folder: Path, erasing: Erasing) -> None:
    """Keep an erasure durably."""
    put(folder / _NAME, msgspec.json.encode(erasing))


def forget(folder: Path) -> None:
    """Forget an erasure: its file is overwritten before it is deleted."""
    path = folder / _NAME
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(bytes(size))
    sync(path)
    path.unlink()
    sync(folder)
