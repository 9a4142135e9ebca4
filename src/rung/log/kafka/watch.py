"""Seeing to it that a topic stays the one that positions were told for."""

from __future__ import annotations

import logging
import time
from typing import Final

from rung.log.kafka.cluster import Cluster, Question
from rung.log.kafka.errors import TopicMissing
from rung.log.kafka.refusals import check_same
from rung.log.kafka.settings import KafkaSettings
from rung.log.port import LogIdentity, LogReplaced, LogUnavailable

MISSING_SECONDS: Final = 2.0
"""How long the topic has to be unknown to count as gone; a broker that has just started may not know it."""
ASK_EVERY_SECONDS: Final = 5.0
"""How often an idle consumer asks whether the topic is still the same."""
ANSWER_SECONDS_MAX: Final = 2.0
"""How long a poll waits for the answer; what was fetched is kept if there is none."""

_log: Final = logging.getLogger(__name__)


class TopicWatch:
    """Compares a topic with an identity, and says once when it cannot be read. For one thread."""

    def __init__(self, settings: KafkaSettings, cluster: Cluster, identity: LogIdentity) -> None:
        """Watch the topic of an identity."""
        self.identity: Final = identity
        self._settings = settings
        self._cluster = cluster
        self._suspect = False
        self._question: Question | None = None
        self._asked_at = time.monotonic()
        self._missing_since: float | None = None
        self._troubled = False

    def ask(self) -> Question:
        """Ask which topic it is, and return at once."""
        self._asked_at = time.monotonic()
        return self._cluster.ask(ANSWER_SECONDS_MAX)

    def is_same(self, question: Question) -> bool:
        """Tell whether this is the topic that is read; False: that cannot be known now.

        Raises:
            LogReplaced: the topic was made anew, is gone, or has other partitions.
            LogError: the broker refuses to tell.
        """
        try:
            found = self._cluster.answer(question)
        except TopicMissing as error:
            now = time.monotonic()
            if self._missing_since is None:
                self._missing_since = now
            if now - self._missing_since < MISSING_SECONDS:
                time.sleep(0.1)
                return False
            raise LogReplaced(
                f"topic {self._settings.topic} is gone, and with it the log {self.identity.name} that was "
                "read so far; make it again, and a new store from all that is known"
            ) from error
        except LogUnavailable as error:
            self.warn(str(error))
            return False
        self._missing_since = None
        check_same(self._settings, self.identity, found)
        if self._troubled:
            self._troubled = False
            _log.info("topic %s can be read again", self._settings.topic)
        return True

    def suspect(self) -> None:
        """Take down that an error may mean that the topic is another one."""
        self._suspect = True

    def look(self, doubtful: bool) -> bool:
        """Ask now and then, and at once when in doubt; tell whether it was just seen to be the same.

        A topic that is gone gives no events and, for long, no errors.

        Raises:
            LogReplaced: the topic was made anew, is gone, or has other partitions.
            LogError: the broker refuses to tell.
        """
        if doubtful or self._suspect or self._missing_since is not None:
            # An answer to what was asked before the doubt says nothing about it.
            self._question = None
            same = self.is_same(self.ask())
            self._suspect = self._suspect and not same
            return same
        if self._question is None and time.monotonic() - self._asked_at > ASK_EVERY_SECONDS:
            self._question = self.ask()
        if self._question is None or not self._question.done():
            return False
        question, self._question = self._question, None
        return self.is_same(question)

    def confirm(self) -> None:
        """Check, waiting as long as for any request, that the topic is the same.

        Raises:
            LogReplaced: the topic was made anew, or has other partitions.
            LogUnavailable: no broker answers in time.
        """
        check_same(self._settings, self.identity, self._cluster.identity())

    def warn(self, text: str) -> None:
        """Say once that there is trouble, until it is over; the client goes on trying."""
        level = logging.DEBUG if self._troubled else logging.WARNING
        self._troubled = True
        _log.log(level, "topic %s cannot be read now: %s", self._settings.topic, text)
