"""What can go wrong with a server, as one family of errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Self

import msgspec
from msgspec import UNSET

from rung.client.exchange import Answer, NoAnswer
from rung.status.messages import ProblemDocument

_NOT_APPLIED_YET = "not_applied_yet"


class ClientError(Exception):
    """Whatever goes wrong with asking a server; each error is one of the classes below.

    Attributes:
        status: The HTTP status of the answer; None if the server was not asked, or has not answered.
        code: What is wrong, for programs. The codes of the server's answers never change.
        detail: The same for people: the place of the fault and the way out.
        suggestion: What was probably meant; None if nothing is near.
        retry_after_seconds: How long the server asked to wait; None if it did not say.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        suggestion: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        meant = "" if suggestion is None else f" Did you mean {suggestion}?"
        super().__init__(f"{code}: {detail}{meant}")
        self.status = status
        self.code = code
        self.detail = detail
        self.suggestion = suggestion
        self.retry_after_seconds = retry_after_seconds

    @classmethod
    def of(cls, answer: Answer, problem: ProblemDocument) -> Self:
        """Return the error that an answer tells."""
        return cls(
            problem.code,
            problem.detail,
            status=answer.status,
            suggestion=None if problem.suggestion is UNSET else problem.suggestion,
            retry_after_seconds=answer.retry_after_seconds,
        )


class Unreachable(ClientError):
    """No answer has come, however often the server was asked. Asking again later is safe."""


class Unavailable(ClientError):
    """The server cannot answer now: it is busy, or asks to slow down. Asking again later is safe."""

    @property
    def not_applied_yet(self) -> bool:
        """Whether it is only that the events which were waited for are not applied yet."""
        return self.code == _NOT_APPLIED_YET


class Refused(ClientError):
    """The question is wrong: asking it again gets the same answer."""


class NotAllowed(Refused):
    """The key or token is missing, wrong, at its end, or not for this."""


class BadAnswer(ClientError):
    """The answer is none of this API: another server's, or of a version that this client does not know."""


def unreachable(outcome: NoAnswer) -> Unreachable:
    """Return the error of a question that got no answer."""
    return Unreachable("unreachable", outcome.reason)


def error_of(answer: Answer) -> ClientError:
    """Return the error that an answer tells; its class follows from the status.

    An answer that is no problem document comes from something between the client and the server.
    """
    try:
        problem = msgspec.json.decode(answer.body, type=ProblemDocument)
    except msgspec.DecodeError:
        problem = ProblemDocument(
            "", "", answer.status, f"The answer {answer.status} is not of Rung's API.", "unknown"
        )
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return NotAllowed.of(answer, problem)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable.of(answer, problem)
    if answer.status >= HTTPStatus.BAD_REQUEST:
        return Refused.of(answer, problem)
    return BadAnswer.of(answer, problem)
