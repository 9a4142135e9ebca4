"""Sends what the outbox has: of each user in order, of many at once, and again until it is taken."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import SystemRandom
from typing import Final

import msgspec

from rung.webhooks.endpoint import Endpoint, EndpointGone
from rung.webhooks.outbox import Message, Outbox

WAIT_SECONDS_MAX: Final = 3_600.0
_SECOND: Final = 1_000_000
_log = logging.getLogger(__name__)


class DeliverySettings(msgspec.Struct, frozen=True):
    """How messages are sent: how many at once, how often each is tried, and how long the first wait is."""

    concurrent: int
    attempts_max: int
    first_wait_seconds: float


class Deliverer:
    """Sends due messages; for one thread, which waits for those that it sends at once."""

    def __init__(
        self,
        outbox: Outbox,
        endpoint: Endpoint,
        settings: DeliverySettings,
        clock: Callable[[], int],
        share: Callable[[], float] | None = None,
    ) -> None:
        """Send nothing yet; `clock` gives microseconds since the epoch, `share` draws from [0, 1)."""
        self._outbox = outbox
        self._endpoint = endpoint
        self._settings = settings
        self._clock = clock
        self._share = SystemRandom().random if share is None else share
        self._threads = ThreadPoolExecutor(settings.concurrent, "webhook")

    def round(self) -> int:
        """Send some of what is due, note what came of it in one change, and return how many were taken.

        A crash before the note sends them again: receivers know them by their ids.
        """
        due = self._outbox.due(self._clock(), self._settings.concurrent * 4)
        if not due:
            return 0
        answers = list(self._threads.map(self._sent, due))
        with self._outbox.change():
            for message, (cause, is_gone) in zip(due, answers, strict=True):
                if not cause:
                    self._outbox.delivered(message)
                else:
                    self._note_failure(message, cause, is_gone=is_gone)
        parked = self._outbox.waiting().parked
        if parked:
            cause = next((cause for cause, _ in answers if cause), self._outbox.waiting().cause)
            _log.error("webhooks_parked", extra={"messages": parked, "cause": cause})
        return sum(not cause for cause, _ in answers)

    def close(self) -> None:
        """Wait for what is being sent, and end."""
        self._threads.shutdown()

    def _sent(self, message: Message) -> tuple[str, bool]:
        """Return why a message was not taken, empty if it was, and whether the endpoint wants none."""
        try:
            return self._endpoint.send(message), False
        except EndpointGone as gone:
            return str(gone), True

    def _note_failure(self, message: Message, cause: str, *, is_gone: bool) -> None:
        tried = message.attempts + 1
        is_parked = is_gone or tried >= self._settings.attempts_max
        seconds = wait_seconds(tried, self._settings.first_wait_seconds, self._share())
        due_at = self._clock() + round(seconds * _SECOND)
        self._outbox.failed(message, due_at, cause, is_parked=is_parked)
        _log.warning("webhook_not_taken", extra={"id": message.message_id, "attempts": tried, "cause": cause})


def wait_seconds(attempts: int, first_seconds: float, share: float) -> float:
    """Return how long to wait after so many attempts: each time twice as long, half of it at random."""
    # Nothing doubles for ever: 2 ** 40 is beyond any bound.
    bound = min(first_seconds * 2 ** min(attempts - 1, 40), WAIT_SECONDS_MAX)
    return bound * (0.5 + share / 2)
