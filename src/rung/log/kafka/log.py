"""The log on Kafka: one topic, read and written by any number of processes."""

from __future__ import annotations

from collections.abc import Iterator

from rung.log.kafka.cluster import Cluster
from rung.log.kafka.consumer import KafkaConsumer
from rung.log.kafka.producer import KafkaProducer
from rung.log.kafka.reader import PointReader, scan
from rung.log.kafka.settings import KafkaSettings
from rung.log.port import LogIdentity, Position, Slice


class KafkaLog:
    """An open log; make it with `open`. Safe to use from several threads."""

    def __init__(self, settings: KafkaSettings, cluster: Cluster, identity: LogIdentity) -> None:
        """Take over a client of the cluster; `identity` is that of the topic now."""
        self._settings = settings
        self._cluster = cluster
        self._opened = identity
        self._reader = PointReader(settings)

    @classmethod
    def open(cls, settings: KafkaSettings) -> KafkaLog:
        """Open a log that exists.

        Raises:
            LogUnavailable: no broker answers in time.
            LogError: there is no such topic, or a setting is wrong.
        """
        cluster = Cluster(settings)
        try:
            return cls(settings, cluster, cluster.identity())
        except BaseException:
            cluster.close()
            raise

    @property
    def partitions(self) -> int:
        """The number of partitions that the topic had when it was opened."""
        return self._opened.partitions

    def identity(self) -> LogIdentity:
        """Return the cluster's and the topic's id, and its partitions, as they are now.

        Raises:
            LogUnavailable: no broker answers in time.
            LogError: there is no such topic any longer.
        """
        return self._cluster.identity()

    def producer(self) -> KafkaProducer:
        """Return a producer, to be closed by whoever asked for it."""
        return KafkaProducer(self._settings, self.partitions)

    def consumer(self) -> KafkaConsumer:
        """Return a member of the group of workers, to be closed by whoever asked for it.

        Raises:
            LogUnavailable: no broker answers in time.
            LogError: there is no such topic any longer.
        """
        return KafkaConsumer(self._settings, self._cluster, self._cluster.identity())

    def starts(self) -> dict[int, int]:
        """Return, for every partition, the offset of its oldest event (its end if it is empty).

        Raises:
            LogUnavailable: no broker answers in time.
        """
        return self._cluster.starts(range(self.partitions))

    def ends(self) -> dict[int, int]:
        """Return, for every partition, the offset that the next event will get.

        A marker of a transaction has an offset, too, so the last event may stand before the last offset.

        Raises:
            LogUnavailable: no broker answers in time.
        """
        return self._cluster.ends(range(self.partitions))

    def appended_at(self, position: Position) -> int:
        """Return when an event was appended, in microseconds since the epoch.

        Raises:
            PositionOutOfRange: there is no event, because retention has passed it or it never was one.
            LogUnavailable: no broker answers in time.
        """
        return max(self._reader.read(position).timestamp()[1], 0) * 1_000

    def scan(self, partition: int, from_offset: int, to_offset: int) -> Iterator[Slice]:
        """Yield the events from one offset to just before another, beside all workers.

        Raises:
            PositionOutOfRange: retention has passed events of the range, or it goes past the end.
            LogReplaced: the topic was made anew meanwhile.
            LogUnavailable: no broker answers in time.
        """
        return scan(self._settings, self._cluster, partition, from_offset, to_offset)

    def close(self) -> None:
        """Release the log, once its producers and consumers are closed. Closing twice is fine."""
        self._reader.close()
        self._cluster.close()
