"""Reading users: their item, and the older parts of their figures that have moved out of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rung.store.backoff import Backoff
from rung.store.dynamodb.client import LoopClient
from rung.store.dynamodb.items import Item, Tables, bytes_of, digest, integer_of, part_key, user_key
from rung.store.dynamodb.reads import items_of
from rung.store.port import StoreBusy
from rung.store.records import join_figures

_READ_ATTEMPTS_MAX: Final = 20


class UserItem(NamedTuple):
    """A user's records, and the offset that they hold all events up to (-1: not told)."""

    figures: bytes | None
    attributes: bytes | None
    offset: int


def _user_of(item: Item, figures: bytes | None) -> UserItem:
    return UserItem(figures, bytes_of(item, "a"), integer_of(item, "o", -1))


def _joined(item: Item, older: Sequence[Item | None]) -> bytes | None:
    """Return the figures of an item and its older parts; None if they do not belong together."""
    parts = [None if part is None else bytes_of(part, "f") for part in (*older, item)]
    present = [part for part in parts if part is not None]
    if len(present) < len(parts):
        return None
    figures = join_figures(present)
    return figures if digest(figures) == bytes_of(item, "d") else None


class Users:
    """Reads users. Its coroutines run in the client's loop."""

    def __init__(self, client: LoopClient, tables: Tables) -> None:
        """Take an open client."""
        self._client = client
        self._table = tables.users

    async def read(self, generation: int, user_ids: Sequence[bytes]) -> list[UserItem | None]:
        """Read users as they are now."""
        keys = dict.fromkeys(user_key(generation, user_id) for user_id in user_ids)
        return await self.complete(
            generation, user_ids, await items_of(self._client, self._table, list(keys))
        )

    async def complete(
        self, generation: int, user_ids: Sequence[bytes], items: Mapping[bytes, Item]
    ) -> list[UserItem | None]:
        """Return users whose items were just read; those whose older parts do not fit are read again."""
        prefix = user_key(generation, b"")
        found: dict[bytes, UserItem] = {}
        wanted: list[bytes] = []
        backoff = Backoff()
        for _ in range(_READ_ATTEMPTS_MAX):
            in_parts: dict[bytes, Item] = {}
            for key, item in items.items():
                if "n" in item:
                    in_parts[key[len(prefix) :]] = item
                else:
                    found[key[len(prefix) :]] = _user_of(item, bytes_of(item, "f"))
            wanted = await self._join(generation, in_parts, found) if in_parts else []
            if not wanted:
                return [found.get(user_id) for user_id in user_ids]
            await asyncio.sleep(backoff.next_seconds())
            items = await items_of(self._client, self._table, [prefix + user_id for user_id in wanted])
        raise StoreBusy(f"the parts of {len(wanted)} users changed during each of {_READ_ATTEMPTS_MAX} reads")

    async def _join(
        self, generation: int, in_parts: Mapping[bytes, Item], found: dict[bytes, UserItem]
    ) -> list[bytes]:
        """Find users whose figures are in several parts, and return those whose parts do not fit."""
        keys = {
            user_id: [part_key(generation, part, user_id) for part in range(integer_of(item, "n"))]
            for user_id, item in in_parts.items()
        }
        parts = await items_of(self._client, self._table, [key for each in keys.values() for key in each])
        misfits: list[bytes] = []
        for user_id, item in in_parts.items():
            figures = _joined(item, [parts.get(key) for key in keys[user_id]])
            if figures is None:
                misfits.append(user_id)
            else:
                found[user_id] = _user_of(item, figures)
        return misfits
