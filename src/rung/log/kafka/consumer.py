"""Reading the topic for one worker: as a member of the group, from the worker's own positions.

The group only says who reads which partition. A grant starts nothing: a partition is read from the
moment that it is sought, and never from an offset that the group has kept. Events are handed out
once the topic is known to be the one that positions were told for, asked after they were fetched.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from rung.log.kafka.cluster import Cluster
from rung.log.kafka.errors import (
    POSITION_NAMES,
    TOPIC_NAMES,
    as_log_error,
    explain,
    is_settled,
    translated,
)
from rung.log.kafka.fetched import Fetched
from rung.log.kafka.membership import Membership
from rung.log.kafka.refusals import out_of_range
from rung.log.kafka.release import release
from rung.log.kafka.reports import Reports
from rung.log.kafka.settings import EVENT_BYTES_MAX, KafkaSettings, consumer_configuration
from rung.log.kafka.watch import TopicWatch
from rung.log.port import LogError, LogIdentity, PositionOutOfRange, Slice

AHEAD_EVENTS_MIN: Final = 4_096
"""A small poll looks this far ahead, to take evenly from partitions that arrive one by one."""
_WAIT_SECONDS: Final = 0.25
"""The longest single wait within the client, which answers no signal meanwhile."""


class KafkaConsumer:
    """Reads the partitions that the group grants; see `rung.log.port.Consumer`. For one thread."""

    def __init__(self, settings: KafkaSettings, cluster: Cluster, identity: LogIdentity) -> None:
        """Join the group. Nothing is read before a `seek`.

        Raises:
            LogError: a property of the client is wrong.
        """
        self._settings = settings
        self._cluster = cluster
        self._watch = TopicWatch(settings, cluster, identity)
        self._fetched = Fetched()
        self._membership = Membership(self._fetched)
        self._reports = Reports(settings.topic)
        self._lost: list[PositionOutOfRange] = []
        with translated(settings, "read"):
            self._consumer = Consumer(
                consumer_configuration(settings)
                | {"error_cb": self._note, "on_commit": self._reports.on_commit}
            )
            self._consumer.subscribe(
                [settings.topic],
                on_assign=self._membership.on_assign,
                on_revoke=self._membership.on_revoke,
                on_lost=self._membership.on_revoke,
            )

    def identity(self) -> LogIdentity:
        """Return the identity of the topic that this consumer reads, and no other."""
        return self._watch.identity

    def assignment(self) -> frozenset[int]:
        """Return the partitions that the group grants now.

        One that left and came back since the last call is missing once, so that it is sought anew.

        Raises:
            LogError: the group refuses this consumer.
        """
        self._fetch(1, 0)
        return self._membership.told()

    def seek(self, partition: int, offset: int) -> None:
        """Make the next `poll` of a partition start at an offset.

        Raises:
            PositionOutOfRange: retention has passed the offset, or it lies past the end.
            LogReplaced: the topic was made anew, or has other partitions.
            LogUnavailable: no broker answers in time.
            LogError: the partition is not granted to this consumer.
        """
        if partition >= self._watch.identity.partitions:
            self._watch.confirm()
            raise LogError(
                f"there is no partition {partition}: the log has {self._watch.identity.partitions}"
            )
        if partition not in self._membership.granted:
            raise LogError(f"partition {partition} is not assigned to this consumer: ask for the assignment")
        start = self._cluster.starts([partition])[partition]
        end = self._cluster.ends([partition])[partition]
        if not start <= offset <= end:
            self._watch.confirm()
            raise out_of_range(partition, offset, start, end)
        self._stop(partition)
        self._fetched.start(partition, offset)
        self._membership.sought[partition] = offset

    def poll(self, events_max: int, bytes_max: int, wait_seconds: float) -> Sequence[Slice]:
        """Return what has been appended since, evenly from all sought partitions.

        A run of consecutive offsets is a slice; those of one partition come in order. Also returns,
        empty, as soon as the assignment changes. While no broker answers, nothing is returned, and
        what was fetched is kept for a later poll.

        Raises:
            PositionOutOfRange: retention has passed the next event, or the log lost its tail.
            LogReplaced: the topic was made anew, is gone, or has other partitions.
            LogError: nothing was sought, or the group or the broker refuses this consumer.
        """
        if events_max < 1 or bytes_max < 1:
            raise LogError("poll needs room for at least one event and one byte")
        if self._membership.waits_for_seek():
            raise LogError("seek a partition before poll: there is no default position")
        self._start()
        deadline = time.monotonic() + wait_seconds
        changes = self._membership.changes
        while True:
            self._fetch_ahead(events_max, bytes_max)
            if self._watch.look(doubtful=bool(self._lost)) and self._lost:
                raise self._lost.pop(0)
            if self._fetched.events():
                return self._taken(events_max, bytes_max)
            left_seconds = deadline - time.monotonic()
            if left_seconds <= 0 or self._membership.changes != changes:
                return ()
            self._fetch(1, min(left_seconds, _WAIT_SECONDS))

    def read_to(self) -> Mapping[int, int]:
        """Return how far `poll` has handed out the partitions that are read, markers passed."""
        return self._fetched.read_to()

    def leave(self, partition: int) -> None:
        """Read no more of a partition before it is sought again. It stays granted."""
        self._stop(partition)

    def rest(self, seconds: float) -> None:
        """Read nothing for a while, and stay the one that the partitions are assigned to.

        What the client has fetched ahead is let go, and fetched again afterwards.

        Raises:
            LogError: the group or the broker refuses this consumer.
        """
        deadline = time.monotonic() + seconds
        paused = [self._place(partition) for partition in self._membership.reading]
        with translated(self._settings, "read"):
            self._consumer.pause(paused)
        try:
            while (left_seconds := deadline - time.monotonic()) > 0:
                self._fetch(1, min(left_seconds, _WAIT_SECONDS))
        finally:
            # Those that have left meanwhile, too: a pause would last, also once they have come back.
            with translated(self._settings, "read"):
                self._consumer.resume(paused)

    def report(self, applied: Mapping[int, int]) -> None:
        """Commit to the group, for those who watch its lag, the last offset applied of some partitions."""
        self._reports.take(applied)
        self._reports.send(self._consumer, self._membership.granted)

    def ends(self) -> Mapping[int, int]:
        """Return, for every partition of the log, the offset that the next event will get.

        Where this consumer has read up to the end, offsets at the end that hold no event (the markers
        of transactions) are left out, since nothing of them can be applied.

        Raises:
            LogUnavailable: no broker answers in time.
        """
        ends = self._cluster.ends(range(self._watch.identity.partitions))
        return self._fetched.without_empty_tails(ends)

    def close(self) -> None:
        """Leave the group at once, or in a few seconds without a word if no broker answers.

        Closing twice is fine.
        """
        self._fetched.clear()
        release(self._settings, self._consumer.close, "leave")

    def _place(self, partition: int, offset: int = -1_001) -> TopicPartition:
        return TopicPartition(self._settings.topic, partition, offset)

    def _fetch_ahead(self, events_max: int, bytes_max: int) -> None:
        """Fetch what the client has, so that what is fetched ahead stays bounded, however large events are.

        The client counts messages, and gets more while it hands them out: it is asked for no more at once
        than fit if each is as large as an event may be.
        """
        wanted = left = max(events_max, AHEAD_EVENTS_MIN)
        at_once = max(1, 2 * bytes_max // EVENT_BYTES_MAX)
        while left > 0 and self._fetched.events() < 2 * wanted and self._fetched.bytes() < 2 * bytes_max:
            found = self._fetch(min(left, at_once), 0)
            if found < at_once:
                return
            left -= found

    def _fetch(self, events_max: int, wait_seconds: float) -> int:
        """Let the client work: it calls back about the group, and hands out messages and errors."""
        try:
            with translated(self._settings, "read"):
                messages = self._consumer.consume(events_max, wait_seconds)
        except BaseException:
            # What the client had in hand is gone: whoever goes on has to seek.
            self._fetched.clear()
            raise
        self._reports.send(self._consumer, self._membership.granted)
        for message in self._fetched.put(messages):
            self._meet(message)
        return len(messages)

    def _meet(self, message: Message) -> None:
        """Deal with an error that the client hands out like a message."""
        error = message.error()
        if error is None:
            return
        partition = message.partition() or 0
        if error.name() in POSITION_NAMES:
            if partition in self._fetched:
                self._stop(partition)
                self._lost.append(
                    PositionOutOfRange(
                        f"the log no longer has the next event of partition {partition} "
                        f"({explain(self._settings, error)}): events would be missed; "
                        "restore the log, or a store that has applied them",
                        partition,
                    )
                )
        elif error.name() in TOPIC_NAMES:
            self._watch.suspect()
        elif is_settled(error):
            raise as_log_error(self._settings, "read", error)
        else:
            self._note(error)

    def _start(self) -> None:
        """Read what was sought, all at once, so that it is fetched together."""
        sought = self._membership.sought
        if sought:
            with translated(self._settings, "read"):
                self._consumer.incremental_assign([self._place(*place) for place in sought.items()])
            self._membership.reading |= sought.keys()
            sought.clear()

    def _stop(self, partition: int) -> None:
        """Read a partition no longer. The client drops what it has fetched of it."""
        self._fetched.drop(partition)
        self._membership.sought.pop(partition, None)
        if partition in self._membership.reading:
            self._membership.reading.discard(partition)
            with translated(self._settings, "read"):
                self._consumer.incremental_unassign([self._place(partition)])

    def _taken(self, events_max: int, bytes_max: int) -> Sequence[Slice]:
        # Asked after the fetch, and answered while the slices are made.
        question = self._watch.ask()
        taking = self._fetched.take(events_max, bytes_max)
        if not self._watch.is_same(question):
            return ()
        self._fetched.settle(taking)
        return taking.slices

    def _note(self, error: KafkaError) -> None:
        self._watch.warn(explain(self._settings, error))
