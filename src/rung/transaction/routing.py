"""Which partition a user's events belong to: one rule for producers, workers and readers.

All events of one user stand in one partition, so that one worker at a time writes the user.
"""

from __future__ import annotations

from zlib import crc32

import msgspec


class _Owner(msgspec.Struct, gc=False):
    """The only field of an event that routing looks at."""

    user_id: str


_owner_of = msgspec.json.Decoder(_Owner).decode


def partition_of(user_id: bytes, partitions: int) -> int:
    """Return the partition of a user: the CRC-32 of the UTF-8 user id, modulo the partitions."""
    return crc32(user_id) % partitions


def partition_of_event(payload: bytes, partitions: int) -> int:
    """Return the partition of an event, which is that of its user.

    An event without a readable user id is poison and ends in quarantine; the CRC-32 of the whole
    payload spreads such events, and gives the same bytes the same place.
    """
    try:
        return crc32(_owner_of(payload).user_id.encode()) % partitions
    # RecursionError is JSON nested too deeply; UnicodeError an id that is not Unicode text.
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return crc32(payload) % partitions
