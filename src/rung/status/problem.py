"""Errors as the API tells them: problem details (RFC 9457), with a stable code for programs."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from rung.log.port import LogError, LogUnavailable
from rung.status.messages import ProblemDocument
from rung.store.port import StoreBusy

RETRY_AFTER_SECONDS: Final = 2
HEADERS: Final[Mapping[str, str]] = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
"""What every answer of the API carries."""

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:rung:problem:"


class Problem(Exception):
    """An answer other than the one asked for.

    `code` names the kind of problem and never changes; `detail` is for people: the place of the
    fault and the way out. Neither ever holds the text of an internal error.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        suggestion: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status.value} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.suggestion = suggestion
        self.headers = {**HEADERS, **(headers or {})}

    def body(self) -> bytes:
        """Return the problem document; `suggestion` is left out if there is none."""
        suggestion = UNSET if self.suggestion is None else self.suggestion
        return msgspec.json.encode(
            ProblemDocument(
                TYPE_PREFIX + self.code,
                self.status.phrase,
                self.status.value,
                self.detail,
                self.code,
                suggestion,
            )
        )

    def response(self) -> Response:
        """Return the problem as a response."""
        return Response(self.body(), self.status.value, self.headers, MEDIA_TYPE)


def method_not_allowed(allowed: str) -> Problem:
    """Return the answer to another method than those that a path takes."""
    return Problem(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method_not_allowed",
        f"This path takes {allowed.replace(', ', ' and ')}.",
        headers={"allow": allowed},
    )


def unavailable(code: str, detail: str) -> Problem:
    """Return the answer to what cannot be done now, and may be asked again soon."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        code,
        f"{detail} after {RETRY_AFTER_SECONDS} seconds.",
        headers={"retry-after": str(RETRY_AFTER_SECONDS)},
    )


def problem_of(error: Exception) -> Problem | None:
    """Return what a client is told of an error that is no fault of the server's, None for any other."""
    if isinstance(error, StoreBusy):
        return unavailable("store_busy", "The store does not answer, or takes no more now; ask again")
    if isinstance(error, LogUnavailable):
        return unavailable("log_unavailable", "The log does not answer now; ask again")
    if isinstance(error, LogError):
        detail = "The log cannot be used, and the server's log says why; once it can, ask again"
        return unavailable("log_unavailable", detail)
    return error if isinstance(error, Problem) else None


def internal_error() -> Problem:
    """Return what a client is told of an error that is ours: nothing, except that it is in the log."""
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "The server failed; its log has the details."
    )
