"""The whole audit list, and whether it is as it was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rung.store.audit import AuditEntry, check_chain, decode_entry
from rung.store.port import Store


@dataclass(frozen=True, slots=True)
class AuditList:
    """The entries in their order, and what is wrong with the first that does not fit (None: nothing)."""

    entries: Sequence[AuditEntry]
    broken: str | None


def read_audit(store: Store) -> AuditList:
    """Return all entries, and whether each follows the one before.

    Raises:
        StoreError: an entry cannot be read.
    """
    count, _ = store.audit_end()
    entries = [decode_entry(record) for record in store.audit(0, count)]
    broken = check_chain(entries)
    if broken is None and len(entries) < count:
        broken = f"entry {len(entries) + 1} is missing"
    return AuditList(entries, broken)
