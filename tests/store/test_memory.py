"""The memory store passes the contract."""

from __future__ import annotations

import pytest

from rung.store.memory import MemoryStore
from store.contract import Open, StoreContract


class TestMemoryStore(StoreContract):
    """The contract, over one store that outlives its closing."""

    def opener(self, tmp_path_factory: pytest.TempPathFactory) -> Open:
        """Return a function that gives the same store each time."""
        store = MemoryStore()
        return lambda: store
