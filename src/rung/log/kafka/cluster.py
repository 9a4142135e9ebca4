"""What the cluster says about the topic of events: which one it is, and how far it goes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin._listoffsets import OffsetSpec

from rung.log.kafka.admin import DescribedTopic, FoundOffset, connected
from rung.log.kafka.errors import TOPIC_NAMES, TopicMissing, as_log_error, error_of, translated
from rung.log.kafka.settings import KafkaSettings
from rung.log.port import LogIdentity, LogUnavailable

_AGAIN_SECONDS: Final = 0.1

_T = TypeVar("_T")
Question = Future[DescribedTopic]
"""A question for the topic's identity that is under way."""


class Cluster:
    """Asks the cluster about the topic. Safe to use from several threads."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Make the client; nothing is asked yet.

        Raises:
            LogError: a property of the client is wrong.
        """
        self._settings = settings
        self._last_error = ""
        self._admin = connected(settings, self._note)

    def identity(self) -> LogIdentity:
        """Return what tells the topic from any other, as it is now.

        Raises:
            TopicMissing: there is no such topic.
            LogUnavailable: no broker answers in time.
        """
        return self.answer(self.ask())

    def ask(self, wait_seconds: float = 0.0) -> Question:
        """Ask for the identity, and return at once. An answer may take as long as a wait, if one is given."""
        topic, timeout_seconds = self._settings.topic, wait_seconds or self._settings.request_timeout_seconds
        self._admin.poll(0)
        return self._admin.describe_topics(TopicCollection([topic]), request_timeout=timeout_seconds)[topic]

    def answer(self, question: Question) -> LogIdentity:
        """Wait for the answer to a question, and return it.

        Raises:
            TopicMissing: there is no such topic.
            LogUnavailable: no broker answers in time.
        """
        described = self._result(question, "describe")
        with translated(self._settings, "describe"):
            # Asked for once; the client keeps it.
            cluster = self._admin.cluster_id(self._settings.request_timeout_seconds)
        return LogIdentity(f"{cluster}/{described.topic_id}", len(described.partitions))

    def starts(self, partitions: Iterable[int]) -> dict[int, int]:
        """Return the offset of each partition's oldest event.

        Raises:
            TopicMissing: there is no such topic, or no such partition.
            LogUnavailable: no broker answers in time.
        """
        return self._offsets(partitions, OffsetSpec.earliest())

    def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """Return the offset that each partition's next event gets, whatever transactions are open.

        Raises:
            TopicMissing: there is no such topic, or no such partition.
            LogUnavailable: no broker answers in time.
        """
        return self._offsets(partitions, OffsetSpec.latest())

    def _offsets(self, partitions: Iterable[int], spec: OffsetSpec | None) -> dict[int, int]:
        wanted = {TopicPartition(self._settings.topic, partition): spec for partition in partitions}
        timeout_seconds = self._settings.request_timeout_seconds
        deadline = time.monotonic() + timeout_seconds
        while True:
            self._admin.poll(0)
            asked = self._admin.list_offsets(wanted, request_timeout=timeout_seconds)
            try:
                return {place.partition: self._offset(one) for place, one in asked.items()}
            except LogUnavailable:
                # A partition that has just moved or come up; the client does not ask again by itself, and
                # it knows the partition's new leader only once it has asked for the topic.
                if time.monotonic() + _AGAIN_SECONDS > deadline:
                    raise
                time.sleep(_AGAIN_SECONDS)
                self.answer(self.ask())

    def _offset(self, future: Future[FoundOffset]) -> int:
        offset = self._result(future, "look into").offset
        if offset < 0:
            # The client answers so, and without an error, when a broker has not answered in time.
            raise LogUnavailable(f"cannot look into the log at {self._settings.bootstrap_servers}: no answer")
        return offset

    def _result(self, future: Future[_T], doing: str) -> _T:
        # The client ends the wait by itself, when its request has taken too long.
        settings = self._settings
        try:
            return future.result()
        except KafkaException as exception:
            error = error_of(exception)
        if error.name() in TOPIC_NAMES:
            raise TopicMissing(
                f"there is no topic {settings.topic} at {settings.bootstrap_servers}; "
                "`rung log create` makes it"
            )
        refusal = as_log_error(settings, doing, error)
        # That time is up says little; what the client met meanwhile says why.
        self._last_error = ""
        self._admin.poll(0)
        raise type(refusal)(f"{refusal} ({self._last_error})") if self._last_error else refusal

    def _note(self, error: KafkaError) -> None:
        self._last_error = self._settings.without_secrets(error.str())
