"""Asking until there is an answer: the present key, the rules of retries, and what was answered before."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from rung.client.errors import ClientError, error_of, unreachable
from rung.client.exchange import Answer, NoAnswer, Operation, Request, ask, identify, pause
from rung.client.kept import Kept, KeptAnswers
from rung.client.retries import Retries
from rung.status.messages import JSON

_USER_AGENT: Final = "rung-client"


class Question(msgspec.Struct, frozen=True):
    """One request, before anybody has signed it; `target` is path and query, escaped.

    The server may take `wait_seconds` before it answers. `is_kept` says that its answer has a tag, and may be
    kept.
    """

    method: str
    target: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    wait_seconds: float = 0.0
    is_kept: bool = False

    def signed(self, credential: str, headers: Mapping[str, str] | None = None) -> Request:
        """Return the request of whoever has this key or token."""
        carried = {"authorization": f"Bearer {credential}", "accept": JSON, "user-agent": _USER_AGENT}
        every = {**carried, **self.headers, **(headers or {})}
        return Request(self.method, self.target, every, self.body, self.wait_seconds)


class Asker:
    """Gets answers. Safe to share between threads."""

    def __init__(self, retries: Retries, etags_max: int, *, credential_changes: bool) -> None:
        """Take the rules; `credential_changes` says that a key or token may be followed by another one."""
        self.retries = retries
        self._kept = KeptAnswers(etags_max) if etags_max else None
        self._credential_changes = credential_changes

    def answer(self, question: Question) -> Operation[Answer]:
        """Return the answer to a question, asked again as the rules of retries allow.

        Raises:
            ClientError: there is none, or it is an error.
        """
        attempts, has_followed = 0, False
        credential = yield from identify()
        while True:
            kept = self._kept_answer(question, credential)
            outcome = yield from ask(question.signed(credential, _condition(kept)))
            if isinstance(outcome, NoAnswer):
                error: ClientError = unreachable(outcome)
            elif outcome.status == HTTPStatus.NOT_MODIFIED and kept is not None:
                return msgspec.structs.replace(outcome, body=kept.body)
            elif outcome.status < HTTPStatus.MULTIPLE_CHOICES:
                self._keep(question, credential, outcome)
                return outcome
            else:
                error = error_of(outcome)
            attempts += 1
            seconds = self.retries.pause_seconds(error, attempts)
            if seconds is not None:
                yield from pause(seconds)
                credential = yield from identify()
                continue
            if error.status != HTTPStatus.UNAUTHORIZED or has_followed:
                raise error
            follower = yield from self.follower(credential)
            if follower is None:
                raise error
            credential, has_followed = follower, True

    def follower(self, credential: str) -> Operation[str | None]:
        """Return the key or token that has followed one which is taken no more, None if none has."""
        if not self._credential_changes:
            return None
        present = yield from identify()
        return None if present == credential else present

    def _kept_answer(self, question: Question, credential: str) -> Kept | None:
        if self._kept is None or not question.is_kept:
            return None
        return self._kept.find(credential, question.target)

    def _keep(self, question: Question, credential: str, answer: Answer) -> None:
        etag = answer.headers.get("etag")
        if self._kept is not None and question.is_kept and etag is not None:
            self._kept.keep(credential, question.target, Kept(etag, answer.body))


def _condition(kept: Kept | None) -> dict[str, str]:
    return {} if kept is None else {"if-none-match": kept.etag}
