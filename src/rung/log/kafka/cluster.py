"""What the cluster says about the topic of events: which one it is, and how far it goes."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Lock
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin._listoffsets import OffsetSpec

from rung.log.kafka.admin import Admin, DescribedTopic, FoundOffset, connected, disconnect
from rung.log.kafka.errors import (
    TOPIC_NAMES,
    TopicMissing,
    as_log_error,
    error_of,
    translated,
    unanswered,
)
from rung.log.kafka.settings import KafkaSettings
from rung.log.port import LogError, LogIdentity, LogUnavailable

_AGAIN_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 5.0
"""How much longer than its request an answer is waited for: the client ends requests by itself."""

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
        self._trouble = _Trouble(settings)
        # Closed only while no thread is within the client.
        self._lock = Lock()
        self._admin: Admin | None = connected(settings, self._trouble.note)

    def close(self) -> None:
        """Release the client. Closing twice is fine."""
        with self._lock:
            admin, self._admin = self._admin, None
        if admin is not None:
            disconnect(self._settings, admin)

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
        with self._client() as admin:
            admin.poll(0)
            return admin.describe_topics(TopicCollection([topic]), request_timeout=timeout_seconds)[topic]

    def answer(self, question: Question) -> LogIdentity:
        """Wait for the answer to a question, and return it.

        Raises:
            TopicMissing: there is no such topic.
            LogUnavailable: no broker answers in time.
        """
        described = self._result(question, "describe")
        with translated(self._settings, "describe"), self._client() as admin:
            # Asked for once; the client keeps it.
            cluster = admin.cluster_id(self._settings.request_timeout_seconds)
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
            with self._client() as admin:
                admin.poll(0)
                asked = admin.list_offsets(wanted, request_timeout=timeout_seconds)
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
            raise unanswered(self._settings, "look into")
        return offset

    def _result(self, future: Future[_T], doing: str) -> _T:
        settings = self._settings
        try:
            return future.result(settings.request_timeout_seconds + _GRACE_SECONDS)
        except TimeoutError:
            raise unanswered(settings, doing) from None
        except KafkaException as exception:
            error = error_of(exception)
        if error.name() in TOPIC_NAMES:
            raise TopicMissing(
                f"there is no topic {settings.topic} at {settings.bootstrap_servers}; "
                "`rung log create` makes it"
            )
        refusal = as_log_error(settings, doing, error)
        # That time is up says little; what the client met meanwhile says why.
        self._trouble.text = ""
        with self._client() as admin:
            admin.poll(0)
        met = self._trouble.text
        raise type(refusal)(f"{refusal} ({met})") if met else refusal

    @contextmanager
    def _client(self) -> Generator[Admin]:
        """Give the client for a call, during which it is not closed."""
        with self._lock:
            if self._admin is None:
                raise LogError(f"the log at {self._settings.bootstrap_servers} was closed")
            yield self._admin


class _Trouble:
    """What the client met last. It does not lead back to who asks: in a circle, clients are freed late."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self.text = ""

    def note(self, error: KafkaError) -> None:
        """Hear of an error; the client calls this while it is polled."""
        self.text = self._settings.without_secrets(error.str())
