"""What can be asked of a server: each question once, for both clients."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET

from rung.client.asking import Asker, Question
from rung.client.decoding import bad_answer, check_user, decoded
from rung.client.errors import ClientError, Refused, Unavailable
from rung.client.exchange import Answer, Operation, pause
from rung.client.sending import Event, Receipt, batches_of, lines_of
from rung.client.targets import At, check_text, path_of, target_of, time_text
from rung.status.explanation import Explanation
from rung.status.messages import (
    JSON,
    NDJSON,
    USERS_MAX,
    WAIT_MS_MAX,
    Accepted,
    CatalogDescription,
    UsersQuestion,
    UserStatuses,
)
from rung.status.view import UserStatus

After: TypeAlias = Receipt | str
"""What a status has to hold: the receipt of events, or the `after` that the server told somebody else."""

_MILLISECONDS: Final = 1_000


class Operations:
    """Every question as an `Operation`; whoever runs it carries out its effects.

    The arguments mean what they mean to `Client`. Every operation may raise any `ClientError`.
    """

    def __init__(self, asker: Asker, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take who gets the answers, and a clock in seconds."""
        self._asker = asker
        self._monotonic = monotonic

    def status(
        self,
        user_id: str | None,
        at: At | None,
        campaign: str | None,
        after: After | None,
        wait_seconds: float,
    ) -> Operation[UserStatus]:
        """Return the status of a user; None is the user whose token it is."""
        if user_id is not None and "/" in user_id and after is None:
            # A path with such an id could be read as another one's; a body cannot.
            (found,) = yield from self.statuses((user_id,), at, campaign)
            return found
        path, asked = path_of(user_id, "status"), {"at": time_text(at), "campaign": campaign}
        answer: Answer | None = None
        until = self._monotonic() + wait_seconds
        for text in _texts_of(after):
            answer = yield from self._applied(path, {**asked, "after": text}, until)
        if answer is None:
            answer = yield from self._asker.answer(Question("GET", target_of(path, asked), is_kept=True))
        found = decoded(answer.body, UserStatus)
        check_user(found.user_id, user_id)
        return found

    def statuses(
        self, user_ids: Iterable[str], at: At | None, campaign: str | None
    ) -> Operation[tuple[UserStatus, ...]]:
        """Return the statuses of users, in the order asked, in as many requests as it takes."""
        found: list[UserStatus] = []
        rest = iter(user_ids)
        while chunk := tuple(islice(rest, USERS_MAX)):
            asked = UsersQuestion(
                tuple(check_text(user_id, "user_id") for user_id in chunk), time_text(at), campaign
            )
            body = msgspec.json.encode(asked)
            answer = yield from self._asker.answer(
                Question("POST", "/v1/users/status", {"content-type": JSON}, body)
            )
            told = decoded(answer.body, UserStatuses).statuses
            if tuple(status.user_id for status in told) != chunk:
                raise bad_answer("it is not about the users who were asked for")
            found += told
        return tuple(found)

    def explain(
        self, user_id: str | None, campaign: str, period: str, version: int | None
    ) -> Operation[Explanation]:
        """Return each transaction of a user's period."""
        asked = {
            "campaign": campaign,
            "period": period,
            "version": None if version is None else str(version),
        }
        answer = yield from self._asker.answer(Question("GET", target_of(path_of(user_id, "explain"), asked)))
        found = decoded(answer.body, Explanation)
        check_user(found.user_id, user_id)
        return found

    def campaigns(self) -> Operation[CatalogDescription]:
        """Return the campaigns that statuses are of."""
        answer = yield from self._asker.answer(Question("GET", "/v1/campaigns"))
        return decoded(answer.body, CatalogDescription)

    def openapi(self) -> Operation[Mapping[str, Any]]:
        """Return the API's description of itself."""
        answer = yield from self._asker.answer(Question("GET", "/v1/openapi.json"))
        return decoded(answer.body, dict[str, Any])

    def send(self, events: Event | Iterable[Event]) -> Operation[Receipt]:
        """Send events, in as many requests as it takes."""
        told: list[Accepted] = []
        try:
            for batch in batches_of(lines_of(events)):
                yield from self._send(batch, told)
        except ClientError as error:
            if told:
                count = sum(one.accepted for one in told)
                error.add_note(
                    f"{count:,} events were accepted before it. Sending all of them again is safe."
                )
            raise
        texts = [one.after for one in told if one.after is not UNSET]
        return Receipt(
            sum(one.accepted for one in told),
            told[-1].position if told else None,
            tuple(texts) if len(texts) == len(told) else None,
        )

    def _send(self, batch: list[bytes], told: list[Accepted]) -> Operation[None]:
        waiting = deque([batch])
        while waiting:
            part = waiting.popleft()
            question = Question("POST", "/v1/events", {"content-type": NDJSON}, b"\n".join(part))
            try:
                answer = yield from self._asker.answer(question)
            except Refused as error:
                if error.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE or len(part) == 1:
                    raise
                # What stands before the server may take less than the server does.
                half = len(part) // 2
                waiting.extendleft((part[half:], part[:half]))
            else:
                told.append(decoded(answer.body, Accepted))

    def _applied(self, path: str, asked: Mapping[str, str | None], until: float) -> Operation[Answer]:
        """Return the answer that holds certain events, which is waited for until a moment of the clock."""
        while True:
            wait_ms = min(max(0, round((until - self._monotonic()) * _MILLISECONDS)), WAIT_MS_MAX)
            target = target_of(path, {**asked, "wait_ms": str(wait_ms)})
            try:
                return (
                    yield from self._asker.answer(
                        Question("GET", target, wait_seconds=wait_ms / _MILLISECONDS)
                    )
                )
            except Unavailable as error:
                left = until - self._monotonic()
                if not error.not_applied_yet or left <= 0:
                    raise
                yield from pause(min(error.retry_after_seconds or 0.0, left))


def _texts_of(after: After | None) -> tuple[str, ...]:
    if after is None or isinstance(after, str):
        return () if after is None else (after,)
    if after.after is None:
        raise Refused(
            "bad_after",
            "after: the receipt tells no place to wait for; its events are in too many partitions.",
        )
    return after.after
