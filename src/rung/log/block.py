"""One block: consecutive events of one partition as one stored value.

A block costs one entry and one checksum for thousands of events, which is what makes a log of
small events fast (Kafka's record batch is the model). Layout, little-endian:

    format u8, 3 zero bytes, count u32, appended_at i64, checksum u64,
    length u32 for each event, the payloads one after another

The checksum is XXH3-64 over the block's key, the header without the checksum, and the rest, so
that a block which stands under another key is found out, too.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from struct import Struct, pack, unpack_from

from xxhash import xxh3_64

from rung.log.port import LogError

BLOCK_EVENTS_MAX = 4_096
BLOCK_BYTES_MAX = 1 << 20
"""The payload bytes of a block of more than one event; a larger event has a block to itself."""
EVENT_BYTES_MAX = 1 << 28
"""The largest payload that the log takes. What an event may be is decided further on."""

_FORMAT = 1
_key = Struct(">HQ")
_facts = Struct("<BxxxIq")
_checksum = Struct("<Q")
_HEADER_BYTES = _facts.size + _checksum.size


@dataclass(frozen=True, slots=True)
class Block:
    """A decoded block: `payloads[i]` stands at `first_offset + i`.

    `ends[i]` is the number of payload bytes up to and with event i. `appended_at` is in
    microseconds since the epoch.
    """

    partition: int
    first_offset: int
    appended_at: int
    payloads: list[bytes]
    ends: list[int]

    @property
    def next_offset(self) -> int:
        """The offset just after the block."""
        return self.first_offset + len(self.payloads)

    def cut(self, low: int, events_max: int, bytes_max: int) -> int:
        """Return how far to read from index `low` to stay within both bounds (`low`: not at all)."""
        before = self.ends[low - 1] if low else 0
        return bisect_right(self.ends, before + bytes_max, low, min(low + events_max, len(self.ends)))


def encode_key(partition: int, first_offset: int) -> bytes:
    """Return the key of a block: keys sort by partition, then offset."""
    return _key.pack(partition, first_offset)


def decode_key(key: bytes | memoryview) -> tuple[int, int]:
    """Return the partition and the first offset of a block's key."""
    partition, first_offset = _key.unpack(key)
    return partition, first_offset


def split(payloads: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Divide payloads into runs that each fit one block."""
    ends = list(accumulate(map(len, payloads)))
    low = 0
    while low < len(payloads):
        before = ends[low - 1] if low else 0
        high = bisect_right(ends, before + BLOCK_BYTES_MAX, low, min(low + BLOCK_EVENTS_MAX, len(ends)))
        high = max(high, low + 1)
        yield payloads[low:high]
        low = high


def encode(
    partition: int, first_offset: int, appended_at: int, payloads: Sequence[bytes]
) -> tuple[bytes, bytearray]:
    """Return a block's key and value."""
    count = len(payloads)
    key = encode_key(partition, first_offset)
    facts = _facts.pack(_FORMAT, count, appended_at)
    lengths = pack(f"<{count}I", *map(len, payloads))
    # The checksum is filled in afterwards: that way the payloads are copied once.
    value = bytearray().join((facts, _checksum.pack(0), lengths, *payloads))
    _checksum.pack_into(value, _facts.size, _digest(key, memoryview(value)))
    return key, value


def decode(key: bytes, value: memoryview) -> Block:
    """Check and decode a block. The result holds copies, nothing of `value`.

    Raises:
        LogError: the block is damaged, or of a format that this version does not know.
    """
    partition, first_offset = decode_key(key)
    place = f"partition {partition}, block of offset {first_offset}"
    if len(value) < _HEADER_BYTES:
        raise LogError(f"damaged log: {place} is too short ({len(value)} bytes); restore it from a copy")
    if value[0] != _FORMAT:
        raise LogError(
            f"{place} has format {value[0]}, this version reads format {_FORMAT}: "
            "the log is damaged, or a later version of Rung wrote it"
        )
    (expected,) = _checksum.unpack_from(value, _facts.size)
    if _digest(key, value) != expected:
        raise LogError(f"damaged log: the checksum of {place} does not match; restore it from a copy")
    _, count, appended_at = _facts.unpack_from(value)
    ends = list(accumulate(unpack_from(f"<{count}I", value, _HEADER_BYTES)))
    body = bytes(value[_HEADER_BYTES + 4 * count :])
    payloads = [body[low:high] for low, high in zip(chain((0,), ends), ends, strict=False)]
    return Block(partition, first_offset, appended_at, payloads, ends)


def count_of(value: memoryview) -> int:
    """Return the number of events of a block without a look at its events."""
    _, count, _ = _facts.unpack_from(value)
    return count


def _digest(key: bytes, value: memoryview) -> int:
    """Return the checksum of a block: of everything but the checksum itself."""
    checksum = xxh3_64(key)
    checksum.update(value[: _facts.size])
    checksum.update(value[_HEADER_BYTES:])
    return checksum.intdigest()
