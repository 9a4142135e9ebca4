"""Writes the events of synthetic traffic as JSON, many at a time."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rung.traffic.settings import SECOND, IdKind, Value

STATUSES = np.array([b"", b"CREATED", b"COMPLETED", b"REFUNDED", b"CANCELED", b"FAILED", b"EXPIRED"], "S9")
NONE, CREATED, COMPLETED, REFUNDED, CANCELED, FAILED, EXPIRED = range(7)
STEPS_MAX = 4

ROW = np.dtype(
    [
        ("sent_at", "i8"),  # the order of the events
        ("steps", "i8"),  # how many steps the event carries; 0 for an extra event
        ("extra", "i8"),  # the number of the extra event: poison or user attributes
        ("id", "S36"),
        ("user", "i8"),
        ("combination", "i8"),  # the index of the attributes
        ("status", "u1", STEPS_MAX),
        ("at", "i8", STEPS_MAX),
        ("amount", "i8", STEPS_MAX),
    ]
)
"""One event, before it is written as JSON."""

Rows = NDArray[np.void]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


class Writer:
    """Writes events as JSON, many at a time."""

    def __init__(self, attributes: Sequence[bytes]) -> None:
        self._attributes = attributes
        head = b'{"transaction_id":"%b","user_id":"u%08d","attributes":%b,"history":['
        step = b'{"status":"%b","at":"%b","amount":%d}'
        self._templates = [head + b",".join([step] * steps) + b"]}" for steps in range(STEPS_MAX + 1)]

    def __call__(self, rows: Rows, extras: dict[int, bytes]) -> list[bytes]:
        """Return the events in the order of the rows; the extra ones are taken out of `extras`."""
        payloads = np.empty(len(rows), object)
        for steps in range(1, STEPS_MAX + 1):
            places = np.flatnonzero(rows["steps"] == steps)
            payloads[places] = self._transactions(rows[places], steps)
        for place in np.flatnonzero(rows["steps"] == 0).tolist():
            payloads[place] = extras.pop(int(rows["extra"][place]))
        return payloads.tolist()

    def _transactions(self, rows: Rows, steps: int) -> list[bytes]:
        attributes = self._attributes
        columns: list[list[bytes] | list[int]] = [
            rows["id"].tolist(),
            rows["user"].tolist(),
            [attributes[i] for i in rows["combination"].tolist()],
        ]
        for step in range(steps):
            columns.append(STATUSES[rows["status"][:, step]].tolist())
            columns.append(times(rows["at"][:, step]).tolist())
            columns.append(rows["amount"][:, step].tolist())
        template = self._templates[steps]
        return [template % row for row in zip(*columns, strict=True)]


def user_id(number: int) -> str:
    """Return the id of a user, given its number from 0."""
    return f"u{number:08d}"


def combinations(values: Mapping[str, Sequence[Value]]) -> list[bytes]:
    """Return every combination of attribute values as a JSON object."""
    return [
        json.dumps(dict(zip(values, chosen, strict=True)), separators=(",", ":"), ensure_ascii=False).encode()
        for chosen in itertools.product(*values.values())
    ]


def digits(count: int) -> NDArray[np.uint8]:
    """Return a table of `count` numbers as decimal digits, with leading zeros."""
    width = len(str(count - 1))
    text = "".join(f"{number:0{width}}" for number in range(count))
    return np.frombuffer(text.encode(), np.uint8).reshape(count, width)


def text(characters: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """Return each row of characters as one text."""
    return np.ascontiguousarray(characters).view(f"S{characters.shape[1]}").reshape(-1)


def times(at: Integers) -> NDArray[np.bytes_]:
    """Return times (microseconds since the epoch) in the form 2021-08-05T12:34:56.789012Z."""
    days, within = np.divmod(at, 86_400 * SECOND)
    seconds, microseconds = np.divmod(within, SECOND)
    characters = np.empty((len(at), 27), np.uint8)
    unique, index = np.unique(days, return_inverse=True)
    dates = np.datetime_as_string(unique.astype("M8[D]"), "D").astype("S10").view(np.uint8)
    characters[:, :10] = dates.reshape(len(unique), 10)[index]
    pairs, triples = digits(100), digits(1000)
    for start, two in ((11, seconds // 3600), (14, seconds // 60 % 60), (17, seconds % 60)):
        characters[:, start : start + 2] = pairs[two]
    for start, three in ((20, microseconds // 1000), (23, microseconds % 1000)):
        characters[:, start : start + 3] = triples[three]
    for place, mark in ((10, b"T"), (13, b":"), (16, b":"), (19, b"."), (26, b"Z")):
        characters[:, place] = mark[0]
    return text(characters)


CROCKFORD = np.frombuffer(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ", np.uint8)
HEXADECIMAL = np.frombuffer(b"0123456789abcdef", np.uint8)


def _ulids(random: np.random.Generator, milliseconds: Integers) -> NDArray[np.bytes_]:
    """Return ULIDs: 10 characters of time and 16 of chance, in Crockford's base 32."""
    values = random.integers(0, 32, (len(milliseconds), 26))
    values[:, :10] = (milliseconds[:, None] >> np.arange(45, -1, -5)) & 31
    return text(CROCKFORD[values])


def _random_ids(random: np.random.Generator, milliseconds: Integers) -> NDArray[np.bytes_]:
    """Return ids of the ULIDs' length without their order."""
    return text(CROCKFORD[random.integers(0, 32, (len(milliseconds), 26))])


def _uuids(random: np.random.Generator, milliseconds: Integers) -> NDArray[np.bytes_]:
    """Return UUIDs of version 7 (RFC 9562): 48 bits of time and 74 of chance."""
    values = random.integers(0, 16, (len(milliseconds), 32))
    values[:, :12] = (milliseconds[:, None] >> np.arange(44, -1, -4)) & 15
    values[:, 12] = 7
    values[:, 16] = 8 | (values[:, 16] & 3)
    characters = np.full((len(milliseconds), 36), b"-"[0], np.uint8)
    places = [place for place in range(36) if place not in (8, 13, 18, 23)]
    characters[:, places] = HEXADECIMAL[values]
    return text(characters)


ID_MAKERS: Mapping[IdKind, Callable[[np.random.Generator, Integers], NDArray[np.bytes_]]] = {
    IdKind.ULID: _ulids,
    IdKind.UUID7: _uuids,
    IdKind.RANDOM: _random_ids,
}
