"""Telling the group how far a worker is, for those who watch its lag; nothing rests on it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from rung.log.kafka.errors import error_of

_log: Final = logging.getLogger(__name__)


class Reports:
    """Commits positions to the group, one commit at a time: what comes meanwhile goes with the next.

    Without a broker, commits would pile up in the client, and keep it from leaving.
    """

    def __init__(self, topic: str) -> None:
        """Report on a topic."""
        self._topic = topic
        self._waiting: dict[int, int] = {}
        self._under_way = False

    def take(self, applied: Mapping[int, int]) -> None:
        """Take down the last offset applied of some partitions."""
        self._waiting.update(applied)

    def send(self, consumer: Consumer, granted: frozenset[int]) -> None:
        """Commit what waits, of the partitions that are granted still, unless a commit is under way."""
        if self._under_way or not self._waiting:
            return
        offsets = [
            TopicPartition(self._topic, partition, offset + 1)
            for partition, offset in self._waiting.items()
            if partition in granted
        ]
        self._waiting.clear()
        if not offsets:
            return
        self._under_way = True
        try:
            consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as exception:
            self.on_commit(error_of(exception), offsets)

    def on_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """Hear what became of a commit."""
        self._under_way = False
        for text in [str(error)] if error else [str(one.error) for one in offsets if one.error]:
            _log.debug("topic %s: the group does not take a position: %s", self._topic, text)
