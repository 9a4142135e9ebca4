"""Watching a status: a stream of server-sent events, opened again whenever it breaks."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec

from rung.client.asking import Asker, Question
from rung.client.decoding import bad_answer, check_user, decoded
from rung.client.errors import ClientError, Unreachable, error_of, unreachable
from rung.client.exchange import (
    NoAnswer,
    Operation,
    Show,
    StreamEvent,
    identify,
    next_event,
    open_stream,
    pause,
)
from rung.client.targets import path_of, target_of
from rung.status.view import UserStatus

SILENCE_SECONDS_MAX: Final = 45.0
"""The server sends something every 15 seconds: a stream that is silent for longer is dead."""

_EVENT_STREAM: Final = "text/event-stream"
_STATUS: Final = "status"
_END: Final = "end"
_CREDENTIAL_ENDED: Final = frozenset({"expired", "revoked"})
_BACK_SECONDS: Final = 2.0


class _Ended(msgspec.Struct):
    reason: str


class Watching:
    """One user's stream: what was shown of it, and when it may be opened again."""

    def __init__(self, asker: Asker, user_id: str | None, campaign: str | None) -> None:
        """Take whose status is watched; None is the user whose token it is."""
        target = target_of(path_of(user_id, "status/stream"), {"campaign": campaign})
        self._asker = asker
        self._user_id = user_id
        self._question = Question("GET", target, {"accept": _EVENT_STREAM})
        self._shown: str = ""
        self._failures = 0
        self._back_seconds = _BACK_SECONDS

    def watch(self) -> Operation[None]:
        """Show the status now and at each change, until the key or token ends and no other one follows it.

        Raises:
            ClientError: the stream is refused, or breaks more often than the rules of retries allow, without
                a status in between.
        """
        credential = yield from identify()
        while True:
            error = yield from self._follow(credential)
            self._failures += 1
            seconds = None if error is None else self._asker.retries.pause_seconds(error, self._failures)
            if seconds is not None:
                yield from pause(seconds)
                credential = yield from identify()
                continue
            if error is not None and error.status != HTTPStatus.UNAUTHORIZED:
                raise error
            follower = yield from self._asker.follower(credential)
            if follower is not None:
                credential = follower
            elif error is None:
                return
            else:
                raise error

    def _follow(self, credential: str) -> Operation[ClientError | None]:
        """Show what a stream tells; return why it cannot go on, None if the key or token has ended."""
        known = {"last-event-id": self._shown} if self._shown else {}
        opened = yield from open_stream(self._question.signed(credential, known))
        if isinstance(opened, NoAnswer):
            return unreachable(opened)
        if opened.status != HTTPStatus.OK:
            return error_of(opened)
        if not opened.headers.get("content-type", "").startswith(_EVENT_STREAM):
            raise bad_answer("it is no stream of events")
        while isinstance(event := (yield from next_event()), StreamEvent):
            if event.retry_seconds is not None:
                self._back_seconds = event.retry_seconds
            if event.name == _END:
                if decoded(event.data, _Ended).reason in _CREDENTIAL_ENDED:
                    return None
                break
            if event.name == _STATUS:
                status = decoded(event.data, UserStatus)
                check_user(status.user_id, self._user_id)
                self._failures = 0
                if event.id != self._shown:
                    self._shown = event.id
                    yield Show(status)
        return Unreachable(
            "unreachable", "The stream of statuses broke.", retry_after_seconds=self._back_seconds
        )
