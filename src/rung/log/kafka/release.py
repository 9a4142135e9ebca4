"""Letting go of a client at a known moment, in bounded time.

What nobody closes is closed by the garbage collector: at any moment, and in any thread, be it one of the
client's own, which ends the process. And closing may wait without end: for a broker, if a commit is under
way, or for a thread of the client that is stuck.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Thread
from typing import Final

from rung.log.kafka.errors import translated
from rung.log.kafka.settings import KafkaSettings

RELEASE_SECONDS_MAX: Final = 5.0
"""How long closing is waited for. It goes on afterwards, and keeps nobody from ending."""

_log: Final = logging.getLogger(__name__)


def release(settings: KafkaSettings, close: Callable[[], object], doing: str = "let go of") -> None:
    """Close a client; give up waiting, with a warning, when that takes too long.

    Args:
        settings: Where the client is connected to.
        close: Closes the client.
        doing: What closing means, for the texts.

    Raises:
        LogError: the client refuses.
    """
    failed: list[BaseException] = []

    def closed() -> None:
        try:
            close()
        except BaseException as error:
            failed.append(error)

    closing = Thread(target=closed, name="kafka-release", daemon=True)
    closing.start()
    closing.join(RELEASE_SECONDS_MAX)
    if closing.is_alive():
        _log.warning(
            "cannot %s topic %s within %g s: no longer waiting", doing, settings.topic, RELEASE_SECONDS_MAX
        )
    with translated(settings, doing):
        for error in failed:
            raise error
