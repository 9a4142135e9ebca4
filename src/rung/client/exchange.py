"""The questions of a client and what comes of them, as values: nothing here talks to a network.

What the client does is written once, as generators that yield an `Effect` whenever something outside has to
happen, and are sent its `Outcome`. The two clients carry effects out, one of them in an event loop.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Generic, TypeAlias, TypeVar

import msgspec

from rung.status.view import UserStatus


class Request(msgspec.Struct, frozen=True):
    """A request: `target` is path and query, escaped; the server may wait for `wait_seconds` first."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    wait_seconds: float = 0.0


class Answer(msgspec.Struct, frozen=True):
    """A whole answer. The names of headers are in lower case; the body of a stream that is open is empty."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_seconds(self) -> float | None:
        """How long the server asks to wait; None if it does not say, or not in seconds."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isascii() and text.isdecimal() else None


class NoAnswer(msgspec.Struct, frozen=True):
    """There was no answer, or not all of it; `reason` says why."""

    reason: str


class StreamEvent(msgspec.Struct, frozen=True):
    """One event of a stream; `retry_seconds` is how long the server asks to wait before coming back."""

    name: str
    id: str
    data: str
    retry_seconds: float | None


class Identify(msgspec.Struct, frozen=True):
    """Get the present key or token: the outcome is its text."""


class Ask(msgspec.Struct, frozen=True):
    """Send a request: the outcome is an `Answer` or `NoAnswer`."""

    request: Request


class Pause(msgspec.Struct, frozen=True):
    """Wait: the outcome is None."""

    seconds: float


class Open(msgspec.Struct, frozen=True):
    """Send a request whose answer is a stream: as `Ask`, and after status 200 the stream is open."""

    request: Request


class NextEvent(msgspec.Struct, frozen=True):
    """Read on in the open stream: the outcome is a `StreamEvent`, `NoAnswer` if it broke, None at its end."""


class Show(msgspec.Struct, frozen=True):
    """Hand a status to whoever watches: the outcome is None."""

    status: UserStatus


Effect: TypeAlias = Identify | Ask | Pause | Open | NextEvent | Show
Outcome: TypeAlias = str | Answer | NoAnswer | StreamEvent | None
_Result = TypeVar("_Result")
Operation: TypeAlias = Generator[Effect, Outcome, _Result]


def identify() -> Operation[str]:
    """Return the present key or token."""
    outcome = yield Identify()
    assert isinstance(outcome, str)
    return outcome


def ask(request: Request) -> Operation[Answer | NoAnswer]:
    """Return what comes of a request."""
    outcome = yield Ask(request)
    assert isinstance(outcome, Answer | NoAnswer)
    return outcome


def open_stream(request: Request) -> Operation[Answer | NoAnswer]:
    """Return what comes of a request for a stream."""
    outcome = yield Open(request)
    assert isinstance(outcome, Answer | NoAnswer)
    return outcome


def next_event() -> Operation[StreamEvent | NoAnswer | None]:
    """Return the next event of the open stream."""
    outcome = yield NextEvent()
    assert outcome is None or isinstance(outcome, StreamEvent | NoAnswer)
    return outcome


def pause(seconds: float) -> Operation[None]:
    """Wait."""
    yield Pause(seconds)


class Done(msgspec.Struct, Generic[_Result], frozen=True):
    """An operation is at its end; `result` is what it gives."""

    result: _Result


def advance(operation: Operation[_Result], outcome: Outcome) -> Effect | Done[_Result]:
    """Tell an operation the outcome of its last effect (None at first), and return the next one.

    Raises:
        ClientError: the operation ends with it.
    """
    try:
        return operation.send(outcome)
    except StopIteration as ended:
        return Done(ended.value)
