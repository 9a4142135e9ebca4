"""Taking events over HTTP: read a bounded body, append it durably, tell the position of the last."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from msgspec import UNSET
from starlette.requests import ClientDisconnect, Request

from rung.log.group_commit import GroupCommit, Overloaded
from rung.log.port import LogError, LogIdentity, Position
from rung.status.after import token_of
from rung.status.messages import JSON, NDJSON, Accepted, EventPosition
from rung.status.problem import Problem, unavailable
from rung.status.services import Limits

BODY_SECONDS_MAX: Final = 30.0
_LENGTH_DIGITS_MAX: Final = 18

_log = logging.getLogger(__name__)


async def append(log: GroupCommit, payloads: list[bytes]) -> Sequence[Position]:
    """Append events, and return their positions when they are durable.

    Raises:
        Problem: 503, too much waits to be appended already, or the log cannot be reached.
    """
    try:
        appending = log.submit(payloads)
    except Overloaded:
        raise overloaded("Too many events wait to be written") from None
    try:
        return await asyncio.wrap_future(appending)
    except LogError as error:
        _log.warning("append_failed", extra={"events": len(payloads), "cause": str(error)})
        detail = "The log did not confirm the events; sending them again is safe, and due"
        raise unavailable("log_unavailable", detail) from None


def accepted(positions: Sequence[Position], offsets: Mapping[int, int], identity: LogIdentity) -> Accepted:
    """Return what whoever sent events is told about where they stand, in the log of that identity."""
    token = token_of(identity, offsets)
    last = EventPosition(positions[-1].partition, positions[-1].offset)
    return Accepted(len(positions), last, UNSET if token is None else token)


async def read_events(request: Request, limits: Limits) -> list[bytes]:
    """Return the events of a request: its whole body for JSON, its lines that are not blank for NDJSON.

    What the events hold is not looked at here: one that cannot be applied goes to quarantine.

    Raises:
        Problem: 415, 413 or 400; the detail names the limit or what is missing.
    """
    media_type = media_type_of(request)
    if media_type not in {JSON, NDJSON}:
        raise unsupported(f"expected {JSON} for one event or {NDJSON} for a batch", media_type)
    body = await read_body(request, limits.body_bytes_max)
    if media_type == NDJSON and (lines := body.count(b"\n")) > limits.body_lines_max:
        raise _too_large(f"it has {lines:,} lines; send at most {limits.body_lines_max:,} at once.")
    parts = [body] if media_type == JSON else body.split(b"\n")
    events = [part for part in parts if part and not part.isspace()]
    if not events:
        raise Problem(HTTPStatus.BAD_REQUEST, "no_events", "body: it is empty; send at least one event.")
    if (largest := max(map(len, events))) > limits.event_bytes_max:
        raise _too_large(f"an event has {largest:,} bytes; the log takes {limits.event_bytes_max:,}.")
    return events


def media_type_of(request: Request) -> str:
    """Return the media type of a request's body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def unsupported(expected: str, media_type: str) -> Problem:
    """Return the answer to a body of another type than expected."""
    return Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        f"Content-Type: {expected}, got {media_type[:64]!r}.",
    )


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Read a body whose length the request tells, so that a part of one is never taken for all.

    Raises:
        Problem: 411, 413, 408 or 400; the detail names the limit or what is missing.
    """
    announced = request.headers.get("content-length", "")
    if not announced.isdecimal():
        raise Problem(
            HTTPStatus.LENGTH_REQUIRED,
            "length_required",
            "Content-Length: it is missing; send the length of the body.",
        )
    if len(announced) > _LENGTH_DIGITS_MAX or int(announced) > bytes_max:
        raise _too_large(f"it has {announced[:32]} bytes; send at most {bytes_max:,} at once.")
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            body = await request.body()
    except ClientDisconnect:
        body = b""
    except TimeoutError:
        raise Problem(
            HTTPStatus.REQUEST_TIMEOUT,
            "body_timeout",
            f"body: it did not arrive within {BODY_SECONDS_MAX:.0f} seconds; send it again, or less at once.",
        ) from None
    if len(body) != int(announced):
        raise Problem(HTTPStatus.BAD_REQUEST, "incomplete_body", "body: it ended early.")
    return body


def _too_large(detail: str) -> Problem:
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", f"body: {detail}")


def overloaded(reason: str) -> Problem:
    """Return the answer to events that come faster than they are handled."""
    return unavailable("overloaded", f"{reason}. Nothing of this request was taken; send it again")
