"""A table that forgets: bounded in size, whatever is put into it."""

from __future__ import annotations

from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Recent(Generic[_Key, _Value]):
    """Keeps at least the last `size` keys that were put or found, and at most twice as many.

    There are two dictionaries. When the young one is full it becomes the old one, and what was old is
    forgotten; what is found in the old one moves to the young one. So each step costs the same, however
    many keys there are, and no list of uses is kept.
    """

    def __init__(self, size: int) -> None:
        """Start empty."""
        self._size = size
        self._young: dict[_Key, _Value] = {}
        self._old: dict[_Key, _Value] = {}

    def __len__(self) -> int:
        return len(self._young) + sum(key not in self._young for key in self._old)

    def get(self, key: _Key) -> _Value | None:
        """Return what was put, None if there is nothing or it was forgotten."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: _Key, value: _Value) -> None:
        """Put a value under a key."""
        young = self._young
        if len(young) >= self._size and key not in young:
            self._old = young
            young = self._young = {}
        young[key] = value

    def discard(self, key: _Key) -> None:
        """Forget a key."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._young, self._old = {}, {}
