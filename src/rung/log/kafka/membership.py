"""What the group grants to one consumer, and what has been said of it."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from rung.log.kafka.fetched import Fetched


class Membership:
    """Follows the group's callbacks, which come while the client works.

    The client is told of each grant without any partition: it takes down that the grant was heard,
    and starts to read nothing.
    """

    def __init__(self, fetched: Fetched) -> None:
        """Drop from `fetched` whatever the group takes away."""
        self._fetched = fetched
        self._departed: set[int] = set()
        self._told: frozenset[int] = frozenset()
        self.granted: frozenset[int] = frozenset()
        self.sought: dict[int, int] = {}
        """Partitions to be read from an offset, which the client does not read yet."""
        self.reading: set[int] = set()
        """Partitions that the client reads."""
        self.changes = 0
        """How often the group has changed what is granted."""

    def told(self) -> frozenset[int]:
        """Return what is granted, without what left since the last call: that is missing once."""
        self._told = self.granted - self._departed
        self._departed.clear()
        return self._told

    def waits_for_seek(self) -> bool:
        """Tell whether the owner knows of partitions, and has sought none."""
        return bool(self._told & self.granted) and not self._fetched.partitions

    def on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Take a grant down."""
        self.changes += 1
        self.granted |= {place.partition for place in partitions}
        consumer.incremental_assign([])

    def on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Forget partitions, whether they were given back or lost."""
        self.changes += 1
        left = {place.partition for place in partitions}
        self.granted -= left
        self._told -= left
        self._departed |= left
        given_back = [place for place in partitions if place.partition in self.reading]
        self.reading -= left
        for partition in left:
            self._fetched.drop(partition)
            self.sought.pop(partition, None)
        consumer.incremental_unassign(given_back)
