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
                          "partition/G/P", 0
                            o, e  offset and event time applied (e absent: none); b  offset reached
                            v  catalog revision in force; counters: ce cd cb cq cl ca
                          "quarantine/G/P", offset
                            r, t, w, x  reason, detail, time, payload; m  how many further pieces it has
                          "payload/G/P/OFFSET", piece
                            x  a further piece of a payload

Everything that is derived from the log carries the generation; a reset raises it, so all of it is out of
sight at once, and what is left is swept up at leisure. Numbers are DynamoDB numbers, records binary.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

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
    return {"B": base64.b64encode(value).decode("ascii")}


def number(value: int) -> dict[str, str]:
    """Return a number value."""
    return {"N": str(value)}


def text(value: str) -> dict[str, str]:
    """Return a string value."""
    return {"S": value}


def bytes_of(item: Item, name: str) -> bytes | None:
    """Return an item's binary attribute, None if it has none."""
    found = item.get(name)
    return None if found is None else base64.b64decode(found["B"])


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

    @classmethod
    def of(cls, item: Item) -> Head:
        """Read the item."""
        return cls(
            integer_of(item, "v"),
            integer_of(item, "g"),
            bytes_of(item, "c"),
            tuple(sorted(int(each["N"]) for each in item["p"]["L"])),
            BoundLog(item["ln"]["S"], integer_of(item, "lp")) if "ln" in item else None,
        )


def partitions_value(partitions: tuple[int, ...]) -> dict[str, list[dict[str, str]]]:
    """Return the list of the partitions that were begun."""
    return {"L": [number(partition) for partition in partitions]}


class PartitionState(msgspec.Struct, frozen=True):
    """A partition's item."""

    applied: Applied
    reached: int
    revision: int
    counters: Counters


NOT_BEGUN: Final = PartitionState(NOTHING_APPLIED, -1, 0, Counters())


def partition_state(item: Item | None) -> PartitionState:
    """Read a partition's item; None is a partition of which nothing was begun."""
    if item is None:
        return NOT_BEGUN
    return PartitionState(
        Applied(integer_of(item, "o"), integer_of(item, "e") if "e" in item else None),
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
