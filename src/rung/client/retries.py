"""How often a question is asked again, and how long is waited before."""

from __future__ import annotations

import random
from http import HTTPStatus
from typing import Final

import msgspec

from rung.client.errors import ClientError, Unavailable, Unreachable

_PASSING: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""What the server, or what stands before it, answers when it is worth asking again."""
_JITTER: Final = 0.5
_DOUBLINGS_MAX: Final = 32


class Retries(msgspec.Struct, frozen=True):
    """The rules of asking again, for each request.

    What is asked again: 429, 502, 503, 504, and whatever got no answer. All of it is safe to repeat, events
    included: they are counted once, however often they are sent.

    Each pause is twice as long as the one before, and up to half of it is left out at random, so that clients
    which failed together do not come back together. A server that says when (Retry-After) is never asked
    earlier; if that is later than `pause_seconds_max`, the error is raised at once and tells it.

    Example:
        ```python
        patient = Client("https://rung.example", key, retries=Retries(attempts_max=8, pause_seconds_max=60))
        ```
    """

    attempts_max: int = 4
    pause_seconds_first: float = 0.2
    pause_seconds_max: float = 10.0

    def __post_init__(self) -> None:
        """Refuse rules that make no sense.

        Raises:
            ValueError: there is no attempt, or a pause is negative.
        """
        if self.attempts_max < 1:
            raise ValueError(f"attempts_max: at least 1, got {self.attempts_max}")
        if not 0 <= self.pause_seconds_first <= self.pause_seconds_max:
            raise ValueError(
                f"pause_seconds_first: from 0 to pause_seconds_max ({self.pause_seconds_max}), "
                f"got {self.pause_seconds_first}"
            )

    def pause_seconds(self, error: ClientError, attempts: int) -> float | None:
        """Return how long to wait after an error, None if asking again is of no use.

        `attempts` is how often was asked so far.
        """
        passes = isinstance(error, Unreachable) or (
            isinstance(error, Unavailable) and error.status in _PASSING and not error.not_applied_yet
        )
        asked_to_wait = error.retry_after_seconds or 0.0
        if not passes or attempts >= self.attempts_max or asked_to_wait > self.pause_seconds_max:
            return None
        doubled = self.pause_seconds_first * 2.0 ** min(attempts - 1, _DOUBLINGS_MAX)
        pause = min(doubled, self.pause_seconds_max)
        share = random.uniform(0, _JITTER)  # noqa: S311 - no secret
        return asked_to_wait + share * pause if asked_to_wait else (1 - share) * pause
