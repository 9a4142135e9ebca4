"""Reading users: their item, and the older parts of their figures that have moved out of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from rung.store.backoff import Backoff
from rung.store.dynamodb.client import DynamoClient
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


def _user_of(item: Item, older: Sequence[Item | None]) -> UserItem | None:
    """Read a user's item with its older parts; None if they do not belong together."""
    newest = bytes_of(item, "f")
    figures = None
    if newest is not None:
        parts = [None if part is None else bytes_of(part, "f") for part in older]
        present = [part for part in parts if part is not None]
        if len(present) < len(parts):
            return None
        figures = join_figures([*present, newest])
        if older and digest(figures) != bytes_of(item, "d"):
            return None
    return UserItem(figures, bytes_of(item, "a"), integer_of(item, "o", -1))


class Users:
    """Reads users. Its coroutines run in the client's loop."""

    def __init__(self, client: DynamoClient, tables: Tables) -> None:
        """Take an open client."""
        self._client = client
        self._table = tables.users

    async def read(self, generation: int, user_ids: Sequence[bytes]) -> list[UserItem | None]:
        """Read users as they are now; one whose older parts do not fit its item is read again."""
        found: dict[bytes, UserItem] = {}
        wanted = list(dict.fromkeys(user_ids))
        backoff = Backoff()
        for _ in range(_READ_ATTEMPTS_MAX):
            keys = {user_key(generation, user_id): user_id for user_id in wanted}
            items = {
                keys[key]: item
                for key, item in (await items_of(self._client, self._table, list(keys))).items()
            }
            parts = await items_of(
                self._client,
                self._table,
                [
                    part_key(generation, part, user_id)
                    for user_id, item in items.items()
                    for part in range(integer_of(item, "n"))
                ],
            )
            wanted.clear()
            for user_id, item in items.items():
                count = integer_of(item, "n")
                older = [parts.get(part_key(generation, part, user_id)) for part in range(count)]
                user = _user_of(item, older)
                if user is None:
                    wanted.append(user_id)
                else:
                    found[user_id] = user
            if not wanted:
                return [found.get(user_id) for user_id in user_ids]
            await asyncio.sleep(backoff.next_seconds())
        raise StoreBusy(f"the parts of {len(wanted)} users changed during each of {_READ_ATTEMPTS_MAX} reads")
