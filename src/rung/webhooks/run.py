"""The process that tells what users reach: it follows the log, and sends what it finds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event
from typing import Final

from rung.log.port import LogUnavailable
from rung.store.port import StoreBusy
from rung.webhooks.deliver import Deliverer
from rung.webhooks.follow import Follower
from rung.webhooks.outbox import Outbox, Waiting

_IDLE_SECONDS: Final = 0.2
_AWAY_SECONDS: Final = 2.0
_log = logging.getLogger(__name__)


def run(
    follower: Follower,
    deliverer: Deliverer,
    outbox: Outbox,
    stop: Event,
    *,
    until_caught_up: bool = False,
    told: Callable[[int, Waiting], object] = lambda _sent, _waiting: None,
) -> int:
    """Follow and send until it is stopped, and return how many messages were taken.

    Servers that are away are waited for. With `until_caught_up` it ends when everything applied was looked at
    and nothing is left but what is parked, or behind it. `told` gets how many were taken, and what waits.
    """
    sent = 0
    while not stop.is_set():
        pause = _IDLE_SECONDS
        try:
            is_more = follower.round()
        except (LogUnavailable, StoreBusy) as error:
            _log.warning("webhooks_wait", extra={"cause": str(error)})
            is_more, pause = False, _AWAY_SECONDS
        taken = deliverer.round()
        sent += taken
        waiting = outbox.waiting()
        told(sent, waiting)
        if is_more or taken:
            continue
        if until_caught_up and pause == _IDLE_SECONDS and waiting.messages == waiting.held:
            break
        stop.wait(pause)
    return sent
