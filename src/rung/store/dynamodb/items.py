"""What stands where in the three tables, and DynamoDB's form of values.

    PREFIX-users          k = 0x00 generation u16 user id: a user
                            f  figures (the newest, when they are in several parts)
                            d  digest of all figures; n  how many older parts there are (absent: 0)
                            a  attributes; o  the offset that the user's records hold all events up to
                          k = 0x01 generation u16 part u16 user id: an older part
                            f  figures
    PREFIX-transactions   k = generation u16 transaction id
                            h  record
    PREFIX-state          k, n: "catalog", 0
                            v  revision; g  generation; c  catalog; p  partitions that were begun
                            ln, lp  name and partitions of the log that the positions refer to
                            an  number of audit entries (absent: 0)
                          "audit", number
                            x  an audit entry
                          "partition/G/P", 0
                            o, e  offset and event time applied (e absent: none); b  offset reached
                            v  catalog revision in force; counters: ce cd cb cq cl ca
                          "quarantine/G/P", offset
                            r, t, w, x  reason, detail, time, payload; m  how many further pieces it has
                          "payload/G/P/OFFSET", piece
                            x  a further piece of a payload

What people did, catalog and audit, stays. Everything that is derived from the log carries the generation; a
reset raises it, so all of it is out of sight at once, and what is left is swept up at leisure. Numbers are
DynamoDB numbers, records binary.
"""

from __future__ import annotations

import hashlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from rung.store.port import NOTHING_APPLIED, Applied, BoundLog, Counters

Item: TypeAlias = "Mapping[str, Mapping[str, Any]]"

_DIGEST_BYTES: Final = 16
_DIGEST_CALLED: Final = b"rung figures"


class Tables(msgspec.Struct, frozen=True):
    """The names of the tables."""

    users: str
    transactions: str
    state: str

    @classmethod
    def of(cls, prefix: str) -> Tables:
        """Return the names under a prefix."""
        return cls(f"{prefix}-users", f"{prefix}-transactions", f"{prefix}-state")


def binary(value: bytes) -> dict[str, str]:
    """Return a binary value."""
    return {"B": b2a_base64(value, newline=False).decode("ascii")}


def number(value: int) -> dict[str, str]:
    """Return a number value."""
    return {"N": str(value)}


def text(value: str) -> dict[str, str]:
    """Return a string value."""
    return {"S": value}


def bytes_of(item: Item, name: str) -> bytes | None:
    """Return an item's binary attribute, None if it has none."""
    found = item.get(name)
    return None if found is None else a2b_base64(found["B"])


def integer_of(item: Item, name: str, absent: int = 0) -> int:
    """Return an item's number attribute, a whole number."""
    found = item.get(name)
    return absent if found is None else int(found["N"])


def user_key(generation: int, user_id: bytes) -> bytes:
    """Return the key of a user."""
    return b"\0" + generation.to_bytes(2) + user_id


def part_key(generation: int, part: int, user_id: bytes) -> bytes:
    """Return the key of an older part of a user's figures."""
    return b"\1" + generation.to_bytes(2) + part.to_bytes(2) + user_id


def transaction_key(generation: int, transaction_id: bytes) -> bytes:
    """Return the key of a transaction."""
    return generation.to_bytes(2) + transaction_id


def state_key(kind: str, place: int = 0) -> dict[str, dict[str, str]]:
    """Return a key of the state table."""
    return {"k": text(kind), "n": number(place)}


CATALOG_KEY: Final = state_key("catalog")


AUDIT_KIND: Final = "audit"
LASTING_KINDS: Final = frozenset({"catalog", AUDIT_KIND})
"""The keys of the state table that carry no generation."""


def partition_kind(generation: int, partition: int) -> str:
    """Return the first part of a partition's key."""
    return f"partition/{generation}/{partition}"


def quarantine_kind(generation: int, partition: int) -> str:
    """Return the first part of the key of a partition's quarantined events."""
    return f"quarantine/{generation}/{partition}"


def payload_kind(generation: int, partition: int, offset: int) -> str:
    """Return the first part of the key of the further pieces of a payload."""
    return f"payload/{generation}/{partition}/{offset}"


def digest(figures: bytes) -> bytes:
    """Return what tells a user's figures from any others: their revision, which a write is guarded by."""
    return hashlib.blake2b(figures, digest_size=_DIGEST_BYTES, person=_DIGEST_CALLED).digest()


class Head(msgspec.Struct, frozen=True):
    """The catalog's item."""

    revision: int
    generation: int
    catalog: bytes | None
    partitions: tuple[int, ...]
    log: BoundLog | None
    audited: int

    @classmethod
    def of(cls, item: Item) -> Head:
        """Read the item."""
        return cls(
            integer_of(item, "v"),
            integer_of(item, "g"),
            bytes_of(item, "c"),
            tuple(sorted(int(each["N"]) for each in item["p"]["L"])),
            BoundLog(item["ln"]["S"], integer_of(item, "lp")) if "ln" in item else None,
            integer_of(item, "an"),
        )


def partitions_value(partitions: tuple[int, ...]) -> dict[str, list[dict[str, str]]]:
    """Return the list of the partitions that were begun."""
    return {"L": [number(partition) for partition in partitions]}


class AuditWrites(NamedTuple):
    """What appends an audit entry: a change of the catalog's item under a condition, and the entry's item."""

    update: str
    condition: str
    values: Mapping[str, Mapping[str, str]]
    put: Mapping[str, Any]

    @classmethod
    def of(cls, table: str, audit: tuple[int, bytes]) -> AuditWrites:
        """Return what appends an entry to a list of so many."""
        expected, record = audit
        values = {":an": number(expected + 1)} | ({":was_an": number(expected)} if expected else {})
        item = {**state_key(AUDIT_KIND, expected + 1), "x": binary(record)}
        return cls(
            "an = :an",
            "an = :was_an" if expected else "attribute_not_exists(an)",
            values,
            {"Put": {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(k)"}},
        )


class PartitionState(msgspec.Struct, frozen=True):
    """A partition's item."""

    applied: Applied
    reached: int
    revision: int
    counters: Counters


NOT_BEGUN: Final = PartitionState(NOTHING_APPLIED, -1, 0, Counters())


def applied_of(item: Item) -> Applied:
    """Return how far a partition is applied, by its item."""
    return Applied(integer_of(item, "o"), integer_of(item, "e") if "e" in item else None)


def partition_state(item: Item | None) -> PartitionState:
    """Read a partition's item; None is a partition of which nothing was begun."""
    if item is None:
        return NOT_BEGUN
    return PartitionState(
        applied_of(item),
        integer_of(item, "b"),
        integer_of(item, "v"),
        Counters(
            integer_of(item, "ce"),
            integer_of(item, "cd"),
            integer_of(item, "cb"),
            {reason: int(count["N"]) for reason, count in item["cq"]["M"].items()} if "cq" in item else {},
            integer_of(item, "cl"),
            integer_of(item, "ca"),
        ),
    )


def counter_values(counters: Counters) -> dict[str, dict[str, Any]]:
    """Return the attributes that hold counters."""
    return {
        "ce": number(counters.events),
        "cd": number(counters.duplicates),
        "cb": number(counters.batches),
        "cq": {"M": {reason: number(count) for reason, count in counters.quarantined.items()}},
        "cl": number(counters.last_batch_events),
        "ca": number(counters.last_batch_at),
    }
