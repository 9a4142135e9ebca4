"""What processes of jobs do in tests: modules of their own, so that a spawned process finds them."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from rung.console.tasks import Failed, Finished, Told

_SECONDS = 600.0


def well(telling: Connection[Any, Any]) -> None:
    """Tell how far it is, and that it is done."""
    _tell(telling, Told("going", 1, 2), Finished({"users": 2}))


def badly(telling: Connection[Any, Any]) -> None:
    """Tell why it cannot be done."""
    _tell(telling, Failed("the lake is away"))


def on_and_on(telling: Connection[Any, Any]) -> None:
    """Tell how far it is, and come to no end."""
    _tell(telling, Told("going on", 3, 9))
    time.sleep(_SECONDS)


def to_nothing(telling: Connection[Any, Any]) -> None:
    """End without a word."""


def _tell(telling: Connection[Any, Any], *messages: object) -> None:
    for message in messages:
        telling.send_bytes(msgspec.msgpack.encode(message))
