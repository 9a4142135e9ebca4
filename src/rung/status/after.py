"""Reading one's own payment: a token for the positions of events, and waiting until they are applied.

A token is told with the answer to events, and tells of each partition the last offset appended. It is no
secret and allows nothing: whoever makes one up can only make themselves wait.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Final

import xxhash

from rung.access.subjects import AuthorisedUser
from rung.log.port import LogIdentity, Position
from rung.status.problem import Problem, unavailable
from rung.status.reader import Reading

PARTITIONS_MAX: Final = 128
"""Of more partitions a token is not told: it would be too long for a URL."""
WAIT_MS: Final = 1_000
"""How long is waited if the request does not say."""
FIRST_PAUSE_SECONDS: Final = 0.01
LAST_PAUSE_SECONDS: Final = 0.25
_VERSION: Final = 1
_HEAD_BYTES: Final = 5
_TOKEN_CHARACTERS_MAX: Final = 2_048
_NUMBER_BYTES_MAX: Final = 9


class After:
    """The positions that a status has to hold; `log` is the fingerprint of the log they are in."""

    __slots__ = ("log", "offsets")

    def __init__(self, log: int, offsets: Mapping[int, int]) -> None:
        self.log = log
        self.offsets = offsets


def fingerprint(log: LogIdentity) -> int:
    """Return a number of 32 bits for a log, which another one has by rare chance only."""
    return xxhash.xxh32_intdigest(f"{log.partitions}:{log.name}".encode())


def last_offsets(positions: Iterable[Position]) -> dict[int, int]:
    """Return the last offset of each partition among positions; those of a partition rise."""
    return dict(positions)


def token_of(log: LogIdentity, offsets: Mapping[int, int]) -> str | None:
    """Return the token for the last offsets of partitions, None if those are too many."""
    if len(offsets) > PARTITIONS_MAX:
        return None
    content = bytearray([_VERSION, *fingerprint(log).to_bytes(4, "big")])
    for partition, offset in sorted(offsets.items()):
        for number in (partition, offset):
            content += _number(number)
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def read_token(text: str) -> After:
    """Read what `token_of` gives.

    Raises:
        Problem: 400, it is nothing of the kind.
    """
    try:
        if len(text) > _TOKEN_CHARACTERS_MAX:
            raise ValueError
        content = base64.b64decode(
            text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
        )
        if len(content) <= _HEAD_BYTES or content[0] != _VERSION:
            raise ValueError
        numbers = list(_numbers(content[_HEAD_BYTES:]))
        partitions, offsets = numbers[::2], numbers[1::2]
        return After(
            int.from_bytes(content[1:_HEAD_BYTES], "big"), dict(zip(partitions, offsets, strict=True))
        )
    except (ValueError, binascii.Error):
        raise bad_after("it is not what POST /v1/events answered as `after`.") from None


async def read_after(
    read: Callable[[AuthorisedUser], Awaitable[Reading]], user: AuthorisedUser, after: After, wait_ms: int
) -> Reading:
    """Return a user's reading that holds the events of a token, as soon as there is one.

    Raises:
        Problem: 503, they were not applied within so many milliseconds.
    """
    ends_at = time.monotonic() + wait_ms / 1_000
    pause = FIRST_PAUSE_SECONDS
    while True:
        reading = await read(user)
        if reading.standing.applied.offset >= after.offsets.get(reading.partition, -1):
            return reading
        left = ends_at - time.monotonic()
        if left <= 0:
            detail = "The events of `after` are not applied yet; ask again"
            raise unavailable("not_applied_yet", detail)
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, LAST_PAUSE_SECONDS)


def bad_after(detail: str) -> Problem:
    """Return the answer to a token that cannot be used."""
    return Problem(HTTPStatus.BAD_REQUEST, "bad_after", f"after: {detail}")


def _number(value: int) -> bytes:
    """Return a number in base 128, its low digits first; all but the last have the high bit."""
    digits = bytearray()
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def _numbers(content: bytes) -> Iterable[int]:
    value = shift = 0
    for digit in content:
        value |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:
            yield value
            value = shift = 0
        elif shift >= 7 * _NUMBER_BYTES_MAX:
            raise ValueError
    if shift:
        raise ValueError
